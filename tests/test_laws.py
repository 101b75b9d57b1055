"""The laws catch the models that break them, and name the law that is broken."""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from gm import distributions as dist
from gm import laws
from gm.core import Event
from gm.models.autoregressive import MADE, CausalModel
from gm.models.implicit import Generator
from gm.models.latent import VAE
from gm.networks import MLP, MaskedMLP


@dataclasses.dataclass(frozen=True)
class Broken(CausalModel):
    """A MADE of three bits to be broken in one way each."""

    event: Event = Event((3,), 2)
    conditional: dist.BernoulliHead = dist.BernoulliHead()
    network: MaskedMLP = MaskedMLP(hidden=(6,))


class Unnormalized(Broken):
    def log_prob(self, params, x, context=None):
        return 1.1 * super().log_prob(params, x)


class PeeksAtItself(Broken):
    def conditionals(self, params, x, context=None, wiring=None):
        p = super().conditionals(params, x)
        return dist.Bernoulli(p.logits + 0.1 * (2.0 * x - 1.0))


class ForgetsWhileWalking(Broken):
    def observe(self, params, carry, x_i):
        return super().observe(params, carry, jnp.zeros_like(x_i))

    def predict_block(self, params, carry, x):
        return super().predict_block(params, carry, jnp.zeros_like(x))


class DrawsFromElsewhere(Broken):
    def sample(self, params, key):
        return jax.random.bernoulli(key, 0.5, (3,)).astype(jnp.int32)


class IgnoresItsKey(Broken):
    def sample(self, params, key):
        return jnp.zeros(3, jnp.int32)


class HasADeadParameter(Broken):
    def init(self, key):
        params = super().init(key)
        return {"params": params["params"] | {"dead": jnp.zeros(3)}}


class Elsewhere(dist.Normal):
    """Draws from another place than its density says."""

    def sample(self, key):
        return super().sample(key) + 1.0


class DrawsAnotherPosterior(VAE):
    def encode(self, params, x):
        q = super().encode(params, x)
        return Elsewhere(q.loc, q.scale)


class Thin(dist.Normal):
    """Claims a density that integrates to less than one, so that its bound is none."""

    def log_prob(self, x):
        return super().log_prob(x) - 3.0


class ThinPosterior(VAE):
    def encode(self, params, x):
        q = super().encode(params, x)
        return Thin(q.loc, q.scale)


@pytest.mark.parametrize(
    ("model", "law"),
    [
        (Unnormalized, "a density sums to one"),
        (PeeksAtItself, "a density sums to one"),
        (ForgetsWhileWalking, "samples follow the density"),
        (DrawsFromElsewhere, "samples follow the density"),
        (IgnoresItsKey, "sampling is a function of its key"),
        (HasADeadParameter, "gradients reach every parameter"),
    ],
)
def test_a_broken_model_is_caught_and_the_law_is_named(model, law):
    with pytest.raises(laws.LawBroken, match=f"{model.__name__} breaks the law '{law}'"):
        laws.check(model(), jax.random.key(0))


@pytest.mark.parametrize(
    ("model", "law"),
    [
        (PeeksAtItself, "no element sees itself or a later one"),
        (ForgetsWhileWalking, "walk and pass agree"),
    ],
)
def test_the_law_that_speaks_of_a_fault_catches_it(model, law):
    """Also where another law would have caught it first."""
    (law,) = (each for each in laws.LAWS if each.sentence == law)
    key = jax.random.key(0)
    with pytest.raises(laws.LawBroken):
        law.holds(model(), model().init(key), key)


@pytest.mark.parametrize("model", [DrawsAnotherPosterior, ThinPosterior])
def test_a_posterior_that_is_not_what_it_says_is_caught(model, key):
    encoder, decoder = MLP((), (2,), input_ndim=2), MLP((), (2, 1))
    broken = model(Event((2,), 2), dist.BernoulliHead(), encoder, decoder, latent_dim=1)
    with pytest.raises(laws.LawBroken, match=r"breaks the law 'elbo <= iwae <= log p\(x\)'"):
        laws.check(broken, key)


def test_a_model_that_cannot_be_hashed_is_no_value(key):
    @dataclasses.dataclass(eq=True)
    class Mutable:
        event: Event = Event((3,), 2)

        def init(self, key):
            return {}

    with pytest.raises(laws.LawBroken, match="a model is a value"):
        laws.check(Mutable(), key)


def test_what_cannot_be_checked_is_said():
    model = MADE(Event((40,), 2), dist.BernoulliHead(), hidden=(4,))
    verdicts = laws.check(model, jax.random.key(0))
    assert verdicts["a density sums to one"].startswith("not checked: more than")
    assert verdicts["walk and pass agree"] == "holds"


def test_a_generator_with_a_dead_branch_is_caught(key):
    @dataclasses.dataclass(frozen=True)
    class Dead(Generator):
        def init(self, key):
            return {"network": super().init(key), "dead": jnp.ones(2)}

        def generate(self, params, z):
            return super().generate(params["network"], z)

    model = Dead(Event((2,)), MLP((4,), (2,)), latent_dim=2)
    with pytest.raises(laws.LawBroken, match=r"no gradient reaches \['dead'\]"):
        laws.check(model, key)


def test_the_command_prints_laws_and_verdicts(tmp_path):
    table = tmp_path / "mine.py"
    table.write_text(
        "from gm.core import Event\n"
        "from gm.models.implicit import Critic\n"
        "from gm.networks import MLP\n"
        "MODELS = {'my critic': Critic(Event((2,)), MLP((4,), ()))}\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "gm.laws", str(table)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "a density sums to one" in run.stdout
    assert "ok      my critic" in run.stdout


def test_the_command_says_what_a_table_is(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "gm.laws", str(tmp_path / "none.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "MODELS = {name: model}" in run.stderr
