"""Dense and convolutional layers: products in any precision, everything else in float32.

`dtype` is that of the factors of a product, and with them of what is kept for its gradient. Its
sums are in float32, and so is all that lies between two products: biases, activations,
normalization, residual streams. A sum in bfloat16 stops growing after 256 equal terms, and the
backward pass sums over the batch and over every pixel wherever the forward pass broadcasts.

Two roundings remain beside that of the factors. Gradients of kernels and of inputs are products
too, summed at full precision on each device, rounded to `dtype`, and only then added over devices.
So are the sums of a convolution rounded once, since GPUs have none from bfloat16 to float32.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from gm.core import Array


class Frozen(nn.Module):
    """A module whose lists and arrays become tuples, so that it hashes by value."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not field.init or field.name in ("parent", "name"):
                continue
            value = frozen(getattr(self, field.name))
            if isinstance(value, int) and str(field.type).startswith("tuple"):
                raise TypeError(
                    f"{type(self).__name__} needs a tuple for {field.name}, as in ({value},); "
                    f"got {value}."
                )
            object.__setattr__(self, field.name, value)
        super().__post_init__()


def frozen(value: Any) -> Any:
    """Lists, tuples and arrays as nested tuples, their numbers as Python's."""
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        value = value.tolist()
    if type(value) in (list, tuple):
        return tuple(map(frozen, value))
    return value


def joined(h: Array, context: Array | None) -> Array:
    """h: [..., C] with context: [..., E] beside its channels, [..., C + E]; h itself for None.

    The context may lack axes of h: it is the same along them.
    """
    if context is None:
        return h
    shape = (*h.shape[:-1], context.shape[-1])
    return jnp.concatenate([h, jnp.broadcast_to(context, shape).astype(h.dtype)], -1)


class Dense(nn.Module):
    """x W + b over the last axis.

    Attributes:
      features: outputs.
      dtype: of the factors of the product; parameters and outputs are in float32.
      kernel_init: initializer of W: [inputs, features].
    """

    features: int
    dtype: Any = jnp.float32
    kernel_init: Callable[..., Array] = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x: [..., inputs] -> [..., features]"""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return add_bias(product(x.astype(self.dtype), kernel.astype(self.dtype)), bias)


class Conv(nn.Module):
    """Two-dimensional convolution with zero padding, plus a bias for each channel.

    Attributes:
      features: channels of the output.
      size: height and width of the kernel.
      stride: by how much each side of the image shrinks.
      dtype, kernel_init: as in `Dense`; the kernel is [size, size, inputs, features].
    """

    features: int
    size: int = 3
    stride: int = 1
    dtype: Any = jnp.float32
    kernel_init: Callable[..., Array] = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x: [..., H, W, inputs] -> [..., H / stride, W / stride, features], rounded up"""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        strides = (self.stride, self.stride)
        y = convolve(x.astype(self.dtype), kernel.astype(self.dtype), "SAME", strides=strides)
        return add_bias(y, bias)


def convolve(
    x: Array, kernel: Array, padding: str | Sequence[tuple[int, int]], **options: Any
) -> Array:
    """Convolution over all axes but the first and the last of a kernel [*sizes, inputs, features].

    Args:
      x: [..., *spatial, inputs], in the dtype of the kernel.
      kernel: [*sizes, inputs, features].
      padding: zeros before and after each spatial axis, or "SAME" or "VALID".
      **options: `strides` and `rhs_dilation`, as in `jax.lax.conv_general_dilated`.

    Returns:
      [..., *spatial, features], in float32.
    """
    ndim = kernel.ndim - 1
    strides = options.pop("strides", (1,) * (ndim - 1))
    letters = "HW"[: ndim - 1]
    numbers = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    lead = x.shape[:-ndim]
    x = x.reshape(math.prod(lead), *x.shape[-ndim:])
    y = jax.lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=numbers, **options
    )
    return y.reshape(*lead, *y.shape[1:]).astype(jnp.promote_types(y.dtype, jnp.float32))


def product(x: Array, w: Array) -> Array:
    """x @ w for factors of one dtype, multiplied in it, summed and returned in float32."""
    if jnp.finfo(x.dtype).bits < 32:
        return _half_product(x, w)
    if x.ndim > 1 and w.ndim == 2:
        # The same product, so written that on a CPU XLA finds a fast one for the gradient of w,
        # a sum over many positions. It would undo a transpose that it sees.
        return jnp.einsum("...i,oi->...o", x, jax.lax.optimization_barrier(w.T))
    return x @ w


@jax.custom_jvp
def _half_product(x: Array, w: Array) -> Array:
    """x @ w, from half precision to float32."""

    def on_cpu(x: Array, w: Array) -> Array:
        # The same numbers. XLA cannot run every such product of half precision on a CPU.
        return x.astype(jnp.float32) @ w.astype(jnp.float32)

    def elsewhere(x: Array, w: Array) -> Array:
        return jnp.matmul(x, w, preferred_element_type=jnp.float32)

    return jax.lax.platform_dependent(x, w, cpu=on_cpu, default=elsewhere)


def _half_product_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """Products in half precision again, where JAX's own rule would mix float32 into the transpose.

    Plain products rather than a `custom_vjp`: under `vmap` that would make one gradient of w for
    each example before summing them.
    """
    (x, w), (dx, dw) = primals, tangents
    moved = [(a, b) for a, b in ((dx, w), (x, dw)) if SymbolicZero not in (type(a), type(b))]
    first, *rest = [(a @ b).astype(jnp.float32) for a, b in moved]
    return _half_product(x, w), sum(rest, first)


_half_product.defjvp(_half_product_jvp, symbolic_zeros=True)  # data have no gradient to compute


def add_bias(y: Array, b: Array) -> Array:
    """y: [..., m] plus b: [m], or of more of y's last axes, in the precision of y."""
    return y + b.astype(y.dtype).reshape((1,) * (y.ndim - b.ndim) + b.shape)


def gated(x: Array) -> Array:
    """The gated unit tanh(a) σ(b) of the halves of the last axis: [..., 2 C] -> [..., C].

    van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves & Kavukcuoglu (2016), "Conditional image
    generation with PixelCNN decoders", arXiv:1606.05328, equation 2.
    """
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.tanh(a) * jax.nn.sigmoid(b)
