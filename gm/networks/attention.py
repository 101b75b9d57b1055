r"""Causal self-attention, and the Transformer made of it.

    y_i = \sum_{j <= i} a_ij v_j,    a_i = softmax_j(q_i k_j / sqrt(d))        for each head

Vaswani et al. (2017), "Attention is all you need", arXiv:1706.03762. Scoring D elements costs D^2
products of queries and keys; incremental sampling keeps the keys and values of earlier elements and
costs the same.
"""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gm.core import Array
from gm.networks.causal import CausalNetwork, Run, Shift, context_layer
from gm.networks.layers import Dense, add_bias, product

NEVER = -1e30  # a score whose softmax is zero; -inf would make a row of them NaN


class LayerNorm(nn.Module):
    """(x - mean) / sqrt(variance + epsilon) over the last axis, scaled and shifted, in float32.

    Ba, Kiros & Hinton (2016), "Layer normalization", arXiv:1607.06450.

    Attributes:
      epsilon: below the root.
    """

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x: [..., C] -> [..., C]"""
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        x = x.astype(jnp.float32)
        x = x - jnp.mean(x, -1, keepdims=True)
        x = x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + self.epsilon)
        return add_bias(x * scale.reshape((1,) * (x.ndim - 1) + scale.shape), bias)


class Dropout(nn.Module):
    """Zeroes a share of x and scales the rest up, where `apply` is given a key for "dropout".

    Srivastava et al. (2014), "Dropout". Without a key, as in scoring and sampling, x is unchanged.

    Attributes:
      rate: the share.
    """

    rate: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x: [...] -> [...]"""
        if self.rate == 0.0 or not self.has_rng("dropout"):
            return x
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1.0 - self.rate, x.shape)
        return jnp.where(kept, x / (1.0 - self.rate), 0.0)


class CausalSelfAttention(nn.Module):
    """A causal layer: element i attends to the elements j <= i, or j < i, by several heads.

    Queries are made of one input, keys and values of the same or of another one (PixelSNAIL makes
    them of different ones; Chen et al. 2018, arXiv:1712.09763). What the heads give is
    concatenated, with no projection behind it. Scores and softmax are in float32.

    Attributes:
      length: T, the number of elements, whose keys and values are cached.
      features: of y; a multiple of num_heads.
      num_heads: heads, each of features / num_heads values.
      key_features: width of the queries and of the keys, over all heads; features by default.
      strict: whether element i sees j < i only; the first element then gets zeros.
      dropout: the share of attention weights left out in training.
      scale: standard deviation of the initial kernels.
      dtype: of the factors of every product, and of the keys and values that are kept.
    """

    length: int
    features: int
    num_heads: int = 1
    key_features: int | None = None
    strict: bool = False
    dropout: float = 0.0
    scale: float = 0.02
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Two dense layers, one for keys and values together."""
        width = self.key_features or self.features
        if self.features % self.num_heads or width % self.num_heads:
            raise ValueError(
                f"CausalSelfAttention needs features and key_features divisible by num_heads="
                f"{self.num_heads}; got {self.features} and {width}."
            )
        init = nn.initializers.normal(self.scale)
        self.queries = Dense(width, self.dtype, init)
        self.keys_values = Dense(width + self.features, self.dtype, init)
        self.drop = Dropout(self.dropout)

    def __call__(self, x: Array, source: Array | None = None) -> Array:
        """x: [T, C], source: [T, C'] of keys and values, by default x -> [T, features]"""
        keys, values = self._remember(x if source is None else source)
        return self._attend(x, keys, values, jnp.arange(len(x)))

    def start(self, x: Array, source: Array | None = None) -> tuple[Array, Array]:
        """Keys and values of no element: [heads, T, d] and [heads, T, e]."""
        keys, values = self._remember((x if source is None else source)[None])
        empty = (self.num_heads, self.length)
        return (
            jnp.zeros((*empty, keys.shape[-1]), self.dtype),
            jnp.zeros((*empty, values.shape[-1]), self.dtype),
        )

    def step(
        self,
        cache: tuple[Array, Array],
        time: Array,
        x: Array,
        source: Array | None = None,
    ) -> tuple[tuple[Array, Array], Array]:
        """x: [C], source: [C'] -> [features]"""
        new = self._remember((x if source is None else source)[None])
        keys, values = (
            jax.lax.dynamic_update_slice_in_dim(old, one, time, 1)
            for old, one in zip(cache, new, strict=True)
        )
        return (keys, values), self._attend(x[None], keys, values, time[None])[0]

    def _remember(self, source: Array) -> tuple[Array, Array]:
        """Keys [heads, T, d] and values [heads, T, e] of source: [T, C']."""
        both = self.keys_values(source)
        keys, values = jnp.split(both, [self.key_features or self.features], -1)
        return self._heads(keys), self._heads(values)

    def _heads(self, x: Array) -> Array:
        """[T, heads d] -> [heads, T, d], as a factor."""
        return x.reshape(len(x), self.num_heads, -1).swapaxes(0, 1).astype(self.dtype)

    def _attend(self, x: Array, keys: Array, values: Array, time: Array) -> Array:
        """What the elements x: [Q, C], at the positions `time`: [Q], read -> [Q, features]"""
        queries = self.queries(x) / math.sqrt(keys.shape[-1])
        scores = product(self._heads(queries), keys.swapaxes(1, 2))  # [heads, Q, T]
        last = time - 1 if self.strict else time
        seen = (jnp.arange(keys.shape[1], dtype=last.dtype)[None, :] <= last[:, None])[None]
        weights = jax.nn.softmax(jnp.where(seen, scores, NEVER))
        if self.strict:
            weights = jnp.where(seen, weights, 0.0)  # of the first element, which sees nothing
        read = product(self.drop(weights).astype(self.dtype), values)
        return read.swapaxes(0, 1).reshape(len(x), -1)


class PositionEmbedding(nn.Module):
    """A causal layer that adds to each element a learned vector of its position.

    Attributes:
      length: T, the number of positions.
      features: of x.
      scale: standard deviation of the initial vectors.
    """

    length: int
    features: int
    scale: float = 0.02

    def setup(self) -> None:
        """One vector per position."""
        init = nn.initializers.normal(self.scale)
        self.table = self.param("table", init, (self.length, self.features), jnp.float32)

    def __call__(self, x: Array) -> Array:
        """x: [T, features] -> [T, features]"""
        return x + self.table

    def start(self, x: Array) -> None:
        """There is nothing to keep."""
        del x

    def step(self, cache: None, time: Array, x: Array) -> tuple[None, Array]:
        """x: [features] -> [features]"""
        return cache, x + self.table[time]


class Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)): the pre-norm block of GPT-2.

    Attributes:
      length: T.
      width: C, of x.
      num_heads: of the attention.
      num_layers: blocks in the network; what each adds to x is scaled by 1 / sqrt(2 num_layers).
      dropout: the share of attention weights, and of what is added to x, left out in training.
      dtype: as in `CausalSelfAttention`.
    """

    length: int
    width: int
    num_heads: int
    num_layers: int
    dropout: float = 0.0
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """GPT-2's initial weights."""
        width, dtype = self.width, self.dtype
        inner = nn.initializers.normal(0.02)
        outer = nn.initializers.normal(0.02 / math.sqrt(2 * self.num_layers))
        self.norm_attention, self.norm_mlp = LayerNorm(), LayerNorm()
        self.attention = CausalSelfAttention(
            self.length, width, self.num_heads, dropout=self.dropout, dtype=dtype
        )
        self.attention_out = Dense(width, dtype, outer)
        self.mlp_in, self.mlp_out = Dense(4 * width, dtype, inner), Dense(width, dtype, outer)
        self.drop_attention, self.drop_mlp = Dropout(self.dropout), Dropout(self.dropout)

    def __call__(self, x: Array, run: Run) -> Array:
        """x: [T, width], or of one element [width]"""
        read = run(self.attention, self.norm_attention(x))
        x = x + self.drop_attention(self.attention_out(read))
        hidden = nn.gelu(self.mlp_in(self.norm_mlp(x)))
        return x + self.drop_mlp(self.mlp_out(hidden))


class Transformer(CausalNetwork):
    """A pre-norm Transformer decoder over the elements of an event in raster order, as GPT-2 is.

    Radford, Wu, Child, Luan, Amodei & Sutskever (2019), "Language models are unsupervised multitask
    learners"; initial weights from N(0, 0.02^2), those that add to the residual stream smaller by
    sqrt(2 num_layers). Position embeddings are learned, so a network is for events of one size.
    Departures: the features of an element enter through a dense layer, which the output does not
    share.

    A context adds a vector to every element.

    Attributes:
      width: C, of the residual stream.
      num_layers: blocks.
      num_heads: of each attention; divides width.
      dropout: in training (`Dropout`): of embeddings, attention weights and what blocks add.
      local: whether the context has a part for each element, Event((*shape, E)), which moves the
        output that predicts it, rather than one for all of them.
    """

    width: int = 128
    num_layers: int = 4
    num_heads: int = 4
    dropout: float = 0.0
    local: bool = False

    def setup(self) -> None:
        """Embeddings, blocks and the output."""
        length, init = math.prod(self.shape), nn.initializers.normal(0.02)
        self.shift = Shift()
        self.elements = Dense(self.width, self.dtype, init)
        self.positions = PositionEmbedding(length, self.width)
        if self.context_dim:
            self.given = context_layer(self, self.width, self.local)
        self.drop = Dropout(self.dropout)
        self.blocks = [
            Block(length, self.width, self.num_heads, self.num_layers, self.dropout, self.dtype)
            for _ in range(self.num_layers)
        ]
        self.norm = LayerNorm()
        self.output = Dense(self.num_params, self.dtype, init)

    def body(self, f: Array, context: Array | None, run: Run) -> Array:
        """f: [*shape, features] -> [*shape, params], or of one element"""
        x = f if f.ndim == 1 else f.reshape(-1, self.num_features)
        x = run(self.positions, self.elements(run(self.shift, x)))
        if self.context_dim:
            x = add_bias(x, run(self.given, context))
        x = self.drop(x)
        for block in self.blocks:
            x = block(x, run)
        return self.output(self.norm(x)).reshape(*f.shape[:-1], self.num_params)
