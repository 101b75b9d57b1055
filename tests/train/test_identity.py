"""What distinguishes two runs: loss, optimizer, players and batches; over processes, releases."""

import dataclasses
import functools
import json
import pathlib
import shutil
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import core, data, train
from gm import distributions as dist
from gm.losses import likelihood
from gm.models.autoregressive import MADE
from gm.train import checkpoints, identity, players, weights

QUIET = {"progress": False, "log_every": 5, "checkpoint_every": 4}
BETA, TABLE, COUNTS = 2.0, np.arange(3.0), []


@dataclasses.dataclass(frozen=True)
class Model:
    width: int = 3
    activation: Callable = nn.relu
    new: float = 0.5
    note: str = dataclasses.field(default="", compare=False)


class Plain:
    def __init__(self, rate, seen=0):
        self.rate, self._seen = rate, seen

    def loss(self, params, key, batch):
        return self.rate, {}


def loss_of(model, params, key, batch, *, scale=1.0):
    return jax.vmap(lambda x: x * BETA + TABLE.sum() + len(COUNTS))(batch["x"]).mean(), {}


def closure(rate):
    def again(depth):
        return again(depth - 1) * rate  # a cycle

    return again


def values(value):
    return identity.describe(value).values


def differences(a, b):
    return identity.differences(json.loads(json.dumps(values(a))), identity.describe(b))


def schedule(rate, steps=300):
    return optax.warmup_cosine_decay_schedule(0.0, rate, 10, steps)


@pytest.mark.parametrize(
    ("make", "other", "lines"),
    [
        (lambda: Model(3), lambda: Model(4), ["width: 3 there, 4 here"]),
        (lambda: Model(), lambda: Model(activation=jnp.tanh), ["activation: relu there, tanh her"]),
        (lambda: nn.Dense(3), lambda: nn.Dense(3, use_bias=False), ["use_bias: True there, Fals"]),
        (lambda: Plain(0.1, 3), lambda: Plain(0.2, 4), ["rate: 0.1 there, 0.2 here"]),
        (lambda: Plain(0.1).loss, lambda: Plain(0.2).loss, ["self.rate: 0.1 there, 0.2 here"]),
        (lambda: closure(0.1), lambda: closure(0.2), ["rate: 0.1 there, 0.2 here"]),
        (lambda: jax.jit(closure(0.1)), lambda: jax.jit(closure(0.2)), ["rate: 0.1 there, 0.2"]),
        (lambda: lambda x, m=1: x, lambda: lambda x, m=2: x, ["m: 1 there, 2 here"]),
        (
            lambda: functools.partial(loss_of, Model(3)),
            lambda: functools.partial(loss_of, Model(5), scale=2.0),
            ["[0].width: 3 there, 5 here", "scale: 1.0 there, 2.0 here"],
        ),
        (lambda: np.arange(6), lambda: np.arange(6)[::-1], ["kind: int64[6] sha256"]),
        (lambda: {"a": 1, "b": (1, 2)}, lambda: {"b": (1, 3), "a": 1}, ["[b]: (1, 2) there"]),
        (lambda: optax.adam(1e-3), lambda: optax.adam(2e-3), ["0.001 there, -0.002 here"]),
        (
            lambda: train.with_ema(optax.adamw(schedule(1e-3), weight_decay=0.1)),
            lambda: train.with_ema(optax.adamw(schedule(1e-2), weight_decay=0.1)),
            ["0.001 there, 0.01 here"],
        ),
        (lambda: optax.sgd(schedule(1.0)), lambda: optax.sgd(schedule(1.0, 400)), ["290", "390"]),
        (
            lambda: optax.MultiSteps(optax.adam(1e-3), 2).gradient_transformation(),
            lambda: optax.MultiSteps(optax.adam(2e-3), 2).gradient_transformation(),
            ["0.001 there, -0.002 here"],
        ),
    ],
)  # fmt: skip
def test_what_is_made_again_is_the_same_and_another_is_told_by_its_path(make, other, lines):
    assert differences(make(), make()) == []
    assert "0x" not in json.dumps(values(make()))
    found = differences(make(), other())
    assert found
    for line in lines:
        assert line in "\n".join(found)


def test_what_a_loss_finds_in_its_script_is_part_of_it(monkeypatch):
    before = functools.partial(loss_of, Model())
    saved = values(before)
    monkeypatch.setitem(globals(), "COUNTS", [1])  # what a program remembers is not
    assert identity.differences(saved, identity.describe(before)) == []
    monkeypatch.setitem(globals(), "BETA", 3.0)
    assert identity.differences(saved, identity.describe(before)) == ["BETA: 2.0 there, 3.0 here"]


def test_a_default_that_a_later_release_adds_is_no_difference():
    saved = values(functools.partial(loss_of, Model()))
    del saved["[0].new"], saved["scale"]
    later = functools.partial(loss_of, Model(note="of no account"))
    assert identity.differences(saved, identity.describe(later)) == []
    other = identity.describe(functools.partial(loss_of, Model(new=0.25), scale=3.0))
    found = identity.differences(saved, other)
    assert found == ["[0].new: absent there, 0.25 here", "scale: absent there, 3.0 here"]


def test_another_release_of_optax_is_compared_by_the_numbers_that_both_have(monkeypatch):
    def run(rate):
        return identity.describe_run(players.game_of(optax.adam(rate), loss_of), None)

    saved = run(1e-3).as_json()
    saved["optimizer"]["moved.elsewhere"] = 7.0
    assert len(run(1e-3).differences(saved)) == 1
    saved["releases"]["optax"] = "0.1"
    assert run(1e-3).differences(saved) == []
    assert "-0.001 there, -0.002 here" in "\n".join(run(2e-3).differences(saved))


def test_batches_are_told_by_data_order_and_size_and_not_by_where_they_are_made():
    x = np.arange(48.0, dtype=np.float32).reshape(16, 3)
    split = data.from_arrays(x, x, x).train
    game = players.game_of(optax.adam(1e-3), loss_of)

    def run(split, *args, **options):
        return identity.describe_run(game, split.batches(*args, **options))

    saved = run(split, 4).as_json()
    same = run(data.from_arrays(x, x, x).train, 4, shard_index=1, shard_count=2, on_device=True)
    assert same.differences(saved) == []
    assert run(split, 8, 5).differences(saved) == [
        "batches.batch_size: 4 there, 8 here",
        "batches.seed: 0 there, 5 here",
    ]
    (line,) = run(data.from_arrays(x + 1, x, x).train, 4).differences(saved)
    assert line.startswith("batches.split.source.columns[x]: float32[16, 3] sha256")


def test_another_order_or_rate_is_refused_with_the_difference(one, step, new, problem, tmp_path):
    """And goes on on purpose: the file that the error names removed."""
    x = problem.Batches()[0]["x"]
    split = data.from_arrays(x, x, x).train
    train.run(step, new(), split.batches(24), 3, folder=tmp_path, **QUIET)
    options = {"folder": tmp_path, **QUIET}
    train.run(step, new(), split.batches(24), 4, **options)  # more steps of the same
    with pytest.raises(ValueError, match=r"batches\.seed: 0 there, 7 here"):
        train.run(step, new(), split.batches(24, 7), 4, **options)
    optimizer = train.with_ema(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.2)), 0.99)
    other = train.make_step(problem.loss, optimizer, mesh=one)
    with pytest.raises(ValueError, match=r"optimizer\..*: -0\.1 there, -0\.2 here") as error:
        train.run(other, new(), split.batches(24), 4, **options)
    (named,) = [word for word in str(error.value).split() if word.endswith("run.json.")]
    pathlib.Path(named.removesuffix(".")).unlink()
    assert int(train.run(other, new(), split.batches(24), 5, **options).step) == 5


def test_players_of_a_game_are_distinguished_by_their_order_too(problem):
    def run(game):
        return identity.describe_run(players.game_of(game), None)

    game = problem.players()
    saved = run(game).as_json()
    assert run(problem.players()).differences(saved) == []
    assert run(dict(reversed(game.items()))).differences(saved)
    slower = {**game, "critic": dataclasses.replace(game["critic"], optimizer=optax.sgd(0.2))}
    assert "[critic]" in "\n".join(run(slower).differences(saved))


def test_weights_and_checkpoints_of_other_masks_are_refused(one, tmp_path):
    """The shapes agree, and the numbers would be of another model."""
    event = core.Event((6,), 2)
    models = [MADE(event, dist.head_for(event), hidden=(8,), order=order)
              for order in (None, (3, 1, 5, 0, 2, 4))]  # fmt: skip
    params = models[0].init(jax.random.key(0))
    path = weights.save(tmp_path / "made.safetensors", params, model=models[0])
    weights.load(path, params, model=models[0])
    with pytest.raises(
        ValueError, match=r"another model(.|\n)*order: \(0, 1, 2, 3, 4, 5\) there, \(3, 1, 5, 0, 2"
    ):
        weights.load(path, params, model=models[1])
    optimizer, losses = optax.sgd(0.1), [
        functools.partial(likelihood.negative_log_likelihood, model) for model in models
    ]  # fmt: skip
    steps = [train.make_step(loss, optimizer, mesh=one) for loss in losses]
    state = functools.partial(train.init, params, optimizer, jax.random.key(0))
    batches = [{"x": np.zeros((2, 6), np.int32)}] * 3
    train.run(steps[0], state(), batches, 2, folder=tmp_path, **QUIET)
    with pytest.raises(
        ValueError, match=r"another loss(.|\n)*order: \(0, 1, 2, 3, 4, 5\) there, \(3, 1, 5, 0, 2"
    ):
        train.run(steps[1], state(), batches, 3, folder=tmp_path, **QUIET)
    checkpoints.restore(tmp_path, state(), model=models[0])
    with pytest.raises(
        ValueError, match=r"another model:(.|\n)*order: \(0, 1, 2, 3, 4, 5\) there, \(3, 1, 5, 0"
    ):
        checkpoints.restore(tmp_path, state(), model=models[1])
    with pytest.raises(ValueError, match="no Model there"):
        checkpoints.restore(tmp_path, state(), model=Model())
    shutil.rmtree(tmp_path / "checkpoints")
    (tmp_path / "history.jsonl").unlink()  # which tells of step 2
    train.run(steps[1], state(), batches, 1, folder=tmp_path, **QUIET)  # nothing to be wrong about
