"""The kit's three doors: check a denoiser, check a sampler, or let pytest do it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from snips.errors import InvalidValue, UnknownName, UnsupportedOperator
from snips.interfaces import MMSEDenoiser, PosteriorSampler
from snips.plugins import load_denoiser, load_sampler, registry
from snips.testing.bench import Bench, smooth_pictures, trial_levels
from snips.testing.denoisers import DENOISER_CHECKS
from snips.testing.problems import Problem, problems
from snips.testing.report import Check, CheckFailed, CheckSkipped, Result, expected_reason, run, verify_names
from snips.testing.samplers import SAMPLER_CHECKS
from snips.tweedie import denoise

if TYPE_CHECKING:
    import pytest

Part = MMSEDenoiser | PosteriorSampler | str
Expected = Mapping[str, str]


def check_denoiser(
    denoiser: MMSEDenoiser | str,
    *,
    channels: int | Iterable[int] | None = None,
    pictures: Tensor | None = None,
    device: str | torch.device | None = None,
    expected_failed_checks: Expected | None = None,
    collect: bool = False,
) -> list[Result]:
    """Check that a denoiser keeps to the contract.

    Args:
        denoiser: an object, or the name of a registered one.
        channels: numbers of channels to try; by default the denoiser's own `channels`, then its card's, else 1 or 3.
        pictures: clean ones (N, C, H, W), N ≥ 4, of the kind the denoiser is made for; by default drawn from its own
            prior if it has `draw(count, generator)`, else smooth ones of 32 × 32.
        device: where to check; by default where the denoiser is.
        expected_failed_checks: {name of a check: why it cannot be passed}. One that passes all the same is a failure.
        collect: return all results, instead of raising at the first failure.

    Raises CheckFailed, an AssertionError, at the first failure; InvalidValue for pictures of another shape and for an
    expected failure of no check; and as `snips.load_denoiser` for a name.
    """
    checks = denoiser_checks(denoiser, channels, pictures, device, expected_failed_checks)
    return run(checks, collect)


def check_sampler(
    sampler: PosteriorSampler | str,
    *,
    expected_failed_checks: Expected | None = None,
    collect: bool = False,
) -> list[Result]:
    """Check that a sampler keeps to the contract, and that it samples: it is held against exact posteriors.

    `denoise`, `inpaint` and `deblur` are tried; one that the sampler answers with UnsupportedOperator is skipped.
    Arguments and errors otherwise as `check_denoiser`.
    """
    return run(sampler_checks(sampler, expected_failed_checks), collect)


def parametrize_with_checks(
    parts: Iterable[Part], *, expected_failed_checks: Expected | None = None
) -> pytest.MarkDecorator:
    """The same checks as separate tests of pytest, for denoisers and samplers, objects or registered names:

        @snips.testing.parametrize_with_checks(["my-denoiser"])
        def test_conformance(check):
            check()

    Failures expected here, or by the part's card, are strict xfails.
    """
    import pytest

    cases = []
    for part in parts:
        label = part if isinstance(part, str) else type(part).__name__
        for check in checks_of(part, expected_failed_checks):
            marks = [] if check.expected is None else [pytest.mark.xfail(reason=check.expected, strict=True)]
            cases.append(pytest.param(_under_pytest(check), id=f"{label}-{check.name}", marks=marks))
    return pytest.mark.parametrize("check", cases)


def checks_of(part: Part, expected: Expected | None = None) -> list[Check]:
    """The checks of a denoiser, of a sampler, or of what has this name, which is loaded when the first is called.

    Raises UnknownName, or InvalidValue for what is neither.
    """
    if isinstance(part, str):
        kinds = {r.card.kind for r in registry().registrations if part in (r.card.name, r.full_name)}
        if "sampler" in kinds and "denoiser" not in kinds:
            return sampler_checks(part, expected, lazy=True)
        if "sampler" in kinds:
            raise UnknownName(f"{part} is a denoiser and a sampler; pass load_denoiser or load_sampler({part!r})")
        return denoiser_checks(part, expected=expected, lazy=True)
    if isinstance(part, PosteriorSampler):
        return sampler_checks(part, expected)
    if hasattr(part, "denoise"):
        return denoiser_checks(part, expected=expected)
    raise InvalidValue(
        f"{type(part).__name__} is no denoiser (denoise, noise_levels) and no sampler (plan, init, step)"
    )


def denoiser_checks(
    denoiser: MMSEDenoiser | str,
    channels: int | Iterable[int] | None = None,
    pictures: Tensor | None = None,
    device: str | torch.device | None = None,
    expected: Expected | None = None,
    lazy: bool = False,
) -> list[Check]:
    """The checks of a denoiser for each number of channels; a name is loaded at once, or when the first is called."""
    card = registry().find("denoiser", denoiser).card if isinstance(denoiser, str) else None
    reasons = {**((card and card.expected_failed_checks) or {}), **(expected or {})}
    verify_names(reasons, (function.__name__ for function in DENOISER_CHECKS))

    @cache
    def loaded() -> MMSEDenoiser:
        return load_denoiser(denoiser, device or "cpu") if isinstance(denoiser, str) else denoiser

    if not lazy:
        denoiser = loaded()
    declared = channels or getattr(denoiser, "channels", None) or getattr(card, "channels", None) or ()
    counts = (declared,) if isinstance(declared, int) else tuple(declared)
    if pictures is not None:
        counts = (Bench(pictures).pictures.shape[1],)
    checks = []
    for count in counts or (None,):

        @cache
        def bench(count: int | None = count) -> Bench:
            return _bench(loaded(), count, pictures, device)

        for function in DENOISER_CHECKS:
            case = str(count) if len(counts) > 1 else ""
            reason = expected_reason(function.__name__, case, reasons)
            checks.append(
                Check(function.__name__, case, lambda f=function, b=bench: f(loaded(), b()), reason)  # type: ignore[misc]
            )
    return checks


def sampler_checks(
    sampler: PosteriorSampler | str, expected: Expected | None = None, lazy: bool = False
) -> list[Check]:
    """The checks of a sampler on each problem; a name is loaded at once, or when the first is called."""
    card = registry().find("sampler", sampler).card if isinstance(sampler, str) else None
    reasons = {**((card and card.expected_failed_checks) or {}), **(expected or {})}
    verify_names(reasons, (function.__name__ for function in SAMPLER_CHECKS))

    @cache
    def loaded() -> PosteriorSampler:
        return load_sampler(sampler) if isinstance(sampler, str) else sampler

    if not lazy:
        sampler = loaded()

    def runs(function: Callable[[PosteriorSampler, Problem], None], problem: Problem) -> Callable[[], None]:
        def check() -> None:
            try:
                function(loaded(), problem)
            except UnsupportedOperator as error:
                raise CheckSkipped(str(error)) from error

        return check

    return [
        Check(f.__name__, problem.task, runs(f, problem), expected_reason(f.__name__, problem.task, reasons))
        for problem in problems()
        for f in SAMPLER_CHECKS
    ]


def _bench(
    denoiser: MMSEDenoiser, channels: int | None, pictures: Tensor | None, device: str | torch.device | None
) -> Bench:
    where = device or _device_of(denoiser)
    if pictures is None and hasattr(denoiser, "draw"):
        pictures = denoiser.draw(512, torch.Generator().manual_seed(7))
    if pictures is not None:
        return Bench(pictures.float().to(where))
    errors = []
    for count in (channels,) if channels else (1, 3):
        bench = Bench(smooth_pictures(4, count, 32, 32).to(where))
        try:
            if not channels:
                σ = trial_levels(denoiser.noise_levels)[-1]
                denoise(denoiser, bench.noisy(σ), σ)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}".splitlines()[0])
        else:
            return bench
    raise CheckFailed(f"expected pictures of 1 or 3 channels to be taken, saw {errors[0]}; say channels= or pictures=")


def _device_of(denoiser: MMSEDenoiser) -> torch.device:
    lives = getattr(denoiser, "device", None)
    if lives is None and isinstance(denoiser, torch.nn.Module):
        lives = next((p.device for p in denoiser.parameters()), None)
    return torch.device(lives or "cpu")


def _under_pytest(check: Check) -> Callable[[], None]:
    def call() -> None:
        import pytest

        try:
            check()
        except CheckSkipped as skipped:
            pytest.skip(str(skipped))

    return call
