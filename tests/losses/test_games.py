"""Games of one number against another, whose fields and eigenvalues are known.

The Dirac-GAN of Mescheder, Geiger & Nowozin (2018), arXiv:1801.04406: data at 0, the generator's
only x is theta, and the critic is psi x; they are to meet at (0, 0).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.losses import adversarial, games, objectives, penalties
from gm.losses.divergences import KL

NAMES = ("critic", "generator")
BATCH = {"x": jnp.zeros((2, 1), jnp.float32)}


@dataclasses.dataclass(frozen=True)
class Dirac:
    """Both players."""

    event: Event = Event((1,))

    def prior(self, params):
        return dist.Normal(jnp.zeros(1), jnp.ones(1))

    def generate(self, theta, z):
        return theta + 0.0 * z

    def score(self, psi, x):
        return jnp.sum(psi * x)


def plain(objective=objectives.WASSERSTEIN, **options):
    return adversarial.game(objective, Dirac(), Dirac(), **options)


def field(losses):
    """v as a function of (psi, theta): [2]"""

    def v(at):
        params = {name: at[i : i + 1] for i, name in enumerate(NAMES)}
        found = games.vector_field(losses, params, jax.random.key(0), BATCH)
        return jnp.concatenate([found[name] for name in NAMES])

    return v


def spiral(real, square):
    """Eigenvalues real +- sqrt(square)."""
    root = np.emath.sqrt(square)
    return np.sort_complex([real - root, real + root])


PLAYED = {  # the losses, and eigenvalues of the field's Jacobian at the equilibrium
    "Wasserstein: circles": (plain, spiral(0.0, -1.0)),
    "non-saturating: circles": (lambda: plain(objectives.NON_SATURATING), spiral(0.0, -0.25)),
    "relativistic: circles": (lambda: plain(objectives.RELATIVISTIC), spiral(0.0, -0.25)),
    "KL: circles": (lambda: plain(objectives.f_gan(KL)), spiral(0.0, -1.0)),
    "R1": (
        lambda: plain(objectives.NON_SATURATING, penalty=penalties.r1_penalty, weight=0.6),
        spiral(-0.3, 0.3**2 - 0.25),
    ),
    "R1 and R2": (
        lambda: plain(
            penalty=penalties.total((penalties.r1_penalty, 0.5), (penalties.r2_penalty, 0.7))
        ),
        spiral(-0.6, 0.36 - 1.0),
    ),
    "consensus": (lambda: games.consensus(plain(), 0.4), spiral(-0.4, -1.0)),
    "extra-gradient": (lambda: games.extra_gradient(plain(), 0.3), spiral(-0.3, -1.0)),
    "unrolled": (lambda: games.unrolled(plain(), 3, 0.1), spiral(-0.3, 0.09 - 1.0)),
    "unrolled by none": (lambda: games.unrolled(plain(), 0, 0.1), spiral(0.0, -1.0)),
}


@pytest.mark.parametrize("name", PLAYED)
def test_a_game_has_the_eigenvalues_of_its_theory(name):
    """By differences: what a player treats as a constant moves with the parameters too."""
    make, want = PLAYED[name]
    v, h = jax.jit(field(make())), 0.01
    ends = h * np.concatenate([np.eye(2), -np.eye(2)]).astype(np.float32)
    up, down = np.split(np.array([v(at) for at in ends], np.float64), 2)
    found = np.sort_complex(np.linalg.eigvals((up - down).T / (2.0 * h)))
    np.testing.assert_allclose(found, want, atol=1e-4)


def test_descent_leaves_a_bilinear_game_and_the_extra_gradient_nears_it():
    """|(psi, theta)|^2 times 1 + h^2 a step, and times (1 - h^2)^2 + h^2."""
    h, steps = 0.2, 25
    for losses, factor in [
        (plain(), 1.0 + h**2),
        (games.extra_gradient(plain(), h), (1.0 - h**2) ** 2 + h**2),
    ]:
        v = field(losses)
        last = jax.jit(lambda at, v=v: jax.lax.fori_loop(0, steps, lambda _, a: a + h * v(a), at))
        at = last(jnp.array([0.6, 0.8], jnp.float32))
        np.testing.assert_allclose(jnp.sum(at**2), factor**steps, rtol=1e-4)


def test_the_penalty_around_the_data_does_not_end_the_circles_but_holds_the_slope():
    """(|psi| - 1)^2: the critic's own force is -2 (|psi| - 1) sign psi, and none at |psi| = 1."""
    losses = plain(penalty=penalties.dragan_penalty(0.5), weight=1.0)
    v = jax.jit(field(losses))
    np.testing.assert_allclose(v(jnp.array([1.0, 0.0])), [0.0, 1.0], atol=1e-5)
    np.testing.assert_allclose(v(jnp.array([-1.5, 0.2])), [-0.2 + 1.0, -1.5], atol=1e-5)


def test_losses_of_other_players_are_refused():
    losses, key = plain(), jax.random.key(0)
    with pytest.raises(ValueError, match="'generator' is missing among 'critic'"):
        games.vector_field(losses, {"critic": jnp.zeros(1)}, key, BATCH)
    with pytest.raises(ValueError, match="'maker' is missing among 'critic', 'generator'"):
        games.unrolled(losses, 2, 0.1, generator="maker")
    with pytest.raises(ValueError, match="steps of at least 0; got -1"):
        games.unrolled(losses, -1, 0.1)
