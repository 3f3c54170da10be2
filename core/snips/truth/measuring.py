"""A sampler on a problem of known posterior: samples are drawn, and what is wrong with them is put in figures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from snips.analytic import GaussianPrior
from snips.calibration import CalibrationCard, calibration
from snips.engine import sample
from snips.errors import NotAffine
from snips.interfaces import MMSEDenoiser, PosteriorSampler
from snips.observation import Observation
from snips.truth.distances import estimated_wasserstein, sliced_wasserstein, wasserstein, weight_error
from snips.truth.gaussian import propagate
from snips.truth.problems import CalibrationProblem, Case, KnownProblem

Draw = Callable[[MMSEDenoiser, Observation, int, int], tuple[Tensor, int]]
"""(denoiser, observation, samples S, seed) → samples (S, *y's picture shape), and denoiser calls a sample."""

Floats = dict[str, list[float]]


@dataclass(frozen=True)
class Result:
    """Figures of one sampler on one problem, each over the problem's cases; for what each is see FIGURES."""

    problem: str
    sampler: str
    library: str
    nfe: int
    samples: int
    seconds: float
    """Of drawing them, all cases together."""
    exact: bool
    """w2 and std ratios were propagated: without Monte-Carlo error."""
    figures: Floats = field(default_factory=dict)

    def mean(self, figure: str) -> float | None:
        values = self.figures.get(figure)
        return sum(values) / len(values) if values else None

    def margin(self, figure: str) -> float | None:
        """1.96 standard errors of the mean over the cases; None for fewer than two."""
        values = torch.tensor(self.figures.get(figure, []), dtype=torch.float64)
        return float(1.96 * values.std() / math.sqrt(len(values))) if len(values) > 1 else None


FIGURES = {
    "w2": "Wasserstein-2 distance over the posterior's total std; of samples: along its principal directions",
    "std_observed": "std over that of the posterior, root mean square over observed pixels",
    "std_missing": "the same over missing pixels",
    "tv": "total variation between the mixture weights of the samples and of the posterior",
    "tv_floor": "the same of as many exact draws",
    "sw2": "sliced W2 to as many exact draws, over the posterior's root mean square std of a pixel",
    "sw2_floor": "the same between two sets of exact draws",
    "sw1": "sliced W1 to as many exact draws, in the units of the problem",
    "sw1_floor": "the same between two sets of exact draws",
}


def measure(
    problem: KnownProblem,
    sampler: PosteriorSampler,
    label: str,
    *,
    samples: int = 1000,
    cases: int | None = None,
    seed: int = 0,
) -> Result:
    """Draw `samples` of each of the problem's first `cases` with this sampler. Raises what its plan raises.

    On Gaussian problems mean and covariance are also propagated exactly, if the sampler's steps are affine.
    """

    def law(case: Case) -> tuple[Tensor, Tensor] | None:
        if not isinstance(case.prior, GaussianPrior):
            return None
        try:
            return propagate(sampler, case.observation, case.prior)[:2]
        except NotAffine:
            return None

    draw = drawn_by(sampler)
    return measure_draws(problem, draw, label, law=law, samples=samples, cases=cases, seed=seed)


def drawn_by(sampler: PosteriorSampler) -> Draw:
    """One of our samplers as a Draw."""

    def draw(denoiser: MMSEDenoiser, observation: Observation, samples: int, seed: int) -> tuple[Tensor, int]:
        drawn = sample(observation, denoiser, sampler, samples=samples, seed=seed)
        return drawn.samples, drawn.nfe

    return draw


def measure_draws(
    problem: KnownProblem,
    draw: Draw,
    label: str,
    *,
    library: str = "snips",
    law: Callable[[Case], tuple[Tensor, Tensor] | None] = lambda case: None,
    samples: int = 1000,
    cases: int | None = None,
    seed: int = 0,
) -> Result:
    """The same for anything that draws, and for whatever else is known of its law (mean (d,) and covariance (d, d))."""
    figures: Floats = {}
    seconds, nfe, exact = 0.0, 0, False
    for index in range(problem.cases if cases is None else min(cases, problem.cases)):
        case = problem.case(index)
        start = time.perf_counter()
        drawn, nfe = draw(case.prior, case.observation, samples, seed + index)
        seconds += time.perf_counter() - start
        known = law(case)
        exact = known is not None
        for name, value in figures_of(problem, case, drawn.double().flatten(1).cpu(), known).items():
            figures.setdefault(name, []).append(value)
    return Result(problem.name, label, library, nfe, samples, seconds, exact, figures)


def figures_of(
    problem: KnownProblem, case: Case, drawn: Tensor, known: tuple[Tensor, Tensor] | None = None
) -> dict[str, float]:
    """What FIGURES says of samples (N, d), each as far as it makes sense for this problem."""
    exact = case.posterior
    generator = torch.Generator().manual_seed(1)
    draw = partial(exact.draw, len(drawn), generator)
    if problem.figure == "w2":
        mean, cov = known or (drawn.mean(0), torch.cov(drawn.T))
        total = math.sqrt(float(exact.cov.trace()))
        figures = std_ratios(case, cov)
        if known:
            return {"w2": wasserstein(mean, cov, exact.mean.flatten(), exact.cov) / total, **figures}
        return {"w2": estimated_wasserstein(drawn, exact.mean.flatten(), exact.cov) / total, **figures}
    ours, theirs = draw().flatten(1), draw().flatten(1)
    if problem.figure == "weights":
        unit = math.sqrt(float(exact.cov.trace()) / len(exact.cov))
        weights = exact.weights
        return {
            "tv": weight_error(responsibilities(case, drawn), weights),
            "tv_floor": weight_error(responsibilities(case, ours), weights),
            "sw2": sliced_wasserstein(drawn, ours, 2, generator) / unit,
            "sw2_floor": sliced_wasserstein(theirs, ours, 2, generator) / unit,
            **std_ratios(case, torch.cov(drawn.T)),
        }
    return {
        "sw1": problem.scale * sliced_wasserstein(drawn, ours, 1, generator),
        "sw1_floor": problem.scale * sliced_wasserstein(theirs, ours, 1, generator),
    }


def responsibilities(case: Case, samples: Tensor) -> Tensor:
    """(N, K) of samples (N, d), which are clean pictures."""
    pictures = samples.reshape(-1, *case.prior.shape)
    return case.prior.responsibilities(pictures, torch.zeros(len(pictures), dtype=torch.float64))


def std_ratios(case: Case, cov: Tensor) -> dict[str, float]:
    """Of a covariance (d, d) to the posterior's, on observed and, if there are any, on missing pixels."""
    ratio = cov.diagonal() / case.posterior.cov.diagonal()
    parts: Sequence[tuple[str, Tensor]] = (("std_observed", case.observed), ("std_missing", ~case.observed))
    return {name: math.sqrt(float(ratio[where].mean())) for name, where in parts if where.any()}


@dataclass(frozen=True)
class Calibrated:
    """The calibration card of one sampler on one problem."""

    problem: str
    sampler: str
    library: str
    nfe: int
    seconds: float
    card: CalibrationCard


def calibrate(
    problem: CalibrationProblem,
    draw: Draw,
    label: str,
    *,
    library: str = "snips",
    pictures: int = 1000,
    samples: int = 19,
    seed: int = 0,
) -> Calibrated:
    """Draw `samples` of each of so many pictures, and put them through the gates."""
    clean, observation = problem.draw(pictures, seed)
    start = time.perf_counter()
    drawn, nfe = draw(problem.prior, observation, samples, seed)
    seconds = time.perf_counter() - start
    card = calibration(clean, observation, drawn, problem.means(observation), seed)
    return Calibrated(problem.name, label, library, nfe, seconds, card)
