"""Tiny problems for the tests of gm.train: linear regression and a game of two players."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import train

B, D = 48, 3  # B is a multiple of 8 devices x 3 parts
PARAMS = {"w": np.array([0.5, -1.0, 2.0], np.float32)}
GAME = {"critic": np.float32(0.3), "generator": {"mean": np.array([1.0, -1.0], np.float32)}}


class Batches:
    """Batch n is a function of n: the batches of gm.data, in miniature."""

    def __init__(self, bad: int = -1, base: int = 0):
        self.bad, self.base = bad, base

    def __getitem__(self, n):
        x = np.random.default_rng([self.base, n]).normal(size=(B, D)).astype(np.float32)
        return {"x": x * np.float32(np.nan if n == self.bad else 1.0)}

    def starting_at(self, step):
        while True:
            yield self[step]
            step += 1

    def indices(self, step):
        return np.arange(step * 10, step * 10 + 4)


def loss(params, key, batch):
    """Regression on a noisy target; the noise makes every step depend on the key."""
    target = jnp.sum(batch["x"], 1) + jax.random.normal(key, (batch["x"].shape[0],))
    error = batch["x"] @ params["w"] - target
    return jnp.mean(error**2), {"bias": jnp.mean(error)}


def critic_loss(params, key, batch):
    moved = params["generator"]["mean"].sum() + jax.random.normal(key)
    return jnp.mean((params["critic"] - batch["x"][:, 0] * moved) ** 2), {"x0": batch["x"][0, 0]}


def generator_loss(params, key, batch):
    pull = params["critic"] * params["generator"]["mean"]
    return jnp.sum((pull - jnp.mean(batch["x"])) ** 2) + 0.0 * jax.random.normal(key), {}


def players():
    return {
        "critic": train.Player(critic_loss, optax.sgd(0.1), updates=3),
        "generator": train.Player(generator_loss, train.with_ema(optax.adam(0.05), 0.9)),
    }


OPTIMIZER = train.with_ema(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1)), 0.99)


@pytest.fixture(scope="session")
def problem():
    """The problems themselves."""
    return types.SimpleNamespace(**{k: v for k, v in globals().items() if k[0] != "_"})


@pytest.fixture(scope="session")
def one():
    return train.data_mesh(jax.devices()[:1])


@pytest.fixture(scope="session")
def step(one):
    return train.make_step(loss, OPTIMIZER, mesh=one)


@pytest.fixture(scope="session")
def game_step(one):
    return train.make_step(players(), mesh=one)


@pytest.fixture
def new():
    """A new state of the regression problem."""
    return lambda seed=0: train.init(PARAMS, OPTIMIZER, jax.random.key(seed))


@pytest.fixture
def new_game():
    return lambda: train.init(GAME, players(), jax.random.key(0))
