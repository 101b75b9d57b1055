"""Laws of models with an exact log_prob: it is a density, and samples follow it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gm import core
from gm.laws import quadrature, spaces
from gm.laws.any_model import samples as samples_of
from gm.laws.law import NotApplicable, demand
from gm.laws.statistics import TOO_RARE, chi_squared
from gm.laws.trial import TOLERANCE, Trial, on_two_grids

NUM_PILOTS = 4096  # samples that locate the density; the others are tested against it
NUM_CELLS = 64


def density_sums_to_one(trial: Trial, out: tuple[np.ndarray, Any]) -> None:
    """The sum over all K^D states, or the integral over one or two real dimensions, is one."""
    if trial.event.discrete:
        total = float(np.sum(np.exp(trial.log_probs(out[0]))))
        demand(abs(total - 1.0) < 1e-4, f"it sums to {total:.6f}")  # float32 sums
        return
    total = float(_integral(trial, 1).total[0])
    if not abs(total - 1.0) < TOLERANCE:
        finer = float(_integral(trial, 4).total[0])
        if abs(finer - total) > TOLERANCE / 4.0:
            raise NotApplicable(
                f"the density varies faster than the grid: {total:.4f} on one, {finer:.4f} on a "
                "finer one"
            )
        demand(abs(finer - 1.0) < TOLERANCE, f"it sums to {finer:.6f}")


def samples_follow_the_density(
    trial: Trial, samples: np.ndarray, out: tuple[np.ndarray, Any]
) -> None:
    """A chi-squared test of samples against the probabilities of states or cells."""
    event = trial.event
    if event.discrete:
        _demand_fit(spaces.number(event, samples), np.exp(trial.log_probs(out[0])))
        return

    def check(fineness: int) -> None:
        integral = _integral(trial, fineness)
        tested = samples.reshape(len(samples), -1)[NUM_PILOTS:]
        # Adjacent cells along the curve are adjacent in space.
        group = np.cumsum(integral.mass) * NUM_CELLS
        group = np.clip(group, 0, NUM_CELLS - 1).astype(int)
        expected = np.bincount(group, weights=integral.mass, minlength=NUM_CELLS)
        _demand_fit(group[integral.cells_of(tested)], expected)

    on_two_grids(check)


def _demand_fit(place: np.ndarray, expected: np.ndarray) -> None:
    seen = np.bincount(place, minlength=len(expected)).astype(np.float64)
    chi2, freedom, p = chi_squared(seen, np.maximum(expected, 0.0) * len(place))
    demand(p > TOO_RARE, f"chi-squared {chi2:.1f} with {freedom} degrees of freedom")


def _integral(trial: Trial, fineness: int) -> quadrature.Quadrature:
    """The integral of the density, shared by both laws."""
    return trial.once(f"integral {fineness}", lambda: _integrate(trial, fineness))


def _integrate(trial: Trial, fineness: int) -> quadrature.Quadrature:
    event, model = trial.event, trial.model
    pilots = [trial.rng("pilots").standard_normal((NUM_PILOTS, event.size))]
    if isinstance(model, core.Samplable):
        samples = trial.measured(samples_of)[:NUM_PILOTS].reshape(NUM_PILOTS, -1)
        pilots.insert(0, np.where(np.isfinite(samples), samples, np.inf))
    if fineness > 1:  # the samples may not be where the density is
        found = _integral(trial, 1).points(NUM_PILOTS, trial.rng("points"))
        pilots.insert(0, found)
    lost: list[np.ndarray] = []

    def density(x: np.ndarray) -> np.ndarray:
        x = x.reshape(-1, *event.shape).astype(event.dtype)
        log_p = trial.score("log_prob", model.log_prob, trial.params, x)
        lost.extend(x[np.isnan(log_p)][:1])
        return np.exp(np.where(np.isnan(log_p), -np.inf, log_p))[:, None]

    integral = trial.integrate(density, pilots, fineness)
    if lost and abs(integral.total[0] - 1.0) > TOLERANCE:
        # Far from all samples float32 may overflow; a fault of the model shows at samples too.
        x = pilots[0].reshape(-1, *event.shape).astype(event.dtype)
        at_pilots = trial.score("log_prob", model.log_prob, trial.params, x)
        demand(np.mean(np.isnan(at_pilots)) < 0.01, f"log p(x) is not a number at {lost[0]}")
        raise NotApplicable(f"log p(x) is not a number at {lost[0]}, beyond float32")
    return integral
