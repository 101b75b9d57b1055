"""Trial: the evaluation of one model, with its parameters, test points and measurements."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm.core import Array, Key, Params, PyTree
from gm.laws import quadrature, spaces
from gm.laws.law import LawBroken, NotApplicable, compiled

Measure = Callable[["Trial", Params, Key, dict[str, Array]], PyTree]

MAX_ROWS = 2**11  # spaces up to this size are enumerated in the main program
CHUNK = 2**12  # points of a larger space that are scored at once
TOLERANCE = 2e-3  # tolerance of an integral
MAX_ATTEMPTS = 8  # to find parameters that do not overflow float32
BEYOND = 1e15  # larger values are outside every grid


class Trial:
    """A model at noisy parameters, and the measurements of its laws.

    It compiles one program for `init`, one for all measurements, and one for densities on large or
    real spaces. The rest is numpy.

    Attributes:
      original: the model.
      model: the model of x; for a conditional model, p(x | y) at one random y.
      event: the space of x.
      params: the parameters.
      inputs: the points at which the model is evaluated.
      num_probes: the leading shape of the probes in `inputs["x"]`, if there are any.
    """

    def __init__(
        self,
        model: Any,
        key: Key,
        measures: Iterable[Measure],
        params: Params | None = None,
        event: core.Event | None = None,
        context: PyTree = None,
    ) -> None:
        self.original, self.key = model, key
        self._measures = tuple(dict.fromkeys(measures))
        self.event = model.event if event is None else event
        context = getattr(model, "context", None) if context is None else context
        self._context = context
        self.model = spaces.given_one(model, context, self.rng("context"))
        self._given, self._measured = params, None
        self._programs, self._shared = {}, {}
        self.inputs = self._points()
        if isinstance(model, core.Samplable):
            self.sample = jax.jit(self.model.sample)  # traced once for all uses

    def at(self, key: Key) -> Trial:
        """The same model at another key, at parameters of its own; nothing is compiled again.

        But for a conditional model, whose random y is part of the programs.
        """
        other = Trial(self.original, key, self._measures, event=self.event, context=self._context)
        if other.model is self.model:
            other._programs = self._programs
            other.sample = getattr(self, "sample", None)
        return other

    def rng(self, name: str) -> np.random.Generator:
        """A NumPy generator for one named use."""
        seed = np.asarray(jax.random.key_data(self.key)).ravel().tolist()
        return np.random.default_rng([*seed, zlib.crc32(name.encode())])

    @property
    def params(self) -> Params:
        """The given parameters, else those of `model.init` with noise on every one.

        If too many results overflow float32, it tries less noise and then other keys.
        """
        if self._given is None:
            least = np.inf
            for i in range(MAX_ATTEMPTS):
                key = self.key if i < MAX_ATTEMPTS // 2 else jax.random.fold_in(self.key, i)
                begun = self.run("init", self.original.init, key)
                params = spaces.perturb(begun, self.rng("params"), max(0.5**i, 0.125))
                results = self._measure(params)
                if (share := _share_beyond(results)) < least:
                    self._given, self._measured, least = params, results, share
                if least < 1e-3:
                    break
        return self._given

    def run(self, name: str, function: Callable[..., PyTree], *args: Any) -> PyTree:
        """Runs a function of the model, compiled once per name; returns numpy arrays."""
        return jax.tree.map(np.asarray, self.program(name, function)(*args))

    def program(self, name: str, function: Callable[..., PyTree]) -> Any:
        """The jitted function of this name, which `run` calls."""
        if name not in self._programs:
            self._programs[name] = compiled(function)
        return self._programs[name]

    def measured(self, measure: Measure) -> PyTree:
        """The result of one measure."""
        params = self.params
        if self._measured is None:
            self._measured = self._measure(params)
        return self._measured[self._measures.index(measure)]

    def measure_again(self, params: Params, *measures: Measure) -> list[PyTree]:
        """Results of measures at other parameters, without another compilation."""
        results = self._measure(params)
        return [results[self._measures.index(measure)] for measure in measures]

    def _measure(self, params: Params) -> list[PyTree]:
        def program(params: Params, key: Key, inputs: dict[str, Array]) -> list[PyTree]:
            return [measure(self, params, key, inputs) for measure in self._measures]

        return self.run("all", program, params, self.key, self.inputs)

    def once(self, name: str, function: Callable[[], Any]) -> Any:
        """A result that several laws share, computed once; a NotApplicable is shared as well."""
        if name not in self._shared:
            try:
                self._shared[name] = function()
            except NotApplicable as reason:
                self._shared[name] = reason
        if isinstance(self._shared[name], NotApplicable):
            raise self._shared[name]
        return self._shared[name]

    def _points(self) -> dict[str, np.ndarray]:
        """{"x": all values of a small space, else probes or points; "base": full sequences}."""
        event, rng = self.event, self.rng("points")
        inputs = {}
        causal = isinstance(self.model, core.Autoregressive)
        if causal:
            probes = spaces.probes(event, rng)
            self.num_probes = probes.shape[:3]
            inputs["base"] = probes[0, 0]
        critic = isinstance(self.model, core.Critic)  # its event may have several parts
        if not critic and spaces.num_states(event) <= MAX_ROWS:
            inputs["x"] = spaces.states(event)
            if causal:
                self._probe_rows = spaces.number(event, probes.reshape(-1, *event.shape))
        elif causal:
            inputs["x"] = probes.reshape(-1, *event.shape)
            self._probe_rows = np.arange(len(inputs["x"]))
        else:
            pack = getattr(self.model, "pack", 1)
            lead = (16,) if pack == 1 else (16, pack)
            inputs["x"] = jax.tree.map(
                lambda part: spaces.points(part, rng, (*lead, *part.shape)), event
            )
        return inputs

    def at_probes(self, rows: np.ndarray) -> np.ndarray:
        """The rows of the probes, as [1 + S, D, num, ...]."""
        return rows[self._probe_rows].reshape(*self.num_probes, *rows.shape[1:])

    def log_probs(self, log_prob: np.ndarray) -> np.ndarray:
        """log p(x) of every state of a discrete event; measured ones are reused if complete."""
        x = spaces.states(self.event)
        if len(log_prob) == len(x) and len(x) <= MAX_ROWS:
            return log_prob.astype(np.float64)
        return self.score("log_prob", self.model.log_prob, self.params, x)

    def score(self, name: str, function: Callable[..., PyTree], given: PyTree, x: PyTree) -> PyTree:
        """function(given, x) in float64 at points x, leaves [N, ...], CHUNK points at a time."""
        parts, num = [], len(jax.tree.leaves(x)[0])
        for begin in range(0, num, CHUNK):
            part = jax.tree.map(lambda leaf, b=begin: _padded(leaf[b : b + CHUNK]), x)
            parts.append(self.run(name, jax.vmap(function, (None, 0)), given, part))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:num].astype(np.float64), *parts)

    def integrate(
        self, density: quadrature.Integrand, samples: list[np.ndarray], fineness: int = 1
    ) -> quadrature.Quadrature:
        """Integrals over one or two real dimensions; raises NotApplicable if this is impossible."""
        num_dims = samples[0].shape[1]
        if not 1 <= num_dims <= 2:
            raise NotApplicable(f"no quadrature in {num_dims} real dimensions; take one or two")
        kept = []
        for x in samples:
            beyond = ~np.all(np.abs(x) < BEYOND, axis=1)
            if np.mean(beyond) > 1e-3:
                share = 100.0 * np.mean(beyond)
                raise NotApplicable(f"{share:.1f} % of the samples lie beyond the grid")
            kept.append(x[~beyond])
        result = quadrature.integrate(density, kept, fineness)
        if not np.isfinite(result.error):
            raise NotApplicable("the density is narrower than the resolution of float32 there")
        if result.error > TOLERANCE:
            raise NotApplicable(
                f"the density varies faster than the grid: {result.error:.1e} between two "
                "resolutions"
            )
        return result


def _share_beyond(results: PyTree) -> float:
    """The largest fraction of nan or too large values in any array; -inf is allowed."""
    leaves = [leaf for leaf in jax.tree.leaves(results) if leaf.size and leaf.dtype.kind == "f"]
    beyond = (np.mean(~(np.abs(leaf) < BEYOND) & (leaf != -np.inf)) for leaf in leaves)
    return float(max(beyond, default=0.0))


def _padded(rows: np.ndarray) -> np.ndarray:
    """Pads rows to [CHUNK, ...] with copies of the first one."""
    return np.concatenate([rows, np.repeat(rows[:1], CHUNK - len(rows), axis=0)])


def on_two_grids(check: Callable[[int], Any]) -> Any:
    """Runs check(fineness), and again on a finer grid if it fails."""
    try:
        return check(1)
    except LawBroken:
        return check(4)


def differs(traced: Any, function: Callable[..., PyTree], *args: Any) -> bool:
    """Whether another trace of a function differs from the one traced before.

    Global generators, counters and clocks are read only when a function is traced, so calls of the
    compiled function do not reveal them.
    """
    again = jax.make_jaxpr(lambda *args: function(*args))(*args)
    return _text(traced.jaxpr) != _text(again)


def _text(jaxpr: Any) -> tuple[str, list[bytes]]:
    """A program as text, without addresses, and its constant arrays."""
    consts = [np.asarray(c).tobytes() for c in jaxpr.consts if not _is_key(c)]
    return re.sub(r"0x[0-9a-f]+", "", str(jaxpr)), consts


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(getattr(x, "dtype", np.float32), jax.dtypes.prng_key)


def _parts(model: Any) -> list[Any]:
    """The event of a model, or the parts of a critic's event if it has several."""
    event = getattr(model, "event", None)
    return (isinstance(model, core.Critic) and jax.tree.leaves(event)) or [event]


def check_arguments(model: Any, key: Key, event: core.Event | None) -> None:
    """Raises a clear error for a wrong model, key, or event of a bijection."""
    if isinstance(model, type) or not hasattr(type(model), "init"):
        got = f"{model.__name__} itself" if hasattr(model, "__name__") else type(model).__name__
        raise TypeError(
            f"laws.check needs a model: an object with `init(key)`, an `event` and the methods of "
            f"some capability of gm.core; got {got}. Build one first, as MADE(event, head)."
        )
    if isinstance(event, core.Event):
        core.require(model, core.Bijection, "laws.check with an event")
    elif not all(isinstance(part, core.Event) for part in _parts(model)):
        if isinstance(model, core.Bijection):
            raise TypeError(
                f"laws.check needs the space of x for a bijection: give event=Event((2,)) or "
                f"whatever {type(model).__name__} maps; got {event!r}."
            )
        has = f"has {model.event!r}" if hasattr(model, "event") else "has no field `event`"
        raise TypeError(
            f"laws.check needs a model with an `event`, the gm.core.Event that x lives in; "
            f"{type(model).__name__} {has}."
        )
    if not isinstance(key, jax.Array) or (_is_key(key) and key.shape != ()):
        got = f"one of shape {key.shape}" if isinstance(key, jax.Array) else type(key).__name__
        raise TypeError(f"laws.check needs one key, as jax.random.key(0); got {got}.")
