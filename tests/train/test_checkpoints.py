"""Checkpoints: bit for bit, on other devices, and damage noticed."""

import json
import logging
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import train
from gm.train import checkpoints


def state_of(width=3):
    """Every kind of leaf: bfloat16, an empty array, a scalar, a typed key, names with a slash."""
    params = {"a/b": jnp.arange(width, dtype=jnp.bfloat16), "empty": jnp.zeros((0, 4)), "s": 2.5}
    return train.init(params, train.with_ema(optax.adam(0.1)), jax.random.key(7))


def files(path):
    return sorted(f for f in path.rglob("*") if f.is_file() and f.stat().st_size)


def test_every_bit_returns_on_one_device_and_on_eight(tmp_path):
    eight = jax.sharding.NamedSharding(train.data_mesh(), jax.sharding.PartitionSpec())
    small = state_of()
    large = jax.device_put(state_of(), eight)
    checkpoints.save(tmp_path / "one", 1, small)
    checkpoints.save(tmp_path / "eight", 1, large)
    for folder in ("one", "eight"):
        for like in (small, large):
            got = checkpoints.restore(tmp_path / folder, like)
            assert train.digest(got) == train.digest(small)
            assert got.params["s"].sharding == like.params["s"].sharding
            assert jax.random.normal(got.key) == jax.random.normal(small.key)


def test_a_digest_sees_one_bit_one_name_and_one_dtype():
    x = jnp.ones(3)
    other = jnp.ones(3).at[1].set(np.nextafter(np.float32(1), np.float32(2)))
    trees = ({"x": x}, {"x": other}, {"y": x}, {"x": x.astype(int)}, {"x": x[None]})
    assert len({train.digest(tree) for tree in trees}) == 5


def test_the_newest_few_are_kept(tmp_path):
    state = state_of()
    for step in (1, 2, 10, 3):
        checkpoints.save(tmp_path, step, state, keep=2)
    assert checkpoints.steps(tmp_path) == [2, 3, 10]  # 10 is not older than 3
    with pytest.raises(ValueError, match="keep at least 1"):
        checkpoints.save(tmp_path, 4, state, keep=0)


def flip(path):
    target = max(files(path / "arrays"), key=lambda f: f.stat().st_size)
    data = bytearray(target.read_bytes())
    data[len(data) // 2] ^= 1
    target.write_bytes(data)


def truncate(path):
    target = files(path / "arrays")[-1]
    target.write_bytes(target.read_bytes()[:-1])


def remove(path):
    files(path / "arrays")[0].unlink()


def add(path):
    (path / "arrays" / "stray").write_text("x")


def unvouch(path):
    (path / "manifest.json").unlink()


def scribble(path):
    (path / "manifest.json").write_bytes(b"\xff\x00{")


def forge(path):
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["body"]["leaves"] = {}
    (path / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip, "has other content"),
        (truncate, "bytes; .* were written"),
        (remove, "is missing"),
        (add, "was not there"),
        (unvouch, "cannot be read"),
        (scribble, "cannot be read"),
        (forge, "not what was written"),
    ],
)
def test_damage_is_said_and_the_newest_intact_step_wins(damage, words, tmp_path, caplog):
    state = state_of()
    for step in (1, 2):
        saved = state.replace(step=jnp.int32(step))
        path = checkpoints.save(tmp_path, step, saved)
    damage(path)
    with caplog.at_level(logging.WARNING):
        got = checkpoints.restore(tmp_path, state)
    assert int(got.step) == 1
    assert "going back to step 1" in caplog.text
    with pytest.raises(checkpoints.DamagedCheckpoint, match=words):
        checkpoints.verify(tmp_path, 2)


def test_nothing_intact_is_never_taken_for_nothing(tmp_path):
    flip(checkpoints.save(tmp_path, 1, state_of()))
    with pytest.raises(checkpoints.DamagedCheckpoint, match=r"no checkpoint .* is intact"):
        checkpoints.restore(tmp_path, state_of())
    with pytest.raises(FileNotFoundError, match="no checkpoint to restore"):
        checkpoints.restore(tmp_path / "other", state_of())


def test_a_save_that_was_cut_short_leaves_no_checkpoint(tmp_path):
    partial = tmp_path / "checkpoints" / "partial-000000004" / "arrays"
    partial.mkdir(parents=True)
    (partial / "half").write_text("x")
    assert checkpoints.steps(tmp_path) == []
    checkpoints.save(tmp_path, 4, state_of())
    assert checkpoints.verify(tmp_path, 4)["step"] == 4
    assert [p.name for p in pathlib.Path(tmp_path / "checkpoints").iterdir()] == ["000000004"]


def test_another_model_is_refused_with_both_shapes(tmp_path):
    checkpoints.save(tmp_path, 1, state_of(3))
    with pytest.raises(ValueError, match=r"another model") as error:
        checkpoints.restore(tmp_path, state_of(5))
    assert "params['a/b']: bfloat16[3] there, bfloat16[5] here" in str(error.value)
    plain = train.init(state_of().params, optax.sgd(0.1), jax.random.key(0))
    with pytest.raises(ValueError, match=r" there, absent here"):
        checkpoints.restore(tmp_path, plain)
