"""Which parameters are reported, and what is said of the others; folds, rounds and recognition."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from gm import data, train
from gm import distributions as dist
from gm.core import Event
from gm.metrics import Score, results
from gm.models.autoregressive import NADE


@pytest.fixture
def fitted(experiment, monkeypatch):
    """What is made of a run whose validation was best, 3 nats, at step 40 of 100, and 5 at last."""
    fitting, options = experiment("fitting"), experiment("options")

    def fit(rises=True, **asked):
        def run(step, state, batches, num_steps, *, best, folder, config, evaluate):
            best.params, best.step, best.value = "early", 40 if rises else 100, 3.0
            best.last_step, best.last_value = 100, 5.0
            return SimpleNamespace(averaged="late")

        monkeypatch.setattr(train, "run", run)
        config = options.Chosen(num_steps=100, **asked)
        return fitting.run(config, None, None, None, dict)

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
    assert "reported are the parameters of the last step, as asked" in capsys.readouterr().out


def test_nothing_is_said_where_validation_has_not_risen(fitted, capsys):
    found = fitted(rises=False)
    assert (found.params, found.step, found.others) == ("late", 100, {})
    assert capsys.readouterr().out == ""


def test_each_row_states_the_updates_behind_its_parameters(fitted):
    found, dataset = fitted(), SimpleNamespace(name="digits", preprocessing="none")
    values = {"early": 1.0, "late": 2.0}
    scores = found.scores("NLL", lambda params: Score(values[params], None, 1))
    assert {name: score.value for name, score in scores.items()} == {
        "NLL": 1.0,
        "NLL, last step": 2.0,
    }
    rows = found.record(
        scores,
        dataset,
        experiment="made",
        model="MADE",
        principle="maximum likelihood",
        published={"NLL": (0.5, "paper")},
    )
    assert [(row.metric, row.steps, row.published) for row in rows] == [
        ("NLL", 40, 0.5),
        ("NLL, last step", 100, None),
    ]


def test_a_fold_is_normalised_by_what_is_not_tested(experiment):
    """Ten examples far out in the test tenth move neither mean nor deviation of the others."""
    x = np.random.default_rng(0).normal(3.0, 2.0, (100, 2))
    x[20:30] += 1000.0
    test, validation, rest = experiment("loading").fold(x, 2)
    others = np.concatenate([x[30:], x[:20]])
    mean, std = others.mean(0), others.std(0)
    np.testing.assert_allclose(test, (x[20:30] - mean) / std)
    np.testing.assert_allclose(validation, (x[30:40] - mean) / std)
    np.testing.assert_allclose(np.concatenate([validation, rest]), (others - mean) / std)


def test_rounds_keep_the_parameters_of_the_best_validation(experiment, monkeypatch):
    """The same training drifts from what one validation set holds to what the other does."""
    rounds, options = experiment("rounds"), experiment("options")
    monkeypatch.setattr(rounds, "STEPS", 20)
    model = NADE(Event((1,)), dist.MixtureOfNormalsHead(2), 2)
    c = options.Rounds(num_rounds=3, batch_size=4, learning_rate=0.02)
    near, far = np.full((2, 5, 1), 1.0, np.float32) * np.float32([[[1.0]], [[-1.0]]])

    def kept_by(validation):
        params = rounds.fit(c, model, jax.random.key(0), np.repeat(near, 10, axis=0), validation)
        return [-float(model.log_prob(params, x[0])) for x in (near, far)]

    (near_by_near, far_by_near), (near_by_far, far_by_far) = kept_by(near), kept_by(far)
    assert near_by_near < near_by_far - 0.1
    assert far_by_far < far_by_near - 0.1


def test_smoothing_is_chosen_on_validation(experiment, monkeypatch):
    """Validation shows what training never does, and the test set only what training does."""
    tabular = experiment("tabular")
    zeros, ones = np.zeros((50, 2), np.int32), np.ones((10, 2), np.int32)
    dataset = data.from_arrays(zeros, ones, zeros[:10], num_values=2)
    model = tabular.BayesianNetwork(dataset.event, tabular.graphs.empty(2))
    assert tabular.fit(model, dataset, (0.01, 10.0))[1] == 10.0
    swapped = data.from_arrays(zeros, zeros[:10], ones, num_values=2)
    assert tabular.fit(model, swapped, (0.01, 10.0))[1] == 0.01


def test_samples_are_judged_by_what_they_were_asked_to_be(experiment, monkeypatch, tmp_path):
    """Real digits of the label that was given are recognised as it, those of the next are not.

    The judge has learnt from training examples: labels of the test set that are wrong do not move
    it, and are told as wrong.
    """
    conditional, options = experiment("conditional"), experiment("options")
    fitting, digits = experiment("fitting"), data.load("digits")
    of = [digits.test.x[digits.test.y == y] for y in range(10)]
    parts = [digits.train, digits.validation, digits.test]
    labels = [digits.train.y, digits.validation.y, (digits.test.y + 1) % 10]
    mislabelled = data.from_arrays(*[p.x for p in parts], labels=labels, num_values=17)
    model, fitted = SimpleNamespace(context=Event((), 10)), fitting.Fitted("params", 7, 1.0)
    for shift, low, high in ((0, 95.0, 100.0), (1, 0.0, 5.0)):
        monkeypatch.setattr(
            experiment("maximum_likelihood"),
            "draw",
            lambda model, params, seed, num, shift=shift: np.stack(
                [of[(i + shift) % 10][i // 10] for i in range(num)]
            ),
        )
        results.write(tmp_path, [])
        c = options.Recognised(folder=tmp_path, eval_samples=50)
        found, x, y = conditional.recognise(c, mislabelled, model, fitted, "m", experiment="e")
        assert low <= found["classifier accuracy of samples"] <= high
        assert found["classifier accuracy of test examples"] < 5.0
        assert [row.steps for row in results.read(tmp_path / "result.json")] == [7, 7]
        assert (len(x), y[13]) == (50, 3)


def test_the_l1_penalty_pulls_weights_and_leaves_biases(experiment):
    """With no gradient, Adam's first update is the learning rate towards 0, for weights alone."""
    c = experiment("options").MaximumLikelihood(
        l1=0.5, weight_decay=0.0, num_steps=1, ema_decay=0.0
    )
    optimizer = experiment("maximum_likelihood").optimizer(c)
    params = {"kernel": np.float32([[2.0, -3.0]]), "bias": np.float32([1.0, -1.0])}
    zero, state = jax.tree.map(np.zeros_like, params), optimizer.init(params)
    updates, state = optimizer.update(zero, state, params)
    np.testing.assert_allclose(updates["kernel"], [[-4e-3, 4e-3]], rtol=1e-4)
    np.testing.assert_array_equal(updates["bias"], [0.0, 0.0])
    np.testing.assert_allclose(state.average["kernel"], params["kernel"] + updates["kernel"])


def test_muon_is_for_matrices_and_only_where_it_is_asked(experiment):
    """Its update of a matrix has equal singular values; Adam's, with signs alone, has rank one."""
    c = experiment("options").Chosen(num_steps=20, weight_decay=0.0)
    params = {"kernel": np.eye(3, dtype=np.float32)}
    gradient = {"kernel": np.float32([[9, 1, 1], [1, 4, 1], [1, 1, 2]])}
    ratios = []
    for muon in (True, False):
        optimizer = experiment("texts").optimizer(c, 1.0, muon=muon)
        state = optimizer.init(params)
        for _ in range(2):  # the first is of length 0
            updates, state = optimizer.update(gradient, state, params)
        singular = np.linalg.svd(updates["kernel"], compute_uv=False)
        ratios.append(singular[-1] / singular[0])
    assert ratios[0] > 0.5
    assert ratios[1] < 1e-3


def test_the_penalty_of_direct_connections_stands_in_place_of_the_other(experiment, tmp_path):
    """The optimizer adds l1 for every weight: what is left for the loss is the difference."""
    made = experiment("made")
    np.savez(tmp_path / "bits.npz", train=np.eye(4, dtype=np.uint8), num_values=2)
    options = {"dataset": str(tmp_path / "bits.npz"), "hidden": (2,), "l1": 0.1}
    plain, penalized = (
        made.assemble(made.Config(**options, l1_direct=l1))[1:] for l1 in (None, 0.3)
    )
    model, key = plain[0], jax.random.key(0)
    params, batch = jax.jit(model.init)(key), {"x": np.eye(4, dtype=np.int32)}
    params["params"]["shortcut"]["kernel"] = np.full_like(
        params["params"]["shortcut"]["kernel"], -2.0
    )
    losses = [loss(model, params, key, batch)[0] for loss in (plain[1], penalized[1])]
    size = params["params"]["shortcut"]["kernel"].size
    np.testing.assert_allclose(losses[1] - losses[0], 0.2 * 2.0 * size, rtol=1e-4)


def test_a_gan_samples_where_data_are_and_trains_its_critic_as_often_as_asked(experiment):
    gan = experiment("gan")
    c = gan.Config(hidden=(4,), critic_updates=5)
    dataset, generator, critic = gan.assemble(c)
    assert gan.game(c, generator, critic)["critic"].updates == 5
    assert 0.0 <= dataset.test.x.min() < dataset.test.x.max() <= 1.0
    params = jax.tree.map(
        lambda a: -50.0 * np.ones(a.shape), jax.eval_shape(generator.init, jax.random.key(0))
    )
    x = generator.sample(params, jax.random.key(0))
    assert 0.0 <= x.min() <= x.max() <= 1.0


def test_a_gan_is_compared_with_what_it_has_not_seen(experiment, dry, monkeypatch):
    gan, compared = experiment("gan"), []

    def two_sample(x, y):
        compared.append(x)
        return Score(0.5, None, 1)

    monkeypatch.setattr(gan.metrics.c2st, "accuracy", two_sample)
    monkeypatch.setattr(gan.metrics.mmd, "squared_mmd", lambda x, y: (0.0, 0.0))
    gan.main(gan.Config(num_steps=1, hidden=(4,), batch_size=8))
    (unseen,), digits = compared, data.load("digits_dequantized")
    np.testing.assert_array_equal(unseen, np.concatenate([digits.validation.x, digits.test.x]))


def test_the_quickstart_rounds_real_samples_down_to_levels(experiment):
    model = SimpleNamespace(
        event=Event((3,)), sample=lambda params, key: jax.numpy.array([0.0, 0.999, 9.9 / 17])
    )
    x, speed = experiment("cells").sample(model, {}, 2)
    np.testing.assert_array_equal(x, [[0, 16, 9]] * 2)
    assert speed > 0.0
