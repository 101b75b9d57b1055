"""A run that one JAX release began goes on under another.

`releases/` holds a checkpoint of this small run at step 3 and its digest, written by each release
named there. A release that is missing is added by `python tests/train/test_releases.py`.
"""

import pathlib
import shutil
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import train
from gm.train import checkpoints

FOLDER = pathlib.Path(__file__).resolve().parent / "releases"
OPTIMIZER = train.with_ema(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1)), 0.99)
STEPS = 3


def loss(params, key, batch):
    noise = jax.random.normal(key, batch["x"].shape)
    error = (batch["x"] + noise) @ params["w"] - params["b"].astype(jnp.float32)
    return jnp.mean(error**2), {}


def new():
    params = {"w": np.linspace(-1.0, 1.0, 4, dtype=np.float32), "b": jnp.bfloat16(0.5)}
    return train.init(params, OPTIMIZER, jax.random.key(7))


def batches():
    for n in range(10):
        yield {"x": np.random.RandomState(n).uniform(size=(8, 4)).astype(np.float32)}


def make_step():
    return train.make_step(loss, OPTIMIZER, mesh=train.data_mesh(jax.devices()[:1]))


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_a_checkpoint_of_another_release_restores_bit_for_bit_and_goes_on(path, tmp_path):
    state = checkpoints.restore(path, new())
    assert int(state.step) == STEPS
    assert train.digest(state) == (path / "digest.txt").read_text().strip()
    shutil.copytree(path, tmp_path / "run")
    step = make_step()
    end = train.run(step, new(), list(batches()), 8, folder=tmp_path / "run", progress=False)
    alone = train.run(step, new(), list(batches()), 8, progress=False)
    for x, y in zip(jax.tree.leaves(end.params), jax.tree.leaves(alone.params), strict=True):
        # Three steps were another compiler's; bfloat16 has eight bits of mantissa.
        tolerance = 1e-5 if x.dtype == jnp.float32 else 2**-7
        np.testing.assert_allclose(
            x.astype(jnp.float32), y.astype(jnp.float32), rtol=tolerance, atol=tolerance
        )


def write() -> None:
    """The checkpoint of the release that runs this."""
    path = FOLDER / f"jax-{'.'.join(jax.__version__.split('.')[:2])}"
    shutil.rmtree(path, ignore_errors=True)
    state = train.run(make_step(), new(), list(batches()), STEPS, progress=False)
    with tempfile.TemporaryDirectory() as folder:  # orbax writes down where it was
        checkpoints.save(folder, STEPS, state)
        shutil.copytree(folder, path)
    (path / "digest.txt").write_text(train.digest(state) + "\n")


if __name__ == "__main__":
    write()
