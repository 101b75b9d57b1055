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
    """Real digits of the label that was given are recognised as it, those of the next are not."""
    conditional, options = experiment("conditional"), experiment("options")
    fitting, digits = experiment("fitting"), data.load("digits")
    of = [digits.test.x[digits.test.y == y] for y in range(10)]
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
        found, x, y = conditional.recognise(c, digits, model, fitted, "m", experiment="e")
        assert low <= found["recognised samples"] <= high
        assert [row.steps for row in results.read(tmp_path / "result.json")] == [7, 7]
        assert (len(x), y[13]) == (50, 3)
