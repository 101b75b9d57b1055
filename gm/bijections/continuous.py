r"""Continuous flows: the solution of an ordinary differential equation, by diffrax.

Chen, Rubanova, Bettencourt & Duvenaud (2018), "Neural ordinary differential equations",
arXiv:1806.07366; Grathwohl, Chen, Bettencourt, Sutskever & Duvenaud (2019), "FFJORD",
arXiv:1810.01367.

    dx/dt = f(x, t, context),  y = x(1) for x(0) = x,    log_det = ∫_0^1 tr(∂f/∂x) dt

Needs diffrax: pip install "gm-jax[ode]". It is imported where an equation is solved.
"""

from __future__ import annotations

import dataclasses
import functools
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

from gm.bijections import context as given
from gm.core import Array, Event, Key, Params, PyTree
from gm.networks import MLP


@dataclasses.dataclass(frozen=True)
class Continuous:
    """y = x(1), by an adaptive solver of order 5 (Tsit5); `inverse` goes back in time.

    Both ways are solved to `tolerance` of each step, relative and absolute, which is the error of
    the inverse too. Where the solver needs more than `max_steps`, the results are NaN.

    The trace is exact, at D times the cost of f, or Hutchinson's estimate ε^T ∂f/∂x ε, at the cost
    of one f for each probe, with ε of ±1 fixed along a solution. The probes are a function of the
    bits of what is mapped, and so differ between examples; log_det is then a random number whose
    mean over them is right, and log-determinants of the two directions do not cancel.

    Attributes:
      event: the space of x and y, real; D elements.
      network: f, smooth: any network with `output_shape`, set here, as in `Coupling`; it is given
        the time, and the context after it, as a context.
      num_probes: of Hutchinson's estimate; 0 for the exact trace.
      tolerance: of a step.
      max_steps: of the solver.
      context_dim: E, the size of the context vector; 0 for none.
      seed: of the probes.

    Raises:
      ValueError: the event is discrete, or the tolerance is none of float32.
      TypeError: a network without `output_shape`.
    """

    event: Event
    network: Any = MLP((64, 64), (), activation=jax.nn.softplus, output_scale=0.1)
    num_probes: int = 0
    tolerance: float = 1e-5
    max_steps: int = 1024
    context_dim: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.event.discrete:
            raise ValueError(
                f"Continuous needs a real event; got {self.event}. Dequantize integers "
                "(gm.data.UniformDequantization)."
            )
        if not hasattr(self.network, "output_shape"):
            raise TypeError(
                "Continuous needs a network with a field output_shape, as gm.networks.MLP((64,), "
                f"()); got {type(self.network).__name__}."
            )
        if not 1e-7 < self.tolerance < 1.0:
            raise ValueError(
                f"Continuous needs a tolerance above 1e-7, which float32 has, and below 1; got "
                f"{self.tolerance}."
            )

    @functools.cached_property
    def sized_network(self) -> Any:
        """The network in the sizes of the event."""
        sizes = {"output_shape": self.event.shape}
        if hasattr(self.network, "input_ndim"):
            sizes["input_ndim"] = len(self.event.shape)
        return self.network.clone(**sizes)

    def init(self, key: Key) -> Params:
        """Parameters of the network."""
        x = jnp.zeros(self.event.shape, jnp.float32)
        return self.sized_network.init(key, x, jnp.zeros(1 + self.context_dim, jnp.float32))

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """x(1) for x(0) = x."""
        return self._solve(params, x, context, 0.0, 1.0)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """x(0) for x(1) = y."""
        return self._solve(params, y, context, 1.0, 0.0)

    def _solve(
        self, params: Params, x: Array, context: PyTree, begin: float, end: float
    ) -> tuple[Array, Array]:
        diffrax = _diffrax()
        args = params, given.inputs(self, context), self._probes(x)
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(self._field),
            diffrax.Tsit5(),
            jnp.asarray(begin, x.dtype),
            jnp.asarray(end, x.dtype),
            None,
            (x, jnp.zeros((), x.dtype)),
            args,
            stepsize_controller=diffrax.PIDController(rtol=self.tolerance, atol=self.tolerance),
            max_steps=self.max_steps,
            throw=False,
        )
        solved = found.result == diffrax.RESULTS.successful
        y, log_det = (jnp.where(solved, leaf[0], jnp.nan) for leaf in found.ys)
        return y, log_det

    def _field(self, t: Array, state: tuple[Array, Array], args: tuple) -> tuple[Array, Array]:
        """f, and its trace."""
        params, context, probes = args
        time = jnp.concatenate([jnp.asarray(t, jnp.float32)[None], *context])

        def f(x: Array) -> Array:
            return self.sized_network.apply(params, x, time)

        x, _ = state
        if probes is None:
            jacobian = jax.jacfwd(f)(x).reshape(x.size, x.size)
            return f(x), jnp.trace(jacobian)
        dx, pull = jax.vjp(f, x)
        traces = jax.vmap(lambda e: jnp.sum(pull(e)[0] * e))(probes)
        return dx, jnp.mean(traces)

    def _probes(self, x: Array) -> Array | None:
        """±1: [num_probes, *event], of the bits of x."""
        if self.num_probes == 0:
            return None
        bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32).reshape(-1)
        places = jnp.arange(1, 2 * x.size + 1, 2, dtype=jnp.uint32)
        key = jax.random.fold_in(
            jax.random.key(self.seed), jnp.sum(bits * places, dtype=jnp.uint32)
        )
        return jax.random.rademacher(key, (self.num_probes, *x.shape), x.dtype)


def _diffrax() -> ModuleType:
    try:
        import diffrax
    except ImportError as error:
        raise ImportError(
            'Continuous needs diffrax to solve its equation: pip install "gm-jax[ode]".'
        ) from error
    return diffrax
