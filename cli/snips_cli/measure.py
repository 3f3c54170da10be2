"""The figures of one restored picture, as run.json has them."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from snips import metrics
from snips.classical import biharmonic_fill, smoothing_spline
from snips.errors import SnipsWarning
from snips.observation import Identity
from snips.posterior import Posterior
from snips.ranges import WithinRange
from snips.tweedie import denoise
from snips_cli.cases import Case


@dataclass(frozen=True, eq=False)
class Restored:
    """A picture, samples of what it may have been, and what these are compared with. All on the CPU."""

    case: Case
    posterior: Posterior
    mmse: Tensor | None
    """D(y, σ0) when denoising."""
    fill: Tensor | None
    """scikit-image's biharmonic inpainting when inpainting."""
    spline: Tensor | None
    """The smoothest picture that fits y, for every other task."""


def compare(case: Case, posterior: Posterior) -> Restored:
    """The samples beside the MMSE estimate, or beside a classical one."""
    mask, observation = case.observed, case.observation
    fill = spline = None
    if mask is not None:
        fill = biharmonic_fill(case.seen[None], mask)[0]
    elif not isinstance(observation.operator, Identity):
        spline = smoothing_spline(observation.batch, observation.operator, observation.sigma)[0]
    return Restored(case, posterior, mmse(case), fill, spline)


def mmse(case: Case) -> Tensor | None:
    """D(y, σ0) for denoising; None for other tasks, and (with a warning) if the denoiser is not made for σ0."""
    if not isinstance(case.observation.operator, Identity):
        return None
    job, sigma = case.job, case.observation.sigma
    denoiser = job.denoiser
    if sigma not in denoiser.noise_levels:
        if job.out_of_range == "error":
            levels = denoiser.noise_levels
            warnings.warn(
                f"no MMSE estimate: the denoiser is made for σ in {levels}, not {sigma:.4g}", SnipsWarning, stacklevel=2
            )
            return None
        denoiser = WithinRange(denoiser, job.out_of_range)
    return denoise(denoiser, job.observation.batch, sigma)[0].cpu()


def measure(restored: Restored) -> dict[str, Any]:
    """The entry of run.json's `images`."""
    case, posterior = restored.case, restored.posterior
    entry = {
        "name": case.name,
        "source": case.source,
        "shape": list(case.observation.image_shape),
        "observed_shape": list(case.observation.y.shape),
        "sigma": case.observation.sigma,
        "seed": case.seed,
        "nfe": posterior.nfe,
        "seconds": posterior.seconds,
        **figures(restored, None),
        "residual": residuals(restored),
    }
    if posterior.diagnostics:
        entry["diagnostics"] = dict(posterior.diagnostics[0])
    if restored.spline is not None:
        entry["spline"] = quality(case, restored.spline)
    if case.observed is not None and restored.fill is not None:
        missing = ~case.observed
        fill = {"psnr": metrics.psnr(case.clean, restored.fill, missing)} if case.clean is not None else None
        entry["hole"] = {"share": float(missing.float().mean()), "fill": fill, **figures(restored, missing)}
    return entry


def figures(restored: Restored, where: Tensor | None) -> dict[str, Any]:
    """PSNR and SSIM against the clean picture on some pixels; null for what cannot be known."""
    clean, samples, best = restored.case.clean, restored.posterior.samples, restored.mmse
    every = [quality(restored.case, sample, where) for sample in samples]
    ratio = metrics.mse_ratio(clean, samples, best, where) if clean is not None and best is not None else None
    return {
        "mmse": quality(restored.case, best, where) if best is not None else None,
        "posterior_mean": quality(restored.case, restored.posterior.mean, where),
        "samples": {
            "psnr": [one["psnr"] for one in every] if clean is not None else None,
            "ssim": [one["ssim"] for one in every] if clean is not None else None,
            "mse_ratio": ratio,
        },
    }


def quality(case: Case, picture: Tensor, where: Tensor | None = None) -> dict[str, float | None]:
    """PSNR and SSIM of a picture; null if the clean one is not known."""
    if case.clean is None:
        return {"psnr": None, "ssim": None}
    return {"psnr": metrics.psnr(case.clean, picture, where), "ssim": metrics.ssim(case.clean, picture, where)}


def residuals(restored: Restored) -> dict[str, list[float]]:
    """The paper's three tests of y − H x for every sample."""
    observation, mask = restored.case.observation, restored.case.observed
    tests = [
        metrics.residual_tests(observation.y - observation.operator.forward(x[None])[0], observation.sigma, mask)
        for x in restored.posterior.samples
    ]
    return {name: [asdict(test)[name] for test in tests] for name in ("std_over_sigma", "rho", "p_value")}
