"""Richer posteriors and priors, hierarchies and Boltzmann machines, against their equations."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from gm import distributions as dist
from gm.core import Event
from gm.losses import contrastive_divergence
from gm.models.classical import FactorAnalysis
from gm.models.implicit import Generator
from gm.models.latent import (
    RBM,
    VAE,
    Factorized,
    HelmholtzMachine,
    LadderVAE,
    Rung,
    VampPrior,
    WithPrior,
    posteriors,
    rbm,
    sigmoid_belief_network,
)
from gm.networks import MLP, ConvResize

BITS = Event((4,), 2)


def vae(size, **options):
    """Four bits, two latents, and an encoder of so many outputs."""
    encoder = MLP((6,), (size,), input_ndim=2)
    return VAE(BITS, dist.BernoulliHead(), encoder, MLP((6,), (4, 1)), latent_dim=2, **options)


def noisy(params, seed=0):
    """Parameters away from zero, where many facts hold by accident."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: a + 0.3 * rng.normal(size=a.shape).astype(np.float32), params)


def test_a_posterior_of_full_covariance_is_a_multivariate_normal(key):
    """A triangular map of the encoder's Normal, linear in the outputs after mean and scale."""
    model = vae(2 * 2 + 3, posterior=posteriors.full_covariance(2, 3))
    params, x = noisy(model.init(key)), jnp.array([1, 0, 1, 1])
    q = model.encode(params, x)
    raw = np.asarray(model.encoder.apply(params["encoder"], model.head.features(x)), np.float64)
    layer = params["posterior"]
    (dense,) = layer["network"]["params"].values()
    moved = raw[4:] @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])
    leaves, tree = jax.tree.flatten(layer["bijection"])
    parts = np.split(moved, np.cumsum([leaf.size for leaf in leaves])[:-1])
    affine = jax.tree.unflatten(tree, [a + b for a, b in zip(leaves, parts, strict=True)])
    unit = np.eye(2) + np.diag(np.ravel(affine["lower"]), -1)
    lower = np.exp(affine["log_scale"])[:, None] * unit  # `lower` in units of the diagonal
    scale = np.log1p(np.exp(raw[2:4] + np.log(np.expm1(0.1)))) + 1e-4
    mean = affine["shift"] + lower @ raw[:2]
    want = stats.multivariate_normal(mean, lower @ np.diag(scale**2) @ lower.T)
    z = mean + np.array([0.05, -0.08])
    np.testing.assert_allclose(q.log_prob(jnp.asarray(z, jnp.float32)), want.logpdf(z), rtol=1e-4)
    assert dist.is_reparameterized(q)


@pytest.mark.parametrize("name", ["planar", "sylvester"])
def test_a_flow_posterior_starts_near_the_encoders_normal_whatever_the_context(name, key):
    f = getattr(posteriors, name)(3, 2, 2)
    params, x = f.init(key), jnp.array([0.3, -1.0, 0.5])
    near, log_det = f.forward(params, x, jnp.array([5.0, -7.0]))
    np.testing.assert_allclose(near, x, atol=0.3)
    assert abs(float(log_det)) < 0.3
    np.testing.assert_array_equal(near, f.forward(params, x, jnp.zeros(2))[0])


def test_an_autoregressive_posterior_starts_as_an_affine_map_that_the_context_gives(key):
    """The identity where h is zero; elsewhere of one determinant for all z."""
    f = posteriors.inverse_autoregressive(3, 2, 2, hidden=(5,))
    params, x, h = f.init(key), jnp.array([0.3, -1.0, 0.5]), jnp.array([0.5, -0.7])
    np.testing.assert_allclose(f.forward(params, x, jnp.zeros(2))[0], x, atol=1e-6)
    moved, log_det = f.forward(params, x, h)
    assert np.abs(moved - x).max() > 0.01
    np.testing.assert_allclose(f.forward(params, 2.0 * x, h)[1], log_det, rtol=1e-5)


def test_an_encoder_of_another_size_is_refused(key):
    for size, options in ((5, {}), (3, {"posterior": posteriors.planar(2, 1)})):
        model = vae(size, **options)
        with pytest.raises(ValueError, match=rf"encoder with 4 outputs.*shape \({size},\)"):
            model.encode(model.init(key), jnp.zeros(4, jnp.int32))


def test_a_vamp_prior_is_the_mean_of_the_encodings_of_its_inputs(key):
    """Started from examples, it is the aggregated posterior of them."""
    model, x = VampPrior(vae(4), 3), np.array([[0, 1, 1, 0], [0, 1, 1, 0]])
    params = model.init(key, x)
    params["model"] = noisy(params["model"])
    z = jnp.array([0.1, -0.2])
    q = model.encode(params, jnp.asarray(x[0]))
    np.testing.assert_allclose(model.prior(params).log_prob(z), q.log_prob(z), rtol=1e-5)
    others = params | {"inputs": jnp.asarray(np.random.default_rng(0).random((3, 4, 1)), "f4")}
    each = [model.model.encode_features(params["model"], u).log_prob(z) for u in others["inputs"]]
    want = special.logsumexp(each) - np.log(3)
    np.testing.assert_allclose(model.prior(others).log_prob(z), want, rtol=1e-5)


def test_priors_refuse_what_they_cannot_use():
    with pytest.raises(TypeError, match=r"WithPrior needs a model with prior, encode, decode"):
        WithPrior(Generator(Event((2,)), MLP((), (2,)), 2), FactorAnalysis(Event((2,)), 1))
    with pytest.raises(TypeError, match=r"density needs a model with log_prob"):
        WithPrior(vae(4), vae(4))
    with pytest.raises(TypeError, match="encode_features"):
        VampPrior(WithPrior(vae(4), FactorAnalysis(Event((2,)), 1)))
    with pytest.raises(ValueError, match="num_inputs; got 0"):
        VampPrior(vae(4), 0)


def rung(k, inputs, below, ndim=1):
    return Rung((k,), MLP((), (6,), ndim), MLP((), (k, 2)), MLP((5,), below))


LADDER = LadderVAE(
    BITS, dist.BernoulliHead(), (rung(3, 4, (4, 1), 2), rung(2, 6, (3, 2)), rung(1, 6, (2, 2)))
)


@pytest.mark.parametrize("relative", [False, True])
def test_a_ladders_posterior_is_the_evidence_with_the_prior(relative, key):
    """Precisions added, or a step from the prior; each layer given the sample above it."""
    model = dataclasses.replace(LADDER, relative=relative)
    params, x = noisy(model.init(key)), jnp.array([1, 0, 1, 1])
    q, p = model.encode(params, x), model.prior(params)
    z = q.sample(key)
    assert [leaf.shape for leaf in z] == [(1,), (2,), (3,)]
    d, evidence = model.head.features(x), []
    for one, up, network in zip(model.rungs, params["up"], params["evidence"], strict=True):
        d = one.up.apply(up, d)
        loc, raw = np.asarray(one.evidence.apply(network, d), np.float64).T
        evidence.append((loc, np.log1p(np.exp(raw + np.log(np.expm1(0.1)))) + 1e-4))
    for part, prior, (loc, scale) in zip(
        q.conditionals(z), p.conditionals(z), reversed(evidence), strict=True
    ):
        m, s = np.asarray(prior.loc, np.float64), np.asarray(prior.scale, np.float64)
        variance = 1.0 / (s**-2 + scale**-2)
        want = variance * (m / s**2 + loc / scale**2), np.sqrt(variance)
        want = (m + s * loc, s * scale) if relative else want
        np.testing.assert_allclose(part.loc, want[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(part.scale, want[1], rtol=1e-4)
    given = np.asarray(model.rungs[2].down.apply(params["down"][2], z[0]))
    np.testing.assert_allclose(p.conditionals(z)[1].loc, given[:, 0], rtol=1e-5)


def test_a_ladder_refuses_a_z_of_another_structure(key):
    params = LADDER.init(key)
    for z in (jnp.zeros(6), (jnp.zeros(3), jnp.zeros(2), jnp.zeros(1))):
        with pytest.raises(ValueError, match=r"shapes \(\(1,\), \(2,\), \(3,\)\), from the top"):
            LADDER.decode(params, z)
    with pytest.raises(ValueError, match="got 0 layers"):
        dataclasses.replace(LADDER, rungs=())


def test_images_are_resized_by_whole_factors_or_refused(key):
    for size, target in (((7, 7), (4, 4)), ((4, 4), (7, 7)), ((3, 4), (3, 4))):
        net = ConvResize(2, (*target, 3, 2))
        x = jnp.ones((*size, 1))
        assert jax.eval_shape(lambda n=net, x=x: n.apply(n.init(key, x), x)).shape == (
            *target,
            3,
            2,
        )
    net = ConvResize(2, (5, 5, 3))
    with pytest.raises(ValueError, match="whole factors"):
        jax.eval_shape(lambda: net.init(key, jnp.ones((8, 8, 1))))


def machine(visible, hidden, strength=1.0):
    """A machine with its parameters and p(x, h) of all states, by numpy."""
    model, rng = RBM(Event((visible,), 2), hidden), np.random.default_rng(1)
    w, b, c = (rng.normal(size=s) for s in ((visible, hidden), visible, hidden))
    w *= strength
    params = {"weights": w, "visible": b, "hidden": c}
    x, h = (np.indices((2,) * n).reshape(n, -1).T for n in (visible, hidden))
    log_joint = (x @ b)[:, None] + (h @ c)[None] + x @ w @ h.T
    return model, jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), params), x, log_joint


@pytest.mark.parametrize(("visible", "hidden"), [(3, 5), (5, 4)])
def test_the_partition_function_is_a_sum_over_the_states_of_either_layer(
    visible, hidden, monkeypatch
):
    model, params, x, log_joint = machine(visible, hidden)
    monkeypatch.setattr(rbm, "CHUNK_BITS", 2)  # several chunks
    want = special.logsumexp(log_joint)
    np.testing.assert_allclose(model.log_partition(params), want, rtol=1e-6)
    score = jax.vmap(model.log_score, (None, 0))(params, x)
    np.testing.assert_allclose(score, special.logsumexp(log_joint, axis=1), rtol=1e-5)


def test_contrastive_divergence_has_the_gradient_of_the_likelihood(key):
    """With chains long enough to mix: within six standard errors of 4,000 chains, each weight."""
    model, params, *_ = machine(3, 2, strength=2.0)
    batch = {"x": np.tile([[0, 1, 0]], (4000, 1))}
    nll = jax.grad(lambda p: -model.log_prob(p, jnp.array([0, 1, 0])))(params)
    loss = contrastive_divergence.contrastive_divergence
    (_, metrics), grads = jax.value_and_grad(
        lambda p: loss(model, p, key, batch, num_steps=30), has_aux=True
    )(params)
    for name, want in nll.items():
        np.testing.assert_allclose(grads[name], want, atol=6 * 0.5 / np.sqrt(4000))
    assert 0.1 < float(metrics["moved"]) < 0.9
    # One step from the data is another gradient: the chain has not forgotten them.
    one = jax.grad(lambda p: loss(model, p, key, batch, num_steps=1)[0])(params)
    assert max(np.abs(one[n] - nll[n]).max() for n in nll) > 0.1


def test_persistent_chains_go_on_from_where_they_were(key):
    """Locked by huge biases, the chain leaves its start for the state they favour, in one step."""
    model = RBM(BITS, 2)
    params = model.init(key) | {"visible": jnp.array([50.0, -50.0, 50.0, -50.0])}
    batch, start = {"x": np.zeros((6, 4), np.int32)}, np.ones((6, 4), np.int32)
    _, (metrics, end) = contrastive_divergence.persistent(model, params, key, batch, start)
    np.testing.assert_array_equal(end, np.tile([1, 0, 1, 0], (6, 1)))
    assert float(metrics["moved"]) == 0.5
    for bad in (np.ones((6, 3), np.int32), np.full((6, 4), 2)):
        with pytest.raises(ValueError, match="memory needs"):
            contrastive_divergence.persistent(model, params, key, batch, bad)


def test_a_machine_says_what_it_cannot_do(key):
    with pytest.raises(ValueError, match="RBM needs bits"):
        RBM(Event((4,)), 2)
    with pytest.raises(ValueError, match="a hidden unit"):
        RBM(BITS, 0)
    large = RBM(Event((30,), 2), 40)
    with pytest.raises(ValueError, match=r"at most 22 .*got 30 and 40"):
        large.log_prob(large.init(key), jnp.zeros(30, jnp.int32))
    batch = {"x": np.zeros((2, 4), np.int32)}
    loss = contrastive_divergence.contrastive_divergence
    with pytest.raises(ValueError, match="num_steps of at least 1"):
        loss(RBM(BITS, 2), None, key, batch, num_steps=0)
    with pytest.raises(TypeError, match="log_score"):
        loss(vae(4), None, key, batch)


def test_a_large_machine_samples_by_its_chain(key, monkeypatch):
    """Exact samples and those of 50 steps have the same means: five standard errors of 3,000."""
    monkeypatch.setattr(rbm, "SAMPLED_BITS", 1)
    model, params, x, log_joint = machine(3, 2)
    model = dataclasses.replace(model, chain_steps=50)
    samples = jax.jit(jax.vmap(model.sample, (None, 0)))(params, jax.random.split(key, 3000))
    p = np.exp(special.logsumexp(log_joint, axis=1) - special.logsumexp(log_joint))
    np.testing.assert_allclose(np.asarray(samples).mean(0), p @ x, atol=5 * 0.5 / np.sqrt(3000))


def test_a_helmholtz_machine_wants_factors_that_meet():
    """Each conditional on its neighbour: on x and the layer above, not on another size."""
    x, low, top = BITS, Event((3,), 2), Event((2,), 2)
    sbn = sigmoid_belief_network(x, (3, 2))
    assert [factor.event for factor in sbn.generation] == [x, low, top]
    assert [factor.context for factor in sbn.inference] == [x, low]
    for generation, inference in (
        (sbn.generation[:2], sbn.inference[:1]),
        (sbn.generation, sbn.inference[::-1]),
        (sbn.generation[2:], ()),
    ):
        with pytest.raises(ValueError, match="event of its neighbour as context"):
            HelmholtzMachine(generation, inference)
    with pytest.raises(ValueError, match="a tuple z of 2 layers"):
        sbn.decode(sbn.init(jax.random.key(0)), (jnp.zeros(3, jnp.int32),))
    with pytest.raises(ValueError, match="network for its context"):
        Factorized(x, dist.BernoulliHead(), MLP((), (4, 1)))
