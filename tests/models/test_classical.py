import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from gm.core import Event
from gm.models.classical import (
    BayesianNetwork,
    coin,
    full_table,
    graphs,
    product_of_marginals,
)

BITS, TRITS = Event((4,), 2), Event((3,), 3)
COLLIDER = ((3,), (0, 3), (1,), ())  # 3 -> 0 -> 1 <- 3, 1 -> 2


def states(event):
    values = itertools.product(range(event.num_values), repeat=event.size)
    return np.array(list(values), np.int32).reshape(-1, *event.shape)


def log_probs(model, params, x):
    return np.asarray(jax.jit(jax.vmap(model.log_prob, (None, 0)))(params, x), np.float64)


def some(event, num, seed=0):
    """Examples with some dependence between neighbours."""
    generator = np.random.RandomState(seed)
    x = generator.randint(event.num_values, size=(num, event.size))
    copied = generator.uniform(size=x.shape) < 0.5
    for i in range(1, event.size):
        x[:, i] = np.where(copied[:, i], x[:, i - 1], x[:, i])
    return x.reshape(num, *event.shape)


def test_log_prob_reads_the_tables_as_the_docstring_lays_them_out():
    """Rows by elements in raster order, inside an element the first parent changing fastest."""
    event, parents = Event((2, 2), 3), ((3,), (0, 3), (1,), ())
    model, logits = BayesianNetwork(event, parents), np.random.default_rng(0).normal(size=(16, 3))
    assert model.num_rows == 3 + 9 + 3 + 1
    x = some(event, 8)
    want = np.zeros(8)
    for n, (x0, x1, x2, x3) in enumerate(x.reshape(8, 4)):
        rows = [x3, 3 + x0 + 3 * x3, 12 + x1, 15]
        for row, value in zip(rows, (x0, x1, x2, x3), strict=True):
            want[n] += special.log_softmax(logits[row])[value]
    got = log_probs(model, {"logits": jnp.asarray(logits, jnp.float32)}, x)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_lists_serve_as_well_as_tuples():
    listed = BayesianNetwork(BITS, [[3], np.array([0, 3]), [1], []])
    assert listed == BayesianNetwork(BITS, COLLIDER)
    assert hash(listed) == hash(BayesianNetwork(BITS, COLLIDER))


def test_a_coin_is_fitted_by_the_share_of_heads():
    x = np.array([1, 0, 0, 1, 0, 0, 0, 0])
    model = coin()
    assert model.num_params == 1
    log_prob, head = jax.jit(model.log_prob), np.array(1)
    p = np.exp(log_prob(model.fit(x, smoothing=0.0), head))
    np.testing.assert_allclose(p, 2 / 8, rtol=1e-6)
    by_rule_of_succession = np.exp(log_prob(model.fit(x), head))
    np.testing.assert_allclose(by_rule_of_succession, 3 / 10, rtol=1e-6)


def test_marginals_are_histograms_of_each_element():
    x = some(TRITS, 50)
    model = product_of_marginals(TRITS)
    params = model.fit(x, smoothing=0.5)
    p = np.stack([(np.mean(x == v, 0) * 50 + 0.5) / (50 + 1.5) for v in range(3)], -1)
    want = np.log(p[np.arange(3), [2, 0, 1]]).sum()
    got = log_probs(model, params, np.array([[2, 0, 1]]))
    np.testing.assert_allclose(got, [want], rtol=1e-5)
    assert model.num_params == 3 * 2


def test_a_network_counts_its_conditional_tables():
    """Each factor against frequencies counted by hand."""
    x = some(BITS, 200)
    model = BayesianNetwork(BITS, COLLIDER)
    assert model.order == (3, 0, 1, 2)
    assert model.num_params == 1 + 2 + 4 + 2
    got = log_probs(model, model.fit(x, smoothing=0.7), states(BITS))
    for state, log_p in zip(states(BITS), got, strict=True):
        want = 0.0
        for i, parents in enumerate(COLLIDER):
            same = np.all(x[:, list(parents)] == state[list(parents)], axis=1)
            hits = np.sum(same & (x[:, i] == state[i]))
            want += np.log((hits + 0.7) / (np.sum(same) + 1.4))
        np.testing.assert_allclose(log_p, want, rtol=1e-5)


def test_a_full_table_without_smoothing_is_the_empirical_distribution():
    x, model = some(TRITS, 30), full_table(TRITS)
    assert model.num_params == 3**3 - 1
    p = np.exp(log_probs(model, model.fit(x, smoothing=0.0), states(TRITS)))
    want = [np.mean(np.all(x == s, axis=1)) for s in states(TRITS)]
    np.testing.assert_allclose(p, want, atol=1e-6)


def test_counting_finds_the_optimum_that_gradients_look_for():
    """The loss is convex in the logits: where its gradient is zero it is least."""
    model, x = BayesianNetwork(TRITS, ((2, 1), (2,), ())), some(TRITS, 100)
    batched = jax.vmap(model.log_prob, (None, 0))
    gradient = jax.jit(jax.grad(lambda params: -jnp.mean(batched(params, x))))
    assert np.max(np.abs(gradient(model.fit(x, smoothing=0.0))["logits"])) < 1e-6


def test_states_that_were_never_seen_are_uniform_or_impossible():
    x = np.array([[0, 0], [0, 0], [0, 1]])
    model = BayesianNetwork(Event((2,), 2), graphs.chain(2))
    p = np.exp(log_probs(model, model.fit(x, smoothing=0.0), states(model.event)))
    np.testing.assert_allclose(p, [2 / 3, 1 / 3, 0, 0], rtol=1e-6)
    smoothed = model.fit(x, smoothing=1.0)
    p = np.exp(log_probs(model, smoothed, states(model.event)))
    np.testing.assert_allclose(p, [4 / 5 * 3 / 5, 4 / 5 * 2 / 5, 1 / 10, 1 / 10], rtol=1e-5)
    # The row of a state that was never seen.
    assert model.fit(x, smoothing=0.0)["logits"][2] == 0.0


def test_counting_goes_in_pieces_and_takes_bytes(monkeypatch):
    x = some(TRITS, 100)
    model = BayesianNetwork(TRITS, graphs.chain(3, 2))
    whole = model.fit(x)["logits"]
    monkeypatch.setattr("gm.models.classical.bayesian_network.CHUNK", 7)
    np.testing.assert_array_equal(model.fit(x.astype(np.uint8))["logits"], whole)


def test_weights_count_examples_as_often_as_they_say(monkeypatch):
    x, model = some(TRITS, 20), BayesianNetwork(TRITS, graphs.chain(3))
    monkeypatch.setattr("gm.models.classical.bayesian_network.CHUNK", 7)
    weights = np.arange(20) % 4
    want = model.fit(np.repeat(x, weights, axis=0))["logits"]
    np.testing.assert_allclose(model.fit(x, weights=weights)["logits"], want, rtol=1e-6)
    with pytest.raises(ValueError, match=r"BayesianNetwork\.fit needs one .* of 20 rows.*\(19,\)"):
        model.fit(x, weights=weights[1:])


def test_a_value_outside_the_space_has_no_probability_under_jit():
    model = BayesianNetwork(TRITS, graphs.chain(3))
    params = model.init(jax.random.key(0))
    bad = np.array([[0, 3, 1], [-1, 0, 0], [7, 7, 7]])
    np.testing.assert_array_equal(log_probs(model, params, bad), -np.inf)


def test_parameters_may_be_numpy_arrays(key):
    model = BayesianNetwork(TRITS, graphs.chain(3))
    params = model.fit(some(TRITS, 20))
    plain = jax.tree.map(np.asarray, params)
    sample = jax.jit(model.sample)
    np.testing.assert_array_equal(sample(plain, key), sample(params, key))


def test_graphs_are_what_they_say():
    assert graphs.empty(3) == ((), (), ())
    assert graphs.chain(4) == ((), (0,), (1,), (2,))
    assert graphs.chain(4, 2) == ((), (0,), (0, 1), (1, 2))
    assert graphs.complete(3) == ((), (0,), (0, 1))
    assert graphs.topological_order(((2,), (0,), ())) == (2, 0, 1)


def test_mutual_information_is_that_of_the_definition():
    x = some(TRITS, 60)
    got = graphs.mutual_information(x, 3)
    for i, j in itertools.product(range(3), repeat=2):
        joint = np.zeros((3, 3))
        np.add.at(joint, (x[:, i], x[:, j]), 1 / 60)
        apart = joint.sum(1, keepdims=True) * joint.sum(0)
        want = np.sum(joint[joint > 0] * np.log(joint[joint > 0] / apart[joint > 0]))
        np.testing.assert_allclose(got[i, j], want, atol=1e-9)


def edges(parents):
    return {frozenset((i, j)) for i, of_i in enumerate(parents) for j in of_i}


@pytest.mark.parametrize("root", [0, 3])
def test_chow_liu_recovers_a_known_tree(root):
    tree = ((4,), (4,), (1,), (1,), (), (0,))
    generator = np.random.default_rng(0)
    x = generator.integers(0, 2, (2000, 6))
    flips = generator.uniform(size=x.shape) < 0.2
    for i in (0, 1, 2, 3, 5):  # 4 is the root, and 0 and 1 come before their children
        x[:, i] = x[:, tree[i][0]] ^ flips[:, i]
    found = graphs.chow_liu(x, 2, root=root)
    assert edges(found) == edges(tree)
    assert found[root] == ()


def test_chow_liu_is_the_likeliest_of_all_trees():
    """All 16 labelled trees on four elements, and the identity of Chow & Liu."""
    x = some(BITS, 40, seed=3)

    def nats(parents):
        """Mean log-likelihood at its maximum: each factor N_is log (N_is / N_s), counted."""
        total = 0.0
        for i, of_i in enumerate(parents):
            families = [tuple(row) for row in x[:, [*of_i, i]]]
            states = [row[:-1] for row in families]
            total += sum(np.log(families.count(f) / states.count(f[:-1])) for f in families)
        return total / len(x)

    trees = []
    for choice in itertools.product(range(4), repeat=3):
        parents = ((), *((j,) for j in choice))
        if all(i != j for i, j in enumerate(choice, 1)):
            try:
                graphs.topological_order(parents)
            except ValueError:
                continue
            trees.append(parents)
    assert len({frozenset(edges(parents)) for parents in trees}) == 16
    best = graphs.chow_liu(x, 2)
    np.testing.assert_allclose(nats(best), max(map(nats, trees)), rtol=1e-12)
    information = graphs.mutual_information(x, 2)
    want = sum(information[tuple(edge)] for edge in map(sorted, edges(best)))
    np.testing.assert_allclose(nats(best), want - np.trace(information), rtol=1e-9)
    model = BayesianNetwork(BITS, best)
    fitted = log_probs(model, model.fit(x, smoothing=0.0), x).mean()
    np.testing.assert_allclose(fitted, nats(best), rtol=1e-5)


def test_elements_that_never_vary_and_copies_join_the_tree():
    x = np.zeros((5, 4), np.int64)
    x[:2, 2] = 1
    assert len(edges(graphs.chow_liu(x, 2))) == 3
    x[:, 0] = x[:, 2]
    found = edges(graphs.chow_liu(x, 2))
    assert len(found) == 3
    assert frozenset((0, 2)) in found


def test_incremental_sampling_goes_by_the_order_of_the_graph():
    model, x = BayesianNetwork(BITS, COLLIDER), np.array([1, 0, 1, 1])

    @jax.jit
    def logits(params):
        found, carry = [], model.start(params)
        for i in model.order:
            found.append(model.predict(params, carry).logits)
            carry = model.observe(params, carry, x[i])
        return jnp.stack(found)

    # Rows: element 0 has 0..1, element 1 has 2..5 (first parent fastest), 2 has 6..7, 3 has 8.
    found = logits({"logits": jnp.arange(9.0) - 4.0})
    np.testing.assert_array_equal(found, np.array([8, 0 + 1, 2 + 1 + 2, 6 + 0]) - 4.0)


def test_bad_graphs_and_data_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"acyclic; elements 0, 1, 2 are in or behind a cycle"):
        BayesianNetwork(BITS, ((1,), (0,), (1,), ()))
    for parents in (((0,), (), (), ()), ((4,), (), (), ()), ((1, 1), (), (), ())):
        with pytest.raises(ValueError, match=r"other elements, each named once.*element 0"):
            BayesianNetwork(BITS, parents)
    with pytest.raises(ValueError, match=r"parents for each of its 4 elements.*and 3"):
        BayesianNetwork(BITS, graphs.empty(3))
    with pytest.raises(ValueError, match=r"discrete event"):
        BayesianNetwork(Event((3,)), graphs.empty(3))
    with pytest.raises(ValueError, match=r"29 parents, and its table 2\^30 entries"):
        full_table(Event((30,), 2))
    model = product_of_marginals(BITS)
    with pytest.raises(ValueError, match=r"batch of examples; got one of shape \(4,\)"):
        model.fit(np.zeros(4, np.int32))
    with pytest.raises(ValueError, match=r"smoothing of at least 0; got -1"):
        model.fit(np.zeros((2, 4), np.int32), smoothing=-1)
    with pytest.raises(ValueError, match=r"integers in \[0, 2\); got values from 0 to 2"):
        model.fit(np.full((2, 4), 2) * np.arange(2)[:, None])
    with pytest.raises(ValueError, match=r"length of at least 0"):
        graphs.chain(3, -1)
    with pytest.raises(ValueError, match=r"root in \[0, 4\); got 4"):
        graphs.chow_liu(np.zeros((2, 4), np.int32), 2, root=4)
    with pytest.raises(ValueError, match=r"integers in \[0, 2\)"):
        graphs.chow_liu(np.full((2, 4), 2), 2)
