"""No right model is condemned, every wrong one is, by the law that speaks of its fault."""

import dataclasses
import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from gm import core, laws
from gm import distributions as dist
from gm.core import Event
from gm.laws import any_model, density, spaces, statistics
from gm.laws.law import NotApplicable
from gm.laws.trial import Trial
from gm.models.autoregressive import MADE
from gm.models.implicit import Critic, Generator
from gm.networks import MLP
from tests import law_zoo
from tests.law_zoo import latents, sentences

VARIANTS = {  # of what others, or the contract table, show; benchmarks/laws.py has 32 keys of all
    "MADE",
    "MADE, mixture of Normals",
    "MADE, three orders",
    "RNADE, Laplaces",
    "coin",
    "Bayesian network",
    "Generator",
    "NADE, class-conditional",
    "full table",
    "VAE, two latents",
    "VAE, narrow posterior",
    "RealNVP 4x32",
    "RealNVP 6x64, bounded",
    "affine",
    "affine, tiny",
    "VAE of two layers",
    "VAE of two layers, five dimensions",
    "VAE of discrete latents",
    "VAE of a cluster and a place in it",
    "a coupling",
    "a full matrix",
    "a layer that sums to less than one",
    "a layer that samples elsewhere, five dimensions",
    "mixture",
    "Student, 3 degrees",
    "samples of another shape",
    "a conditional sees a later element",
    "elements in another order",
    "log p without the first element",
    "samples far away",
    "a parameter behind stop_gradient",
    "log-determinant times 0.9, 4x32",
    "log-determinant times 0.9, 6x64",
    "log p without the log-determinant",
    "a posterior that sums to less than one",
    "a VAE samples modes",
    "VAE",
    "RealNVP 6x64",
    "a flow of a flow",
    "a layer's log-determinant left out",
    "an inverse of layers out of order",
    "a posterior that samples near its mode",
    "a layer that sums to less than one, five dimensions",
    "a layer that samples elsewhere",
    "a discrete posterior that samples its mode",
    "a prior of clusters that sums to less than one",
    "a VAE samples z and x with one key",
}
UNCHECKED = {
    "MADE of 40 bits",
    "Student, a tenth of a degree",
    "a ridge",
    "RealNVP 4x32",
    "RealNVP 6x64",
    "affine, far from zero",
    "affine, three dimensions",
}


def cases(names):
    marks = {True: [pytest.mark.matrix], False: []}
    return [pytest.param(name, marks=marks[name in VARIANTS]) for name in names]


@pytest.mark.parametrize("name", cases(law_zoo.RIGHT))
def test_no_right_model_is_condemned(name):
    verdicts = laws.check(law_zoo.RIGHT[name], jax.random.key(0))
    unchecked = {law: why for law, why in verdicts.items() if why != "holds"}
    unchecked = {law: why for law, why in unchecked.items() if not why.startswith("holds: ")}
    if name in UNCHECKED:
        assert set(unchecked) <= {
            sentences.SUM,
            sentences.FOLLOW,
            sentences.SAMPLING,
            sentences.GRADIENTS,
        }
        assert all(why.startswith("not checked: ") for why in unchecked.values())
    else:
        assert not unchecked


@pytest.mark.parametrize("name", cases(law_zoo.WRONG))
def test_every_wrong_model_is_condemned_by_the_law_that_speaks_of_it(name):
    model, law = law_zoo.WRONG[name]
    with pytest.raises(laws.LawBroken) as broken:
        laws.check(model, jax.random.key(0))
    assert str(broken.value).startswith(f"{type(model).__name__} breaks the law '{law}': ")


def test_every_law_has_a_model_that_breaks_it():
    assert {law for _, law in law_zoo.WRONG.values()} == {law.sentence for law in laws.LAWS}


def test_a_density_finer_than_its_grid_is_not_condemned(monkeypatch):
    """0.9 on one grid and 1 on a finer one says that neither is fine enough."""
    totals = {1: np.array([0.9]), 4: np.array([1.0])}
    monkeypatch.setattr(
        density, "_integral", lambda trial, fineness: SimpleNamespace(total=totals[fineness])
    )
    with pytest.raises(NotApplicable, match=r"0\.9000 on one, 1\.0000 on a finer one"):
        density.density_sums_to_one(SimpleNamespace(event=Event((1,))), None)


def test_a_density_is_integrated_where_it_is_and_not_where_samples_are():
    """Two grids by the samples would both hold the same 0.9968."""
    model, _ = law_zoo.WRONG["samples far away"]
    params = {
        "log_diagonal": np.array([0.3970287, -0.29039824], np.float32),
        "lower": np.array([[0.0, 0.0], [-0.1263748, 0.0]], np.float32),
    }
    trial = Trial(model, jax.random.key(21), [any_model.samples], params)
    with pytest.raises(NotApplicable, match=r"0\.99[67]\d on one, 1\.0000 on a finer one"):
        density.density_sums_to_one(trial, None)
    with pytest.raises(laws.LawBroken, match="chi-squared"):
        density.samples_follow_the_density(trial, trial.measured(any_model.samples), None)


def test_a_trial_at_another_key_says_what_a_new_one_does():
    """And compiles nothing: its programs are those of the first."""
    model, _ = law_zoo.WRONG["log p times 1.1"]
    first = laws.trial_of(model, jax.random.key(0))
    said = []
    for trial in (first, first.at(jax.random.key(1)), laws.trial_of(model, jax.random.key(1))):
        with pytest.raises(laws.LawBroken) as broken:
            laws.verdicts(trial)
        said.append(str(broken.value))
    assert said[0] != said[1] == said[2]
    assert first.at(jax.random.key(2)).program("init", None) is first.program("init", None)


def test_what_cannot_be_checked_is_said():
    model = MADE(Event((40,), 2), dist.BernoulliHead(), hidden=(4,))
    verdicts = laws.check(model, jax.random.key(0))
    assert verdicts["a density sums to one"].startswith("not checked: more than 65536 states")
    assert verdicts["incremental sampling agrees with the forward pass"] == "holds"
    verdicts = laws.check(law_zoo.RIGHT["affine, three dimensions"], jax.random.key(0))
    assert verdicts["a density sums to one"] == (
        "not checked: no quadrature in 3 real dimensions; take one or two"
    )


def test_samples_beyond_the_grid_are_said():
    verdicts = laws.check(law_zoo.RIGHT["Student, a tenth of a degree"], jax.random.key(0))
    for law in (sentences.SUM, sentences.FOLLOW):
        assert re.fullmatch(
            r"not checked: \d\.\d % of the samples lie beyond the grid", verdicts[law]
        )


def test_a_ridge_between_the_samples_is_not_condemned():
    """Two grids that agree on cells may both have missed what is between their points."""
    verdicts = laws.check(law_zoo.RIGHT["a ridge"], jax.random.key(0))
    assert verdicts[sentences.SUM].startswith(
        "not checked: the density varies faster than the grid"
    )


def test_a_unit_that_happens_to_be_off_is_tried_again(key):
    @dataclasses.dataclass(frozen=True)
    class Unit:
        event: Event = Event((1,))

        def init(self, key):
            return {"bias": jnp.zeros(8)}

        def score(self, params, x):
            return jnp.sum(x) * jnp.max(jax.nn.relu(params["bias"]))

    assert set(laws.check(Unit(), key, {"bias": jnp.full(8, -0.1)}).values()) == {"holds"}


@dataclasses.dataclass(frozen=True)
class Idle:
    event: Event = Event((2,))

    def init(self, key):
        return {}


@dataclasses.dataclass(frozen=True)
class Homeless:
    def init(self, key):
        return {}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (MLP, r"needs a model: .* got MLP itself\. Build one first"),
        (MADE, r"needs a model: .* got MADE itself"),
        (3, "needs a model: .* got int"),
        (None, "needs a model: .* got NoneType"),
        (Idle(event=(2,)), r"needs a model with an `event`.*Idle has \(2,\)"),
        (Idle(), "laws.check needs a model with sample; Idle offers none"),
        (Homeless(), "needs a model with an `event`.*Homeless has no field `event`"),
    ],
)
def test_what_is_no_model_is_refused_with_what_came(model, message, key):
    with pytest.raises(TypeError, match=message):
        laws.check(model, key)


@pytest.mark.parametrize(
    ("key", "got"), [(0, "int"), (jax.random.split(jax.random.key(0)), r"one of shape \(2,\)")]
)
def test_what_is_no_key_is_refused(key, got):
    with pytest.raises(TypeError, match=f"needs one key, as jax.random.key\\(0\\); got {got}"):
        laws.check(Idle(), key)


def test_a_plain_class_and_an_unhashable_model_are_told_what_would_do(key):
    for name in ("a plain class", "a list among its fields", "fields that can be set"):
        with pytest.raises(laws.LawBroken, match=r"@dataclasses\.dataclass\(frozen=True\)"):
            laws.check(law_zoo.WRONG[name][0], key)


def test_noise_is_scaled_to_fan_in():
    """Sums over n inputs of size one get noise of size 0.8, whatever n; vectors of 0.3."""
    rng = np.random.default_rng(0)
    params = {"kernel": np.zeros((400, 300), np.float32), "bias": np.zeros(9000), "n": np.array(3)}
    noisy = spaces.perturb(params, rng)
    assert np.std(noisy["kernel"].sum(0)) == pytest.approx(0.8, rel=0.15)
    assert np.std(noisy["bias"]) == pytest.approx(0.3, rel=0.05)
    assert noisy["kernel"].dtype == np.float32
    assert noisy["n"] == 3


def test_given_parameters_are_used_as_they_are(key):
    """A coin of 1.0 logits, and one whose logits are not numbers."""
    coin = law_zoo.RIGHT["coin"]
    assert set(laws.check(coin, key, {"logits": jnp.ones(1)}).values()) == {"holds"}
    with pytest.raises(laws.LawBroken):
        laws.check(coin, key, {"logits": jnp.full(1, jnp.nan)})


def test_a_coin_that_all_but_never_falls_otherwise_is_no_fault(key):
    """Every sample is the same, with a probability of 1 - 8192 e^-30; the density says so too."""
    coin = law_zoo.RIGHT["coin"]
    assert set(laws.check(coin, key, {"logits": jnp.full(1, 30.0)}).values()) == {"holds"}


def test_samples_of_a_posterior_are_held_against_its_entropy(key):
    """q = N(0, 1) = p(z), x without z: samples of N(1, 1) leave the elbo as it is, not log q."""
    model = latents.vae(latents.SamplesAnotherPosterior, start_scale=1.0)
    zeros = jax.tree.map(jnp.zeros_like, model.init(key))
    with pytest.raises(
        laws.LawBroken, match=r"-log q of samples of q averages 1\.[89].* is 1\.419"
    ):
        laws.check(model, key, zeros)


def test_one_key_for_z_and_x_shows_where_x_depends_on_z(key):
    """And so not at parameters of zeros."""
    model, law = law_zoo.WRONG["a VAE samples z and x with one key"]
    with pytest.raises(laws.LawBroken, match=law):
        laws.check(model, key, jax.tree.map(jnp.zeros_like, model.init(key)))


def test_parameters_that_overflow_are_left_for_others():
    """x = e^a z, where noise on a = 1000 b leads beyond float32, and an eighth of it does not."""

    @dataclasses.dataclass(frozen=True)
    class Scaled:
        share: float = 1.0  # of log_det
        event: Event = Event((1,))

        def init(self, key):
            return {"b": jnp.zeros(())}

        def forward(self, params, x):
            a = 400.0 * params["b"]
            return jnp.exp(a) * x, self.share * a

        def inverse(self, params, y):
            a = 400.0 * params["b"]
            return jnp.exp(-a) * y, -self.share * a

    for seed in range(3):
        assert set(laws.check(Scaled(), jax.random.key(seed)).values()) == {"holds"}
        with pytest.raises(laws.LawBroken, match=sentences.JACOBIAN):
            laws.check(Scaled(0.9), jax.random.key(seed))


def test_parameters_may_be_whole_numbers_too(key):
    @dataclasses.dataclass(frozen=True)
    class Counts(Generator):
        def init(self, key):
            return {"network": super().init(key), "steps": jnp.zeros((), jnp.int32)}

        def generate(self, params, z):
            return super().generate(params["network"], z)

    model = Counts(Event((2,)), MLP((4,), (2,)), latent_dim=2)
    assert set(laws.check(model, key).values()) == {"holds"}


def test_probes_change_one_element_each():
    event, rng = Event((2, 2), 3), np.random.default_rng(0)
    x = spaces.probes(event, rng)
    assert x.shape == (3, 4, 4, 2, 2)
    flat = x.reshape(3, 4, 4, 4)
    assert np.all(flat[0] == flat[0, :1])
    for i in range(4):
        moved = flat[:, i] != flat[:1, i]
        assert np.all(moved[1:, :, i])  # to every other value
        assert not np.any(moved[:, :, np.arange(4) != i])
        assert {tuple(v) for v in np.sort(flat[:, i, :, i], axis=0).T} == {(0, 1, 2)}
    assert np.all(
        spaces.states(event)[spaces.number(event, flat[1, 2])].reshape(4, 4) == flat[1, 2]
    )


def test_chi_squared_is_pearsons_with_rare_cells_merged():
    seen, expected = np.array([30.0, 50.0, 20.0]), np.array([40.0, 40.0, 20.0])
    want = stats.chisquare(seen, expected)
    chi2, freedom, p = statistics.chi_squared(seen, expected)
    assert (chi2, freedom) == (pytest.approx(want.statistic), 2)
    assert p == pytest.approx(want.pvalue)
    chi2, freedom, p = statistics.chi_squared(np.append(seen, [9, 9]), np.append(expected, [8, 8]))
    assert (chi2, freedom) == (pytest.approx(want.statistic + 4 / 16), 3)
    # What is all but impossible is held against a Poisson variable.
    *_, p = statistics.chi_squared(np.append(expected, 3.0), np.append(expected, 0.01))
    assert p == pytest.approx(stats.poisson.sf(2, 0.01), rel=1e-6)
    assert statistics.chi_squared(expected, expected)[2] == 1.0


def test_tests_of_samples_hold_their_level():
    """Their p-values are as uniform as they should be, of fair samples of any kind."""
    rng = np.random.default_rng(0)
    two = [statistics.two_samples(*rng.standard_normal((2, 4000)))[2] for _ in range(300)]
    assert stats.kstest(two, "uniform").pvalue > 1e-3
    p = special.softmax(0.5 * rng.standard_normal(20))
    one = [statistics.chi_squared(rng.multinomial(4000, p), 4000 * p)[2] for _ in range(300)]
    assert stats.kstest(one, "uniform").pvalue > 1e-3
    a, b = rng.standard_normal((2, 4000))
    assert statistics.two_samples(a, 1.2 * b)[2] < 1e-7


def test_relative_differences_know_infinity():
    a, b = np.array([1.0, np.inf, -np.inf, 3.0]), np.array([1.0, np.inf, np.inf, 1.0])
    np.testing.assert_array_equal(statistics.relative(a, b)[[0, 1, 3]], [0.0, 0.0, 1.0])
    assert not statistics.relative(a, b)[2] < 1e9


def test_laws_name_capabilities_of_core():
    """So that `applies` can ask whether a model has them."""
    critic = Critic(Event((2,)), MLP((4,), ()))
    apply = [law.sentence for law in laws.LAWS if law.applies(critic)]
    assert apply == ["a model is a value", "gradients reach every parameter"]
    for law in laws.LAWS:
        for capability in law.capabilities:
            options = capability if isinstance(capability, tuple) else (capability,)
            assert set(options) <= {*core.CAPABILITIES, core.Bijection}


def test_outputs_that_are_nowhere_finite_say_nothing_of_gradients():
    """A density on a square, all points outside of it: as `a sigmoid that says -inf outside`."""
    params = {"scale": np.ones(2, np.float32)}
    for outputs, error in [(np.full(3, -np.inf), NotApplicable), (np.zeros(3), laws.LawBroken)]:
        seen = outputs, [np.zeros(2, np.float32)]
        trial = SimpleNamespace(
            params=params,
            rng=lambda name: np.random.default_rng(0),
            measure_again=lambda params, measure, seen=seen: (seen,),
        )
        with pytest.raises(error):
            any_model.gradients_reach_every_parameter(trial, seen)
