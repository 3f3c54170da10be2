"""What a study measures: every metric declared, with its unit, which way is better, and what must be there to know it.

A figure that cannot be known is None, and `Metric.unknown` says why. The columns follow from the metrics' names alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from snips import metrics, perceptual
from snips.backbones import BACKBONES
from snips.errors import InvalidValue, did_you_mean
from snips.observation import Observation
from snips_cli.study import measures
from snips_cli.study.measures import Measured, Subject, of_picture

__all__ = ["BY_NAME", "DEFAULT", "METRICS", "NAMES", "Measured", "Metric", "check", "measure"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One entry of a study file's `metrics`."""

    name: str
    title: str
    says: str
    """One sentence for a reader of the report."""
    measure: Callable[[Subject], Measured] = field(repr=False)
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    target: float | None = None
    """What an exact sampler has, where that is known."""
    perceptual: bool = False
    """It judges how a picture looks beside the clean one."""
    side: int = 1
    """Pixels that the smaller side of a picture needs."""
    samples: int = 0
    """How many samples it needs."""
    denoising: bool = False
    """It needs the MMSE estimate, which only denoising has."""
    library: str = ""
    """A module that it needs."""
    weights: str = ""
    """The name of the file of weights that it needs."""

    def unknown(self, side: int, samples: int, denoising: bool = True) -> str:
        """Why pictures and studies of this kind have no such figure; empty if they have one."""
        if side < self.side:
            return f"{self.title} needs pictures of {self.side} pixels a side, and these have {side}"
        if samples < self.samples:
            return f"{self.title} needs {self.samples} samples, and there are {samples}"
        if self.denoising and not denoising:
            return f"{self.title} is of denoising alone"
        return ""


FEATURES = "alex"
"""Whose features stand for a picture in distances between sets of pictures."""


def _lpips(name: str, net: str) -> Metric:
    return Metric(
        name=name,
        title=f"LPIPS ({net})",
        says="Perceptual distance from the clean picture, learned from people's judgements; 0 if equal.",
        measure=of_picture(name, lambda clean, picture: perceptual.lpips(clean, picture, net)),
        better="lower",
        perceptual=True,
        side=perceptual.LPIPS_SIDE,
        library="torchmetrics.image",
        weights=BACKBONES[net].name,
    )


METRICS = (
    Metric(
        name="psnr",
        title="PSNR",
        says="Closeness to the clean picture, pixel by pixel. The MMSE estimate is best at it, by being blurred.",
        measure=measures.psnr,
        unit="dB",
        better="higher",
    ),
    Metric(
        name="ssim",
        title="SSIM",
        says="Structural similarity to the clean picture; 1 if equal.",
        measure=of_picture("ssim", metrics.ssim),
        better="higher",
        side=metrics.SSIM_WINDOW,
    ),
    Metric(
        name="ms_ssim",
        title="MS-SSIM",
        says="Structural similarity to the clean picture at five scales; 1 if equal.",
        measure=of_picture("ms_ssim", perceptual.ms_ssim),
        better="higher",
        side=perceptual.MS_SSIM_SIDE,
        library="torchmetrics.image",
    ),
    _lpips("lpips", "alex"),
    _lpips("lpips_vgg", "vgg"),
    _lpips("lpips_squeeze", "squeeze"),
    Metric(
        name="sliced_wasserstein",
        title="patch distance",
        says="How differently textures are distributed, wherever they lie (sliced Wasserstein distance of the patches "
        "of a Laplacian pyramid); 0 if alike.",
        measure=of_picture("sliced_wasserstein", perceptual.sliced_wasserstein),
        better="lower",
        perceptual=True,
        side=perceptual.SLICED_SIDE,
    ),
    Metric(
        name="gmsd",
        title="GMSD",
        says="Perceptual distance from the clean picture by its gradients; 0 if equal.",
        measure=of_picture("gmsd", perceptual.gmsd),
        better="lower",
        perceptual=True,
        side=perceptual.GMSD_SIDE,
        library="piq",
    ),
    Metric(
        name="haarpsi",
        title="HaarPSI",
        says="Perceptual similarity to the clean picture by its Haar wavelets; 1 if equal.",
        measure=of_picture("haarpsi", perceptual.haarpsi),
        better="higher",
        perceptual=True,
        side=perceptual.HAARPSI_SIDE,
        library="piq",
    ),
    Metric(
        name="kid",
        title="KID and FID (AlexNet)",
        says="How far the restored pictures as a set are from the clean ones, by what AlexNet sees in them (not the "
        "Inception network of published figures); KID needs 10 pictures, FID 512.",
        measure=measures.features(FEATURES, perceptual.features),
        better="lower",
        side=perceptual.LPIPS_SIDE,
        library="torchmetrics.image",
        weights=BACKBONES["alex"].name,
    ),
    Metric(
        name="blur",
        title="blur",
        says="How much more blurred than the clean picture, from −1 to 1; 0 is as sharp, negative sharper.",
        measure=of_picture("blur", lambda clean, picture: perceptual.blur(picture) - perceptual.blur(clean)),
        target=0.0,
        side=perceptual.BLUR_SIDE,
    ),
    Metric(
        name="residual",
        title="residual tests",
        says="What was removed, y − Hx, should be white Gaussian noise of σ0: its standard deviation over σ0 (1), the "
        "largest correlation ρ of adjacent pixels (0), and the p-value of a test of normality (spread over 0 to 1).",
        measure=measures.residual,
        target=1.0,
    ),
    Metric(
        name="mse_ratio",
        title="MSE ratio",
        says="Squared error of the samples over that of the MMSE estimate; 2 for an exact sampler.",
        measure=measures.mse_ratio,
        target=2.0,
        samples=1,
        denoising=True,
    ),
    Metric(
        name="diversity",
        title="diversity",
        says="How far two samples are apart, root mean square, in intensity from 0 to 1.",
        measure=measures.diversity,
        samples=2,
    ),
    Metric(
        name="spread_skill",
        title="spread / skill",
        says="Spread of the samples over the error of their mean; 1 for an exact sampler, less if it is overconfident.",
        measure=measures.spread_skill,
        target=1.0,
        samples=2,
    ),
    Metric(
        name="calibration",
        title="coverage and PIT",
        says="How often a true pixel lies in the central 50% and 90% bands of the samples (which take 3 and 19 of "
        "them), and the histogram of its rank among them, flat for an exact sampler.",
        measure=measures.calibration,
        samples=2,
    ),
)

BY_NAME = {metric.name: metric for metric in METRICS}

NAMES: tuple[str, ...] = tuple(BY_NAME)
DEFAULT: tuple[str, ...] = tuple(m.name for m in METRICS if not m.weights and m.name != "ms_ssim")
"""Those that need neither weights nor large pictures."""


def check(names: Sequence[str]) -> None:
    """Raises InvalidValue for an unknown metric, MissingExtra and WeightsError, which say what to type."""
    for name in names:
        if name not in BY_NAME:
            hint = did_you_mean(name, NAMES) or f"there are {', '.join(NAMES)}"
            raise InvalidValue(f"unknown metric {name}; {hint}")
        if BY_NAME[name].library:
            perceptual.library(BY_NAME[name].library)
        if BY_NAME[name].weights:
            from snips.store import find, stored

            stored(find(BY_NAME[name].weights))


def measure(
    clean: Tensor, observation: Observation, mmse: Tensor | None, samples: Tensor, names: Sequence[str]
) -> Measured:
    """All figures of one picture.

    Args:
        clean: (C, H, W), as everything here on the CPU.
        observation: of that one picture.
        mmse: D(y, σ0) when denoising, else None.
        samples: (N, C, H, W), N ≥ 0.
        names: of NAMES; the columns follow from them alone.
    """
    subject = Subject(clean, observation, mmse, samples)
    return measures.merged(BY_NAME[name].measure(subject) for name in names)
