"""One model of each family, trained for two steps: what its folder is good for afterwards."""

import pathlib

import jax
import numpy as np
import pytest

from gm import core, data, metrics
from gm.metrics import results
from gm.recipes import after, runs

FAMILIES = {
    "made": {"num_steps": 2, "hidden": (8,), "batch_size": 8},
    "vae": {"num_steps": 2, "hidden": (8,), "batch_size": 8, "latent_dim": 2, "eval_samples": 2},
    "gan": {"dataset": "grid25", "num_steps": 2, "hidden": (8,), "batch_size": 8, "num_seeds": 2}
    | {"wasserstein": True, "critic_updates": 2, "latent_dim": 2},
    "tabular": {"smoothings": (0.1,)},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function that trains a family once."""
    folders = {}

    def once(name, main):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name) / "run"
            main(name, **FAMILIES[name], folder=folders[name])
        return folders[name]

    return once


@pytest.fixture
def act(experiment):
    """A function that asks something of a run's folder, as the command line does."""

    def of(name, asked):
        module = experiment(name)
        runs.act(asked, module.build, module.Config)

    return of


def samples_in(path):
    with np.load(path) as arrays:
        return arrays["x"]


@pytest.mark.parametrize(
    "name",
    ["made", "tabular", *(pytest.param(n, marks=pytest.mark.matrix) for n in ("vae", "gan"))],
)
def test_a_run_is_sampled_scored_exported_and_loaded(
    name, trained, main, act, experiment, tmp_path, capsys
):
    folder, module = trained(name, main), experiment(name)
    reported = results.read(folder / "result.json")
    dataset, model, params = runs.load(module.build, module.Config, folder)
    assert (dataset.name, model.event) == (reported[0].dataset, dataset.event)

    act(name, after.Sample(folder, num=5))
    x = samples_in(folder / "sampled.npz")
    assert (x.shape, x.dtype) == ((5, *model.event.shape), model.event.dtype)
    model.event.check(x)
    assert (folder / "sampled.png").stat().st_size > 0

    capsys.readouterr()
    act(name, after.Evaluate(folder))
    printed = capsys.readouterr().out
    for row in reported if name != "gan" else ():
        assert f"{row.metric} {row.score}" in printed
    if isinstance(model, core.Density):
        rows = dataset.test.x[:7]
        np.savez(tmp_path / "other.npz", test=rows, train=rows, num_values=model.event.num_values)
        act(name, after.Evaluate(folder, dataset=str(tmp_path / "other.npz")))
        assert str(metrics.evaluate(model, params, rows)) in capsys.readouterr().out

    act(name, after.Export(folder, out=tmp_path / "out.npz"))
    with np.load(tmp_path / "out.npz") as arrays:
        size = sum(a.size for a in arrays.values())
    assert size == sum(a.size for a in jax.tree.leaves(params))
    act(name, after.Export(folder, out=tmp_path / "out.safetensors"))
    with pytest.raises(ValueError, match=r"writes \.safetensors and \.npz; got out\.h5"):
        act(name, after.Export(folder, out=pathlib.Path("out.h5")))


def test_a_run_on_standardized_data_is_used_in_the_units_of_the_data(main, act, tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = np.array([1e3, -20.0]) + np.array([5.0, 0.1]) * rng.standard_normal((200, 2))
    np.savez(tmp_path / "mine.npz", train=x[:100], validation=x[100:150], test=x[150:])
    given = {"dataset": str(tmp_path / "mine.npz"), "standardize": True, "restarts": 1}
    main("mixture", **given, num_components=1, num_steps=2, folder=tmp_path / "run")
    (reported,) = results.read(tmp_path / "run" / "result.json")
    capsys.readouterr()
    act("mixture", after.Evaluate(tmp_path / "run", dataset=str(tmp_path / "mine.npz")))
    assert str(reported.score) in capsys.readouterr().out
    act("mixture", after.Sample(tmp_path / "run", num=500))
    z = (samples_in(tmp_path / "run" / "sampled.npz") - x[:100].mean(0)) / x[:100].std(0)
    np.testing.assert_allclose(z.mean(0), 0.0, atol=0.2)  # four standard errors
    np.testing.assert_allclose(z.std(0), 1.0, atol=0.2)


def test_examples_are_completed_from_their_beginning(trained, main, act, experiment):
    folder = trained("made", main)
    act("made", after.Complete(folder, num=3, known=0.25))
    x = samples_in(folder / "completed.npz").reshape(3, 64)
    dataset, *_ = runs.load(experiment("made").build, experiment("made").Config, folder)
    given = dataset.test.x[:3].reshape(3, 64)
    np.testing.assert_array_equal(x[:, :16], given[:, :16])
    assert not np.array_equal(x, given)
    with pytest.raises(ValueError, match="a prompt is for texts"):
        act("made", after.Complete(folder, prompt="To be"))
    with pytest.raises(TypeError, match="complete needs a model with conditionals"):
        act("vae", after.Complete(trained("vae", main)))


def test_greedy_samples_do_not_differ_and_need_conditionals(trained, main, act):
    folder = trained("made", main)
    act("made", after.Sample(folder, num=2, temperature=0.0))
    first, second = samples_in(folder / "sampled.npz")
    np.testing.assert_array_equal(first, second)
    with pytest.raises(TypeError, match="temperature, top_k and nucleus needs a model with"):
        act("vae", after.Sample(trained("vae", main), top_k=1))
    with pytest.raises(ValueError, match="a label is for class-conditional models"):
        act("made", after.Sample(folder, label=3))


def test_a_seed_is_one_of_those_that_were_trained(trained, main, experiment):
    gan, folder = experiment("gan"), trained("gan", main)
    one, other = (runs.load(gan.build, gan.Config, folder, member=i)[2] for i in (0, 1))
    assert not all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))
    with pytest.raises(ValueError, match="seeds 0 to 1; got 2"):
        runs.load(gan.build, gan.Config, folder, member=2)
    rows = results.read(folder / "result.json")
    assert {row.principle for row in rows} == {"Wasserstein game"}
    published = {row.metric: row.published for row in rows}
    assert published["modes captured, mean over seeds"] == 24.8


def test_a_vae_is_scored_by_the_bound_and_with_more_samples(trained, main):
    bound, estimate = results.read(trained("vae", main) / "result.json")
    assert (bound.metric, bound.num_samples) == ("negative ELBO", 1)
    assert (estimate.num_samples, estimate.kind) == (2, "bound")


def test_other_data_and_other_folders_are_refused(trained, main, act, experiment, tmp_path):
    folder, made = trained("made", main), experiment("made")
    with pytest.raises(
        ValueError, match=r"the run was trained on digits.*; claw.* does not fit its model"
    ):
        act("made", after.Evaluate(folder, dataset="claw"))
    with pytest.raises(FileNotFoundError, match=r"no config\.json: it is not the folder of a run"):
        runs.load(made.build, made.Config, tmp_path)
    with pytest.raises(ValueError, match=r"is not of this experiment"):
        runs.load(made.build, made.Config, trained("tabular", main))
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(FileNotFoundError, match=r"a run writes at its end"):
        runs.load(made.build, made.Config, tmp_path)


@pytest.mark.matrix
def test_a_run_on_data_in_memory_is_loaded_with_them(main, experiment, tmp_path):
    x = np.random.default_rng(0).integers(0, 2, (40, 6))
    mine, made = data.from_arrays(x), experiment("made")
    numbers = main("made", **FAMILIES["made"], dataset=mine, folder=tmp_path / "run")
    assert '"dataset": "arrays: 33 + 3 + 4 examples' in (tmp_path / "run/config.json").read_text()
    dataset, model, params = runs.load(made.build, made.Config, tmp_path / "run", dataset=mine)
    assert dataset is mine
    score = metrics.evaluate(model, params, dataset.test)
    assert score.value == pytest.approx(numbers["negative log-likelihood"])
    with pytest.raises(ValueError, match=r"trained on arrays: 33 .*; got arrays: 14"):
        runs.load(made.build, made.Config, tmp_path / "run", dataset=data.from_arrays(x[:16]))
