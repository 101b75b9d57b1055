"""Which parameters are reported, and what is said of the others; seeds, folds and classifiers."""

import functools
from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest

from gm import bijections, data, metrics, train
from gm import distributions as dist
from gm.core import Event
from gm.losses import variational
from gm.metrics import Score, results
from gm.models import flows
from gm.models.autoregressive import NADE
from gm.models.classical import BayesianNetwork, graphs
from gm.recipes import (
    class_conditional,
    closed_form,
    fitting,
    folds,
    games,
    likelihood,
    options,
    reports,
    samples,
    tables,
    texts,
)
from gm.recipes.experiment import Experiment


@pytest.fixture
def fitted(monkeypatch):
    """What is made of a run whose validation was best, 3 nats, at step 40 of 100, and 5 at last."""

    def fit(rises=True, **asked):
        def run(step, state, batches, num_steps, *, best, **keep):
            best.params, best.step, best.value = "early", 40 if rises else 100, 3.0
            best.last_step, best.last_value = 100, 5.0
            return SimpleNamespace(averaged="late")

        monkeypatch.setattr(train, "run", run)
        monkeypatch.setattr(train, "make_step", lambda *learner, num_members: None)
        monkeypatch.setattr(fitting, "_init", lambda *asked: None)
        c = options.Chosen(num_steps=100, **asked)
        return fitting.in_steps(c, None, None, (None, None), None, None, batches=[])

    return fit


def test_the_best_of_validation_is_reported_beside_the_last(fitted, capsys):
    found = fitted()
    assert (found.params, found.step) == ("early", 40)
    assert found.others == {"last step": ("late", 100)}
    said = capsys.readouterr().out
    assert "risen from 3.00 nats at step 40 to 5.00 at step 100" in said
    assert "of step 40 (--no-keep-best: of the last)" in said


def test_the_last_is_reported_where_that_is_asked_beside_the_best(fitted, capsys):
    found = fitted(keep_best=False)
    assert (found.params, found.step) == ("late", 100)
    assert found.others == {"best validation": ("early", 40)}
    assert "the report uses the parameters of the last step, as asked" in capsys.readouterr().out


def test_nothing_is_said_where_validation_has_not_risen(fitted, capsys):
    found = fitted(rises=False)
    assert (found.params, found.step, found.others) == ("late", 100, {})
    assert capsys.readouterr().out == ""


def described(score, **fields):
    """An experiment of which only the scores matter."""
    digits = data.load("digits")
    return Experiment(digits, None, "MADE", "maximum likelihood", None, score, print, **fields)


def test_each_row_states_the_updates_behind_its_parameters(fitted, tmp_path, monkeypatch):
    found, values = fitted(), {"early": 1.0, "late": 2.0}
    monkeypatch.setattr(reports, "save", lambda *kept: None)
    made = described(
        lambda params, split: {"NLL": Score(values[params], None, len(split))},
        published={"digits": {"NLL": (0.5, "paper")}},
    )
    reports.report(described, options.Data(folder=tmp_path), made, found)
    rows = results.read(tmp_path / "result.json")
    assert [(row.metric, row.value, row.steps, row.published, row.count) for row in rows] == [
        ("NLL", 1.0, 40, 0.5, 180),
        ("NLL, last step", 2.0, 100, None, 180),
    ]
    assert {row.experiment for row in rows} == {"test_fitting"}


def test_of_several_seeds_the_mean_and_its_error_are_reported(capsys):
    made = described(lambda params, split: {"NLL": Score(params["a"], None, 1)}, num_members=3)
    (name, found), *_ = reports.score(made, {"a": np.array([1.0, 2.0, 6.0])}, None).items()
    assert (name, found.value, found.count) == ("NLL, mean over seeds", 3.0, 3)
    assert found.standard_error == pytest.approx(np.std([1.0, 2.0, 6.0], ddof=1) / np.sqrt(3))
    assert "seed by seed: 1, 2, 6" in capsys.readouterr().out


def test_seeds_start_apart_and_are_validated_apart(monkeypatch):
    """The number that is logged is the mean over seeds, each with parameters of its own."""
    seen = []

    def run(step, state, batches, num_steps, *, evaluate, best, **keep):
        assert best is None
        seen.append(evaluate(state))
        return state

    monkeypatch.setattr(train, "run", run)
    c = options.Training(num_seeds=3)
    found = fitting.in_steps(
        c,
        None,
        lambda key: {"a": jax.random.normal(key, ())},
        (lambda params, key, batch: (params["a"], {}), optax.sgd(1.0)),
        lambda params: {"nats": float(params["a"])},
        None,
        batches=[],
    )
    a = np.asarray(found.params["a"])
    assert a.shape == (3,)
    assert len({*a}) == 3
    assert seen == [{"nats": pytest.approx(a.mean(), rel=1e-6)}]


def test_a_fold_is_standardized_by_what_is_not_tested():
    """Ten examples far out in the test tenth move neither mean nor deviation of the others."""
    x = np.random.default_rng(0).normal(3.0, 2.0, (100, 2))
    x[20:30] += 1000.0
    test, validation, rest = folds.standardized(*folds.split_fold(x, 2))
    others = np.concatenate([x[30:], x[:20]])
    mean, std = others.mean(0), others.std(0)
    np.testing.assert_allclose(test, (x[20:30] - mean) / std)
    np.testing.assert_allclose(validation, (x[30:40] - mean) / std)
    np.testing.assert_allclose(np.concatenate([validation, rest]), (others - mean) / std)


def test_rounds_keep_the_parameters_of_the_best_validation(monkeypatch):
    """The same training drifts from what one validation set holds to what the other does."""
    monkeypatch.setattr(folds, "STEPS", 20)
    model = NADE(Event((1,)), dist.MixtureOfNormalsHead(2), 2)
    c = options.Folds(num_rounds=3, batch_size=4, learning_rate=0.02)
    near, far = np.full((2, 5, 1), 1.0, np.float32) * np.float32([[[1.0]], [[-1.0]]])

    def kept_by(validation):
        params = folds.fit_fold(
            c, model, jax.random.key(0), np.repeat(near, 10, axis=0), validation
        )
        return [-float(model.log_prob(params, x[0])) for x in (near, far)]

    (near_by_near, far_by_near), (near_by_far, far_by_far) = kept_by(near), kept_by(far)
    assert near_by_near < near_by_far - 0.1
    assert far_by_far < far_by_near - 0.1


def test_smoothing_is_chosen_on_validation(capsys):
    """Validation shows what training never does, and the test set only what training does."""
    zeros, ones = np.zeros((50, 2), np.int32), np.ones((10, 2), np.int32)
    for parts, best in ((((ones, zeros[:10])), "much"), ((zeros[:10], ones), "little")):
        dataset = data.from_arrays(zeros, *parts, num_values=2)
        model = BayesianNetwork(dataset.event, graphs.empty(2))
        fits = {
            name: functools.partial(model.fit, zeros, smoothing=s)
            for name, s in (("little", 0.01), ("much", 10.0))
        }
        closed_form.experiment(options.Data(), dataset, model, "m", fits).fit()
        assert f"m: {best}, the best of 2 by validation" in capsys.readouterr().out


def test_samples_are_classified_as_what_they_were_asked_to_be(monkeypatch):
    """Real digits of the label that was given are classified as it, those of the next are not.

    The classifier has learnt from training examples: labels of the test set that are wrong do not
    move it, and are told as wrong.
    """
    digits, c = data.load("digits"), options.ClassConditional(eval_samples=50)
    of = [digits.test.x[digits.test.y == y] for y in range(10)]
    parts = [digits.train, digits.validation, digits.test]
    labels = [digits.train.y, digits.validation.y, (digits.test.y + 1) % 10]
    mislabelled = data.from_arrays(*[p.x for p in parts], labels=labels, num_values=17)
    model = SimpleNamespace(context=Event((), 10))
    for shift, low, high in ((0, 95.0, 100.0), (1, 0.0, 5.0)):
        monkeypatch.setattr(
            samples,
            "sample",
            lambda model, params, seed, num, shift=shift: np.stack(
                [of[(i + shift) % 10][i // 10] for i in range(num)]
            ),
        )
        asked = c, mislabelled, model, "params", mislabelled.test
        found = {k: s.value for k, s in class_conditional.accuracy(*asked).items()}
        assert low <= found["classifier accuracy of samples"] <= high
        assert found["classifier accuracy of test examples"] < 5.0


def test_the_l1_penalty_pulls_weights_and_leaves_biases():
    """With no gradient, Adam's first update is the learning rate towards 0, for weights alone."""
    c = options.MaximumLikelihood(l1=0.5, weight_decay=0.0, num_steps=1, ema_decay=0.0)
    optimizer = likelihood.optimizer(c)
    params = {"kernel": np.float32([[2.0, -3.0]]), "bias": np.float32([1.0, -1.0])}
    zero, state = jax.tree.map(np.zeros_like, params), optimizer.init(params)
    updates, state = optimizer.update(zero, state, params)
    np.testing.assert_allclose(updates["kernel"], [[-4e-3, 4e-3]], rtol=1e-4)
    np.testing.assert_array_equal(updates["bias"], [0.0, 0.0])
    np.testing.assert_allclose(state.average["kernel"], params["kernel"] + updates["kernel"])


def test_muon_is_for_matrices_and_only_where_it_is_asked():
    """Its update of a matrix has equal singular values; Adam's, with signs alone, has rank one."""
    c = options.Fast(num_steps=20, weight_decay=0.0, clip_norm=1.0)
    params = {"kernel": np.eye(3, dtype=np.float32)}
    gradient = {"kernel": np.float32([[9, 1, 1], [1, 4, 1], [1, 1, 2]])}
    ratios = []
    for inner in (texts.muon, texts.adamw):
        optimizer = texts.averaged(c, inner(c))
        state = optimizer.init(params)
        for _ in range(2):  # the first is of length 0
            updates, state = optimizer.update(gradient, state, params)
        singular = np.linalg.svd(updates["kernel"], compute_uv=False)
        ratios.append(singular[-1] / singular[0])
    assert ratios[0] > 0.5
    assert ratios[1] < 1e-3


def test_the_penalty_of_direct_connections_stands_in_place_of_the_other(experiment, tmp_path):
    """The optimizer adds l1 for every weight: what is left for the loss is the difference."""
    made, losses = experiment("made"), []
    np.savez(tmp_path / "bits.npz", train=np.eye(4, dtype=np.uint8), num_values=2)
    asked = {"dataset": str(tmp_path / "bits.npz"), "hidden": (2,), "l1": 0.1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likelihood, "experiment", lambda *parts, loss, **own: (parts[2], loss))
        (model, plain), (_, penalized) = (
            made.build(made.Config(**asked, l1_direct=l1)) for l1 in (None, 0.3)
        )
    key, batch = jax.random.key(0), {"x": np.eye(4, dtype=np.int32)}
    params = jax.jit(model.init)(key)
    direct = params["params"]["shortcut"]["kernel"]
    params["params"]["shortcut"]["kernel"] = np.full_like(direct, -2.0)
    losses = [loss(model, params, key, batch)[0] for loss in (plain, penalized)]
    np.testing.assert_allclose(losses[1] - losses[0], 0.2 * 2.0 * direct.size, rtol=1e-4)


def test_a_gan_samples_where_data_are_and_trains_its_critic_as_often_as_asked(
    experiment, monkeypatch
):
    gan, asked = experiment("gan"), []
    built = gan.build(gan.Config(hidden=(4,), critic_updates=5, batch_size=3))
    monkeypatch.setattr(
        fitting, "in_steps", lambda *parts, batches, **own: asked.append((parts, batches))
    )
    built.fit()
    ((_, _, _, players, *_), batches) = asked[0]
    assert (players["critic"].updates, players["generator"].updates) == (5, 1)
    assert batches.batch_size == 15
    assert 0.0 <= built.dataset.test.x.min() < built.dataset.test.x.max() <= 1.0
    params = jax.tree.map(lambda a: -50.0 * np.ones(a.shape), built.shapes)
    x = built.model.sample(params, jax.random.key(0))
    assert 0.0 <= x.min() <= x.max() <= 1.0


def test_a_gan_is_compared_with_what_it_has_not_seen(experiment, monkeypatch):
    gan, compared = experiment("gan"), []
    monkeypatch.setattr(metrics.c2st, "accuracy", lambda x, y: compared.append(x))
    monkeypatch.setattr(metrics.mmd, "squared_mmd", lambda x, y: (0.0, 0.0))
    built, digits = gan.build(gan.Config(hidden=(4,))), data.load("digits_dequantized")
    games.compare(built.dataset, built.reported, digits.test.x)
    np.testing.assert_array_equal(compared[0], np.concatenate([digits.validation.x, digits.test.x]))


def test_a_vae_is_trained_by_the_bound_it_is_asked_for(experiment, monkeypatch):
    asked, vae = [], experiment("vae")
    monkeypatch.setattr(
        fitting, "in_steps", lambda c, data, init, learner, *more, **own: asked.append(learner[0])
    )
    for num in (1, 3):
        vae.build(vae.Config(hidden=(2,), latent_dim=1, num_samples=num)).fit()
    one, several = asked
    assert one.func is variational.negative_elbo
    assert several.func is variational.negative_iwae
    assert several.keywords == {"num_samples": 3}


def test_the_quickstart_rounds_real_samples_down_to_levels():
    model = SimpleNamespace(
        event=Event((3,)), sample=lambda params, key: jax.numpy.array([0.0, 0.999, 9.9 / 17])
    )
    x, speed = tables.sample(model, {}, 2)
    np.testing.assert_array_equal(x, [[0, 16, 9]] * 2)
    assert speed > 0.0


def test_the_divergence_from_a_known_density_is_that_of_gaussians():
    """KL(N(0, 1) || N(1, 4)) = log 2 + (1 + 1) / 8 - 1 / 2, by quadrature."""
    event = Event((1,))
    density = data.toy.GaussianMixture(((0.0,),), (1.0,), (1.0,))
    model = flows.Flow(event, flows.Standard(event), bijections.Affine(event))
    params = model.init(jax.random.key(0))
    params["bijection"] = {"shift": np.ones(1, "f"), "log_scale": np.full(1, np.log(2.0), "f")}
    found = likelihood.from_truth(density, model, params)
    assert found.value == pytest.approx(np.log(2.0) - 0.25, rel=1e-5)


def test_a_start_from_examples_is_that_of_the_model_for_every_seed():
    event = Event((2,))
    model = flows.Flow(event, flows.Standard(event), bijections.Affine(event))
    x = np.random.default_rng(0).normal(3.0, 2.0, (50, 2)).astype(np.float32)
    init = functools.partial(model.init, x=x)
    for num_seeds in (1, 2):
        c = options.Training(num_seeds=num_seeds)
        state = fitting._init(c, init, optax.sgd(0.1), None, traced=False)
        shift = np.asarray(state.params["bijection"]["shift"])
        np.testing.assert_allclose(shift.reshape(-1, 2), [x.mean(0)] * num_seeds, rtol=1e-5)
