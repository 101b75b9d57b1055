r"""Directed acyclic graphs for Bayesian networks: for every element, the elements it depends on.

A graph is `parents: tuple[tuple[int, ...], ...]`, one entry per element in raster order, each the
raster indices of that element's parents.

    empty(D)          no parents: independent elements
    chain(D, m)       the m elements before it: a Markov chain of order m
    complete(D)       all elements before it: the chain rule with nothing left out
    chow_liu(x, K)    the tree that maximises the likelihood of x
"""

from __future__ import annotations

import heapq

import numpy as np
from scipy.sparse import csgraph

Parents = tuple[tuple[int, ...], ...]


def empty(size: int) -> Parents:
    """No element depends on another."""
    return ((),) * size


def chain(size: int, length: int = 1) -> Parents:
    """Every element depends on the `length` elements before it in raster order."""
    if length < 0:
        raise ValueError(f"chain needs a length of at least 0; got {length}.")
    return tuple(tuple(range(max(i - length, 0), i)) for i in range(size))


def complete(size: int) -> Parents:
    """Every element depends on all before it: p(x) = Π p(x_i | x_<i) with nothing left out."""
    return chain(size, size)


def chow_liu(x: np.ndarray, num_values: int, *, root: int = 0) -> Parents:
    r"""The tree of maximum likelihood: a maximum spanning tree of pairwise mutual information.

    Chow & Liu (1968), "Approximating discrete probability distributions with dependence trees",
    IEEE Transactions on Information Theory 14(3). For a tree fitted by maximum likelihood,

        (1/N) \sum_n log p(x_n) = \sum_{edges (i, j)} I(x_i; x_j) - \sum_i H(x_i)

    with the empirical mutual information and entropy, so that the best tree maximises the first
    sum. Every choice of root gives the same distribution. Costs K^2 / 2 products of [D, N] by
    [N, D]: a second for binarized MNIST.

    Args:
      x: [N, *event], training examples, integers in [0, K).
      num_values: K.
      root: the element without parents.

    Returns:
      One parent for every element but the root.

    Raises:
      ValueError: there are no examples, or no such root.
    """
    x = np.asarray(x).reshape(len(x), -1)
    if not 0 <= root < x.shape[1]:
        raise ValueError(f"chow_liu needs a root in [0, {x.shape[1]}); got {root}.")
    information = mutual_information(x, num_values)
    # csgraph takes 0 for no edge, and minimises; the cost of every edge is positive.
    cost = 1.0 + np.max(information) - information
    np.fill_diagonal(cost, 0.0)
    tree = csgraph.minimum_spanning_tree(cost)
    _, before = csgraph.breadth_first_order(tree, root, directed=False)
    return tuple(() if i == root else (int(before[i]),) for i in range(x.shape[1]))


def mutual_information(x: np.ndarray, num_values: int) -> np.ndarray:
    r"""I(x_i; x_j) = \sum_{ab} p_ij(a, b) log (p_ij(a, b) / (p_i(a) p_j(b))) of every pair.

    Args:
      x: [N, *event], integers in [0, K).
      num_values: K.

    Returns:
      [D, D], symmetric, in nats, of the empirical distribution; the diagonal holds entropies.

    Raises:
      ValueError: there are no examples, or values outside [0, K).
    """
    x = np.asarray(x)
    if len(x) == 0 or np.min(x) < 0 or np.max(x) >= num_values:
        raise ValueError(
            f"mutual_information needs examples of integers in [0, {num_values}); got shape "
            f"{x.shape}" + (f" from {np.min(x)} to {np.max(x)}." if x.size else ".")
        )
    x = x.reshape(len(x), -1)
    # Products of 0s and 1s in float32 count exactly up to 2^24 examples.
    is_value = [(x == value).astype(np.float32) for value in range(num_values)]
    p = [np.mean(one, axis=0, dtype=np.float64) for one in is_value]
    total = np.zeros((x.shape[1], x.shape[1]))
    for a in range(num_values):
        for b in range(a, num_values):
            joint = (is_value[a].T @ is_value[b]).astype(np.float64) / len(x)
            apart = p[a][:, None] * p[b]
            seen = joint > 0.0
            term = joint * np.log(np.where(seen, joint, 1.0) / np.where(seen, apart, 1.0))
            total += term if a == b else term + term.T
    return total


def topological_order(parents: Parents) -> tuple[int, ...]:
    """An order in which parents come before children, as near to raster order as that allows.

    Raises:
      ValueError: a parent that is not an element or is named twice, or a cycle; says which.
    """
    size = len(parents)
    for i, of_i in enumerate(parents):
        if len(set(of_i)) < len(of_i) or any(not 0 <= j < size or j == i for j in of_i):
            raise ValueError(
                f"a graph of {size} elements needs parents that are other elements, each named "
                f"once; got {of_i} for element {i}."
            )
    waiting = [len(of_i) for of_i in parents]
    children: list[list[int]] = [[] for _ in parents]
    for i, of_i in enumerate(parents):
        for j in of_i:
            children[j].append(i)
    ready = [i for i in range(size) if not parents[i]]  # sorted, so a heap
    order = []
    while ready:
        i = heapq.heappop(ready)
        order.append(i)
        for child in children[i]:
            waiting[child] -= 1
            if not waiting[child]:
                heapq.heappush(ready, child)
    if len(order) < size:
        left = sorted(set(range(size)) - set(order))
        shown = ", ".join(map(str, left[:10])) + ", ..." * (len(left) > 10)
        raise ValueError(f"a graph needs to be acyclic; elements {shown} are in or behind a cycle.")
    return tuple(order)
