"""What an MMSE denoiser must satisfy, one function a check, in the order in which they are best read.

Each takes the denoiser and a bench of clean pictures, and raises CheckFailed. None of them compares the denoiser
with another: a weak prior passes, a wrong one does not.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

import torch
from torch import Tensor

from snips.interfaces import MMSEDenoiser, NoiseLevels
from snips.testing.bench import Bench, global_rng, seeded_globally, smooth_pictures, trial_levels
from snips.testing.report import CheckSkipped, require
from snips.tweedie import denoise

ROUNDING = 1e-4
"""Two ways to the same answer may differ by this share of the largest value: float32 kernels depend on the batch."""

STANDARD_ERRORS = 4
"""Chance is given this many standard errors; a right denoiser then fails one check in 10,000, and always or never."""

STEP_TOLERANCE = 0.25
"""How far the best step along D(x, σ) − x may be from 1; see `check_tweedie`."""

BORDER_TOLERANCE = 1.75
"""Of the squared error where a picture is padded to that where it is not: by reflection it was 1.0 to 1.2 times, by 11
copies of a row 2.9 times (drunet-small)."""


def check_noise_levels(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """`noise_levels` is a NoiseLevels in the units of pictures in [0, 1]."""
    levels = getattr(denoiser, "noise_levels", None)
    require(
        isinstance(levels, NoiseLevels),
        f"expected noise_levels to be a snips.NoiseLevels, saw {levels!r}; say which σ the denoiser is made for",
    )
    assert isinstance(levels, NoiseLevels)
    for σ in levels.only:
        require(
            levels.low <= σ <= levels.high,
            f"expected every single level within [{levels.low:g}, {levels.high:g}], saw {σ:g}; "
            "make low and high the ends of `only`",
        )
    require(levels.high > 0, "expected noise levels above 0, saw high = 0; say which σ the denoiser is made for")
    smallest = min(levels.only, default=levels.low)
    require(
        smallest < 1,
        f"expected some σ below 1, saw {levels}; σ is in the units of pictures in [0, 1]: divide by 255",
    )


def check_keeps_shape(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """D(x, σ) has x's shape, for a batch and for a single row."""
    σ = trial_levels(denoiser.noise_levels)[-1]
    for x in (bench.few.noisy(σ), bench.few.noisy(σ)[:1]):
        shape = tuple(denoise(denoiser, x, σ).shape)
        require(
            shape == tuple(x.shape),
            f"expected the input's shape {tuple(x.shape)}, saw {shape}; return one picture (C, H, W) for each row",
        )


def check_keeps_dtype(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """float32 in, float32 out; float64 in, float64 out (the network inside may well compute in float32)."""
    σ = trial_levels(denoiser.noise_levels)[-1]
    for dtype in (torch.float32, torch.float64):
        seen = denoise(denoiser, bench.few.noisy(σ).to(dtype), σ).dtype
        require(seen == dtype, f"expected {dtype} for an input of {dtype}, saw {seen}; end with `.to(x.dtype)`")


def check_keeps_device(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """D(x, σ) is on x's device."""
    σ = trial_levels(denoiser.noise_levels)[-1]
    x = bench.few.noisy(σ)
    seen = denoise(denoiser, x, σ).device
    require(seen == x.device, f"expected the input's device {x.device}, saw {seen}; end with `.to(x.device)`")


def check_keeps_input(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """x and σ are not modified: the sampler still needs them."""
    levels = trial_levels(denoiser.noise_levels)
    x = bench.few.noisy(levels[-1])
    sigma = torch.full((len(x),), levels[-1]).to(x)
    x_before, sigma_before = x.clone(), sigma.clone()
    with torch.inference_mode():
        denoiser.denoise(x, sigma)
    require(torch.equal(x, x_before), "expected x as it was, saw it modified; use `x = x * 2 - 1`, not `x.mul_(2)`")
    require(torch.equal(sigma, sigma_before), "expected sigma as it was, saw it modified; work on a copy")


def check_memory_layout(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """The answer is the same for a view that is not contiguous, such as `expand` and `transpose` give."""
    σ = trial_levels(denoiser.noise_levels)[-1]
    x = bench.few.noisy(σ)
    view = x.transpose(2, 3).contiguous().transpose(2, 3)
    with torch.inference_mode():
        seen = denoiser.denoise(view, torch.tensor(σ).to(x).expand(len(x)))
    _require_same(seen, denoise(denoiser, x, σ), x, "for a view that is not contiguous", "use reshape, not view")


def check_leaves_global_rng(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """The global random generators of torch, NumPy and Python are where they were."""
    σ = trial_levels(denoiser.noise_levels)[-1]
    x = bench.few.noisy(σ)
    with seeded_globally(1):
        before = global_rng()
        denoise(denoiser, x, σ)
        after = global_rng()
    require(
        before == after,
        "expected the global random generators untouched, saw that one has moved on; draw from a generator of your own",
    )


def check_deterministic(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """The same input gives the same answer, whatever was computed before and whatever the global seed."""
    σ = trial_levels(denoiser.noise_levels)[-1]
    x = bench.few.noisy(σ)
    answers = []
    for seed in (1, 2):
        with seeded_globally(seed):
            answers.append(denoise(denoiser, x, σ))
    _require_same(
        answers[0], answers[1], x, "for the same input again", "no randomness, and `eval()` for dropout and batch norm"
    )


def check_mixed_sigma(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """A batch whose rows have different σ gives what each row gives by itself."""
    bench, levels = bench.few, trial_levels(denoiser.noise_levels)
    sigma = torch.tensor([levels[i % len(levels)] for i in range(4)]).to(bench.pictures)
    x = bench.noisy(sigma)
    together = denoise(denoiser, x, sigma)
    alone = torch.cat([denoise(denoiser, row[None], σ[None]) for row, σ in zip(x, sigma, strict=True)])
    _require_same(together, alone, x, "in a batch as alone, each row with its own σ", "sigma is (B,), one a row")


def check_rows_independent(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """A row's answer stays the same when the other rows change, and moves with it when rows are permuted."""
    bench, σ = bench.few, trial_levels(denoiser.noise_levels)[-1]
    x = bench.noisy(σ)
    answer = denoise(denoiser, x, σ)
    others = torch.cat([x[:1], 5 * x[1:].flip(3) - 2])
    remedy = "take means and standard deviations of each row alone, and `eval()` for batch norm"
    _require_same(denoise(denoiser, others, σ)[:1], answer[:1], x, "after other rows were replaced", remedy)
    _require_same(denoise(denoiser, x.flip(0), σ).flip(0), answer, x, "after rows were permuted", remedy)


def check_no_clipping(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """How far a noisy value lies outside [0, 1] still matters: clipped noise is not Gaussian, and has a bias."""
    levels = trial_levels(denoiser.noise_levels)
    bench, σ = bench.few, levels[len(levels) // 2]
    x = bench.noisy(σ)
    push = torch.where(x < -σ / 2, -σ, torch.where(x > 1 + σ / 2, σ, 0)).to(x)
    if not push.any():
        push = torch.where(x < 0.5, -2.0, 2.0).to(x)
        x = x + push
    change = denoise(denoiser, x + push, σ) - denoise(denoiser, x, σ)
    share = float(change.square().mean().sqrt() / push.square().mean().sqrt())
    require(
        share > ROUNDING,
        f"expected D(x, {σ:.3g}) to follow values outside [0, 1] as they move further out, saw it change by "
        f"{share:.1g} of their move; do not clip, neither the input nor in a conversion to 8 bits",
    )


def check_uses_sigma(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """D(x, σ) depends on σ, unless the noise levels say `blind`, or there is one level only."""
    levels = trial_levels(denoiser.noise_levels)
    if denoiser.noise_levels.blind:
        raise CheckSkipped("a blind denoiser finds the noise level itself")
    if len(levels) == 1 or levels[0] == levels[-1]:
        raise CheckSkipped(f"made for one noise level only, {denoiser.noise_levels}")
    x = bench.few.noisy(levels[0])
    change = (denoise(denoiser, x, levels[-1]) - denoise(denoiser, x, levels[0])).abs().max()
    require(
        change > ROUNDING,
        f"expected D(x, σ) to change between σ = {levels[0]:.3g} and {levels[-1]:.3g}, saw the same answer; "
        "use sigma, or say NoiseLevels(..., blind=True)",
    )


def check_lowers_error(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """D(x, σ) is nearer to the clean picture than x is, at the σ it claims to be made for."""
    levels = trial_levels(denoiser.noise_levels)
    for σ in levels:
        x = bench.noisy(σ)
        gain = (x - bench.pictures).square() - (denoise(denoiser, x, σ) - bench.pictures).square()
        mean, error = _mean_and_error(gain)
        seen = f"saw {1 - mean / σ**2:.3g} times that of x at σ = {σ:.3g}"
        remedy = "is sigma in the units of [0, 1], and the picture in the range of the network?"
        require(mean > -STANDARD_ERRORS * error, f"expected a smaller squared error than that of x, {seen}; {remedy}")
        if σ == levels[-1]:
            require(mean > STANDARD_ERRORS * error, f"expected a gain beyond chance, {seen}; {remedy}")


def check_tweedie(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """D(x, σ) − x is the whole step to the clean picture, on average: a = 1 minimises E|x₀ − x − a (D − x)|².

    The error of the posterior mean is orthogonal to everything that can be computed from x, to D − x among the rest:
    E⟨x₀ − D, D − x⟩ = 0, or E|D − x|² = σ² E[d − div D], the identity E|s|² = −E div s of the score s = (D − x)/σ².
    So the best step a = E⟨x₀ − x, D − x⟩ / E|D − x|² is 1. (That SURE agrees with the squared error would be no
    test: it does so for any D.) A half step has a = 2, one that overshoots a < 1, a network that is given σ in other
    units misses on either side. The mean is over pictures of the prior; on others a moves away from 1, little where
    the error of D is small beside σ², as at the upper levels tried here: 1.01 to 1.05 for BM3D, 1.06 to 1.2 for a 7 × 7
    Wiener filter. Hence STEP_TOLERANCE.
    """
    for σ in trial_levels(denoiser.noise_levels)[-2:]:
        x = bench.noisy(σ)
        step = denoise(denoiser, x, σ) - x
        length = float(step.square().mean())
        mean, error = _mean_and_error((bench.pictures - x) * step - step.square())
        require(length > 0, f"expected D(x, σ) ≠ x at σ = {σ:.3g}, saw x itself; is the denoiser called at all?")
        require(
            abs(mean) < STEP_TOLERANCE * length + STANDARD_ERRORS * error,
            f"expected D − x to be the whole step to the clean picture at σ = {σ:.3g}, saw "
            f"{1 + mean / length:.3g} times it come nearer; is D the posterior mean itself, not the residual "
            "nor mixed with x, at this very σ? One made for other pictures than smooth ones: pass pictures=",
        )


def check_odd_sizes(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """37 × 53 pixels are denoised like any others, at all borders alike, and end up where they were."""
    channels = bench.pictures.shape[1]
    odd = Bench(smooth_pictures(4, channels, 37, 53).to(bench.pictures))
    levels = trial_levels(denoiser.noise_levels)
    σ = levels[len(levels) // 2]
    x = odd.noisy(σ)
    answer = denoise(denoiser, x, σ)
    remedy = "pad to the network's multiple with `mode='reflect'`, and crop the answer"
    require(answer.shape == x.shape, f"expected shape {tuple(x.shape)}, saw {tuple(answer.shape)}; {remedy}")
    inner = (..., slice(1, -1), slice(1, -1))
    errors = {}
    for shift in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)):
        shifted = odd.pictures.roll(shift, dims=(2, 3))
        errors[shift] = float((answer - shifted)[inner].square().mean())
    require(
        errors[0, 0] < σ**2,
        f"expected a smaller squared error than that of x, saw {errors[0, 0] / σ**2:.3g} times it; {remedy}",
    )
    best = min(errors, key=lambda shift: errors[shift])
    require(best == (0, 0), f"expected the picture where it was, saw it moved by {best} pixels; {remedy}")
    turned = denoise(denoiser, x.flip(2, 3), σ).flip(2, 3)
    padded = torch.zeros(x.shape[2:], dtype=torch.bool, device=x.device)
    padded[-8:, 8:] = padded[8:, -8:] = True
    here, there = (float((d - odd.pictures)[..., padded].square().mean()) for d in (answer, turned))
    require(
        here <= BORDER_TOLERANCE * there,
        f"expected pixels at the bottom and right as when the picture is turned by 180°, saw {here / there:.2g} times "
        f"their squared error: copies of the last row's noise look like stripes; {remedy}",
    )


def check_finite_at_ends(denoiser: MMSEDenoiser, bench: Bench) -> None:
    """No NaN and no infinity at the smallest and largest σ it claims (at 1000 if that is infinite)."""
    levels = denoiser.noise_levels
    for σ in (min(levels.only), max(levels.only)) if levels.only else (levels.low, levels.high):
        σ = σ if isfinite(σ) else 1000.0
        bad = int((~denoise(denoiser, bench.few.noisy(σ), σ).isfinite()).sum())
        require(
            bad == 0,
            f"expected finite values at σ = {σ:.3g}, saw {bad} that are NaN or infinite; narrow noise_levels, or "
            "guard the division",
        )


DENOISER_CHECKS: tuple[Callable[[MMSEDenoiser, Bench], None], ...] = (
    check_noise_levels,
    check_keeps_shape,
    check_keeps_dtype,
    check_keeps_device,
    check_keeps_input,
    check_memory_layout,
    check_leaves_global_rng,
    check_deterministic,
    check_mixed_sigma,
    check_rows_independent,
    check_no_clipping,
    check_uses_sigma,
    check_lowers_error,
    check_tweedie,
    check_odd_sizes,
    check_finite_at_ends,
)


def _require_same(seen: Tensor, expected: Tensor, x: Tensor, when: str, remedy: str) -> None:
    scale = 1 + float(x.abs().max())
    difference = float((seen - expected).square().mean().sqrt()) / scale
    require(
        difference <= ROUNDING,
        f"expected the same answer {when}, saw it differ by {difference:.2g} of the largest value; {remedy}",
    )


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    """The mean of all values, and its standard error from the scatter of the values (pixels are nearly independent)."""
    values = values.double()
    return float(values.mean()), float(values.std() / values.numel() ** 0.5)
