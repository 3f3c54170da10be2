"""Four gates that an honest posterior sampler passes, and each of which lets some wrong sampler through.

Pictures are drawn from a prior, observed, and sampled back. If the sampler is exact, the truth is one more sample:

coverage: of the pixels' central intervals of 50% and 90% between the samples (the probability integral transform).
TARP: the rank of the truth's distance from a random point among the samples' distances is uniform (Lemos et al.,
    "Sampling-based accuracy testing of posterior estimators for general inference", 2023).
MSE ratio: a sample is twice as far from the truth, in mean square, as the posterior mean.
residual: y − H x̂ has the standard deviation σ0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from snips.ensemble import coverage, rank_shares
from snips.errors import InvalidValue
from snips.observation import Mask, Observation

CHANCE = 3.0
"""Standard errors that are allowed on top of a gate's tolerance."""


@dataclass(frozen=True)
class Gate:
    """One figure, what it is for an exact sampler, and how far off it may be."""

    name: str
    value: float
    exact: float
    allowed: float

    @property
    def passed(self) -> bool:
        return abs(self.value - self.exact) <= self.allowed


@dataclass(frozen=True)
class CalibrationCard:
    """The gates of one sampler on one kind of observation."""

    gates: tuple[Gate, ...]
    pictures: int
    samples: int
    """Of each picture."""

    @property
    def passed(self) -> bool:
        return all(gate.passed for gate in self.gates)


def calibration(
    clean: Tensor, observation: Observation, samples: Tensor, mean: Tensor, seed: int = 0
) -> CalibrationCard:
    """The card of samples of p(x | y).

    Args:
        clean: the pictures (N, C, H, W), drawn from the prior that the sampler was given.
        observation: of all of them, y (N, …).
        samples: (S, N, C, H, W), at least 19 of each: the 90% interval needs as many.
        mean: (N, C, H, W), the exact posterior means.
        seed: of TARP's random points.

    Tolerances: coverage .02, TARP .04, MSE ratio .1, residual .02, each with CHANCE standard errors in quadrature.
    Raises InvalidValue for too few samples or shapes that do not fit.
    """
    x, drawn, mmse = clean.double(), samples.double(), mean.double()
    if drawn.ndim != 5 or drawn.shape[1:] != x.shape or mmse.shape != x.shape or len(observation.batch) != len(x):
        raise InvalidValue(
            f"samples {tuple(samples.shape)} of {len(observation.batch)} observations, clean {tuple(clean.shape)}"
        )
    if len(drawn) < 19 or len(x) < 2:
        raise InvalidValue(
            f"calibration needs at least 19 samples of at least 2 pictures, not {len(drawn)} of {len(x)}"
        )
    gates = (*coverages(x, drawn), tarp(x, drawn, seed), mse_ratio(x, drawn, mmse), residual(observation, drawn))
    return CalibrationCard(gates, len(x), len(drawn))


def coverages(x: Tensor, samples: Tensor) -> tuple[Gate, Gate]:
    shares = np.stack([rank_shares(x[i].numpy(), samples[:, i].numpy()) for i in range(len(x))])  # (N, S + 1)

    def gate(probability: float) -> Gate:
        error = standard_error(np.array([coverage(one, probability) for one in shares]))
        seen = coverage(shares.mean(0), probability)
        return Gate(f"{probability:.0%} coverage", seen, probability, math.hypot(0.02, CHANCE * error))

    return gate(0.5), gate(0.9)


def tarp(x: Tensor, samples: Tensor, seed: int) -> Gate:
    """The largest deviation of the ranks' distribution from uniform, with its sign.

    The random points are other pictures of the same prior: each picture's is the truth of another.
    """
    S, N = samples.shape[:2]
    order = torch.randperm(N, generator=torch.Generator().manual_seed(seed))
    point = x[order.roll(1)[order.argsort()]]  # a cyclic permutation: no picture is its own point
    truth = (x - point).flatten(1).norm(dim=1)
    ranks = ((samples - point).flatten(2).norm(dim=2) < truth).sum(0)
    reached = torch.bincount(ranks, minlength=S + 1).cumsum(0) / N
    deviation = reached - torch.arange(1, S + 2) / (S + 1)
    # 1.36/√N is the largest deviation of N uniform draws in 95 of 100 cases (Kolmogorov), 1.63/√N in 99.
    return Gate("TARP", float(deviation[deviation.abs().argmax()]), 0.0, math.hypot(0.04, 1.63 / math.sqrt(N)))


def mse_ratio(x: Tensor, samples: Tensor, mean: Tensor) -> Gate:
    ours, best = ((d - x).square().flatten(-3).mean(-1) for d in (samples, mean))
    ours = ours.mean(0)
    error = standard_error((ours - 2 * best).numpy()) / float(best.mean())
    return Gate("MSE ratio", float(ours.mean() / best.mean()), 2.0, math.hypot(0.1, CHANCE * error))


def residual(observation: Observation, samples: Tensor) -> Gate:
    """Of all observed values of all samples together."""
    operator = observation.operator
    seen = torch.stack([observation.batch.double() - operator.forward(one) for one in samples])
    if isinstance(operator, Mask):
        seen = seen[operator.mask.expand(seen.shape)]
    error = 1 / math.sqrt(2 * seen.numel() / len(samples))
    ratio = float(seen.std()) / observation.sigma
    return Gate("residual std/σ0", ratio, 1.0, math.hypot(0.02, CHANCE * error))


def standard_error(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values)))
