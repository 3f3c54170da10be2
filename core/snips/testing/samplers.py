"""What a posterior sampler must satisfy, one function a check, in the order in which they are best read.

Each takes the sampler and a problem (denoising, inpainting or deblurring), and raises CheckFailed, or CheckSkipped
where the sampler says by UnsupportedOperator that the task is not its own.
"""

from __future__ import annotations

import contextlib
import copy
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from snips.engine import Step, sample
from snips.errors import Diverged
from snips.interfaces import Level, NoiseLevels, PosteriorSampler
from snips.observation import Mask
from snips.testing.bench import global_rng, noise_like, seeded_globally
from snips.testing.problems import SAMPLES, Problem, Recorder, White, steps_by_hand
from snips.testing.report import CheckSkipped, require

MEAN_TOLERANCE = 0.2
"""Bias that is allowed, in posterior standard deviations (root mean square over directions). The paper's algorithm has
.05 to .14 here, by the finite time it gives each level; one that forgets y has 1 and more."""

STD_TOLERANCE = 0.1
"""Relative error of the posterior standard deviation that is allowed. The paper's algorithm is off by .06 at most."""

STANDARD_ERRORS = 4
"""Allowed on top of the tolerances for the chance of 400 draws; seeds are fixed: a check passes always or never."""


def check_plan(sampler: PosteriorSampler, problem: Problem) -> None:
    """The plan is a sequence of Levels, known from the operator and σ0 alone, within the denoiser's range."""
    levels = NoiseLevels(0.02, 0.6)
    plan = sampler.plan(problem.observation, levels)
    require(len(plan) > 0, "expected at least one step, saw an empty plan; say by InvalidValue why there is none")
    for k, level in enumerate(plan):
        require(
            isinstance(level, Level),
            f"expected step {k} to be a snips.Level, saw {type(level).__name__}; subclass Level for what else it knows",
        )
        require(level.nfe >= 0, f"expected nfe ≥ 0 at step {k}, saw {level.nfe}; it counts denoiser calls a row")
        require(
            level.nfe == 0 or level.sigma in levels,
            f"expected σ within the denoiser's {levels}, saw {level.sigma:.4g} at step {k}; fit the plan to `levels`",
        )
    other = sampler.plan(replace(problem.observation, y=1 - problem.observation.y), levels)
    require(
        list(plan) == list(other),
        "expected the same plan for another y, saw another; a plan follows from the operator and σ0, rows share it",
    )


def check_state(sampler: PosteriorSampler, problem: Problem) -> None:
    """The state is a NamedTuple of tensors with one entry a row, x first, of the same kind after every step."""
    first: tuple[str, ...] | None = None
    for level, state in steps_by_hand(sampler, problem.two_rows(), White()):
        where = "init" if level is None else f"the step at σ = {level.sigma:.3g}"
        fields: tuple[str, ...] = getattr(state, "_fields", ())
        require(
            isinstance(state, tuple) and fields[:1] == ("x",),
            f"expected a NamedTuple with x first from {where}, saw {type(state).__name__} of {fields}; "
            "class State(NamedTuple): x: Tensor",
        )
        for name, value in zip(fields, state, strict=True):
            require(
                isinstance(value, Tensor) and value.ndim > 0 and len(value) == 2,
                f"expected {name} from {where} to be a tensor with one entry a row, saw {_described(value)}; "
                "only that can be saved, split and resumed",
            )
        shape = (2, *problem.observation.image_shape)
        require(tuple(state.x.shape) == shape, f"expected x of shape {shape} from {where}, saw {tuple(state.x.shape)}")
        seen = tuple(f"{name} {value.dtype} {tuple(value.shape)}" for name, value in zip(fields, state, strict=True))
        first = first or seen
        require(
            seen == first, f"expected the state's fields as after init, {first}, saw {seen} from {where}; keep them"
        )


def check_nfe(sampler: PosteriorSampler, problem: Problem) -> None:
    """Every step makes as many denoiser calls a row as its level says, at the σ that it says."""
    recorder = Recorder(White())
    for k, (level, _) in enumerate(steps_by_hand(sampler, problem.two_rows(), recorder)):
        called, expected = len(recorder.sigmas) / 2, 0 if level is None else level.nfe
        where = f"step {k - 1} (σ = {level.sigma:.3g})" if level else "init"
        require(
            called == expected,
            f"expected {expected} denoiser calls a row in {where}, saw {called:g}; a level's nfe is what a step costs",
        )
        if level is not None and level.nfe == 1:
            σ = recorder.sigmas[0]
            require(
                math.isclose(σ, level.sigma, rel_tol=1e-4),
                f"expected the denoiser to be called at σ = {level.sigma:.4g} in {where}, saw {σ:.4g}; "
                "level.sigma is where it is called",
            )
        recorder.sigmas.clear()


def check_keeps_observation(sampler: PosteriorSampler, problem: Problem) -> None:
    """y is not modified."""
    observed = problem.two_rows()
    before = observed.y.clone()
    for _ in steps_by_hand(sampler, observed, White()):
        pass
    require(torch.equal(observed.y, before), "expected y as it was, saw it modified; work on `y.clone()`")


def check_leaves_global_rng(sampler: PosteriorSampler, problem: Problem) -> None:
    """The global random generators of torch, NumPy and Python are where they were."""
    with seeded_globally(1):
        before = global_rng()
        sample(problem.observation, White(), sampler, samples=2)
        after = global_rng()
    require(
        before == after,
        "expected the global random generators untouched, saw that one has moved on; draw with `noise.normal()`",
    )


def check_same_seed(sampler: PosteriorSampler, problem: Problem) -> None:
    """The same seed gives the same samples, whatever ran before and whatever the global seed."""
    drawn = []
    for seed in (1, 2):
        with seeded_globally(seed):
            drawn.append(_samples(sampler, problem, samples=2))
    require(
        torch.equal(*drawn),
        "expected the same samples from the same seed, saw others; all randomness comes from `noise.normal()`",
    )


def check_other_seed(sampler: PosteriorSampler, problem: Problem) -> None:
    """Another seed gives other samples, and so does another row: it is a sampler, not an estimate."""
    a, b = (_samples(sampler, problem, samples=2, seed=seed) for seed in (0, 1))
    require(
        not torch.equal(a, b) and not torch.equal(a[0], a[1]),
        "expected different samples for another seed and another row, saw the same; add `noise.normal()`",
    )


def check_split(sampler: PosteriorSampler, problem: Problem) -> None:
    """A sample is the same, bit by bit, in batches of 1, of 3, and all at once."""
    whole = _samples(sampler, problem, samples=4)
    for batch in (1, 3):
        seen = _samples(copy.deepcopy(sampler), problem, samples=4, batch=batch)
        require(
            torch.equal(seen, whole),
            f"expected the same samples in batches of {batch} as all at once, saw a difference of "
            f"{float((seen - whole).abs().max()):.2g}; nothing may be shared by rows, nothing kept on the sampler",
        )


def check_resume(sampler: PosteriorSampler, problem: Problem) -> None:
    """A run that is stopped, and resumed from its checkpoint by a fresh sampler, ends at the same bits."""
    fresh = copy.deepcopy(sampler)
    whole = _samples(sampler, problem, samples=2)
    total = len(sampler.plan(problem.observation, White().noise_levels))
    for stop in sorted({1, total // 2, total - 1} - {0}):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "run.ckpt"
            with contextlib.suppress(_Stopped):
                _samples(copy.deepcopy(fresh), problem, samples=2, checkpoint=file, progress=_stop_after(stop))
            seen = _samples(copy.deepcopy(fresh), problem, samples=2, checkpoint=file, resume=True)
        require(
            torch.equal(seen, whole),
            f"expected the same samples after a stop at step {stop} of {total}, saw a difference of "
            f"{float((seen - whole).abs().max()):.2g}; everything a later step needs belongs into the state",
        )


def check_ignores_missing_pixels(sampler: PosteriorSampler, problem: Problem) -> None:
    """What y holds where nothing was observed, NaN for one, is never looked at."""
    y, operator = problem.observation.y, problem.observation.operator
    if not isinstance(operator, Mask):
        raise CheckSkipped("no pixel is missing")
    first, *others = (
        sample(
            replace(problem.observation, y=torch.where(operator.mask, y, value)), White(), sampler, samples=2
        ).samples
        for value in (0.0, 7.0, math.nan)
    )
    require(
        all(torch.equal(other, first) for other in others),
        "expected the same samples whatever y holds at missing pixels, saw others; use `torch.where(mask, y, …)`",
    )


def check_finite(sampler: PosteriorSampler, problem: Problem) -> None:
    """No NaN and no infinity, for little and for much noise, and for a y far from the prior."""
    y = problem.observation.y
    for σ0 in (0.05, 0.1, 0.3, 1.0):
        observed = replace(problem.observation, y=3 * y - 1 + σ0 * noise_like(y, 6), sigma=σ0)
        try:
            sample(observed, White(), sampler, samples=2)
        except Diverged as error:
            require(False, f"expected finite samples at σ0 = {σ0:g}, saw: {error}")


def check_posterior_mean(sampler: PosteriorSampler, problem: Problem) -> None:
    """The mean of many samples is that of the exact posterior, to MEAN_TOLERANCE and chance."""
    z = _standardised(sampler, problem)
    directions = z.shape[1]
    bias = float(z.mean(0).square().mean().sqrt())
    chance = math.sqrt((1 + STANDARD_ERRORS * math.sqrt(2 / directions)) / SAMPLES)
    allowed = math.hypot(MEAN_TOLERANCE, chance)
    require(
        bias <= allowed,
        f"expected the exact posterior mean to {allowed:.2g} posterior standard deviations, saw it off by {bias:.2g}; "
        "is the likelihood of y in every step, with its σ0, and are there enough steps?",
    )


def check_posterior_spread(sampler: PosteriorSampler, problem: Problem) -> None:
    """The spread of many samples is that of the exact posterior, to STD_TOLERANCE and chance.

    Along the principal directions of the exact posterior; the narrow and the wide half of them are judged apart, so
    that neither pixels that are all but known nor missing ones are lost in the average, and wrong correlations show.
    """
    z = _standardised(sampler, problem)
    ratios = z.std(0)
    half = len(ratios) // 2
    allowed = STD_TOLERANCE + STANDARD_ERRORS / math.sqrt(2 * SAMPLES * half)
    for which, part in (("narrow", ratios[:half]), ("wide", ratios[half:])):
        ratio = float(part.square().mean().sqrt())
        require(
            abs(ratio - 1) <= allowed,
            f"expected the exact posterior's standard deviation to {allowed:.0%} along its {which} directions, saw "
            f"{ratio:.2g} times it; is the noise of every step of the right size, and are there enough steps?",
        )


SAMPLER_CHECKS: tuple[Callable[[PosteriorSampler, Problem], None], ...] = (
    check_plan,
    check_state,
    check_nfe,
    check_keeps_observation,
    check_leaves_global_rng,
    check_same_seed,
    check_other_seed,
    check_split,
    check_resume,
    check_ignores_missing_pixels,
    check_finite,
    check_posterior_mean,
    check_posterior_spread,
)


class _Stopped(Exception):
    pass


def _stop_after(steps: int) -> Callable[[Step], None]:
    def tell(step: Step) -> None:
        if step.index + 1 == steps:
            raise _Stopped

    return tell


def _samples(sampler: PosteriorSampler, problem: Problem, **options: object) -> Tensor:
    return sample(problem.observation, White(), sampler, **options).samples  # type: ignore[arg-type]


def _standardised(sampler: PosteriorSampler, problem: Problem) -> Tensor:
    """Samples (N, d) along the exact posterior's principal directions, the narrow first, in its standard deviations."""
    exact = problem.prior.posterior(problem.observation)
    variances, directions = torch.linalg.eigh(exact.cov)
    standardised: Tensor = (problem.samples(sampler) - exact.mean.flatten()) @ directions / variances.sqrt()
    return standardised


def _described(value: object) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
