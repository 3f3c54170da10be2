"""Priors and observations whose posterior is known in closed form: what `snips bench truth` runs on.

field: a periodic Gaussian field of spectrum |k|⁻², 16×16, std .2 about .5. Denoising at four σ0; inpainting with a
    random half of the pixels missing, and with an 8×8 box missing; deblurring (uniform 5×5), superresolution by 4
    (block mean and bicubic), colouring (8×8, channels independent), and a quarter of the Walsh–Hadamard coefficients.
    Affine samplers are propagated exactly.
mixture-2d: pictures of two pixels, five components on a cross of arms .3 about (.5, .5), each with independent pixels
    of std .06. Denoising at σ0 = .203; inpainting the second pixel at σ0 = .1.
mixture-64d: 8×8 pictures, six components of equal weight: dark, bright, a ramp to the right, one down, one to the
    left, and a bright disc, .15 about .5, each plus a field of std .1. Denoising at σ0 = .203; inpainting from every
    second pixel of every second row (16 of 64) at σ0 = .2; and `hard`: .17 about .5, from 4 of 64 pixels at σ0 = .05,
    with deep valleys between the modes.
calibration: many pictures drawn from the field or the 64-D mixture, of 8×8 pixels, for `snips.calibration`.

A mixture's observations are the first of those drawn from the prior in which no component has more than .6 of the
posterior: with the others there is nothing to be got wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Literal

import torch
from torch import Tensor

from snips.analytic import GaussianMixture, GaussianMixturePrior, GaussianPrior
from snips.interfaces import Operator
from snips.observation import Identity, Mask, Observation
from snips.operators import Blur, Downsample, Grayscale, WalshHadamard
from snips.operators.blur import uniform_kernel

FEW, MANY = (5, 10, 20), (20, 30, 50)

UNDECIDED = 0.6
"""The largest weight that a component of a mixture's posterior may have."""

Figure = Literal["w2", "weights", "sliced"]


@dataclass(frozen=True, eq=False)
class Case:
    """One observed picture, and the prior it came from."""

    prior: GaussianMixturePrior
    observation: Observation

    @cached_property
    def posterior(self) -> GaussianMixture:
        return self.prior.posterior(self.observation)

    @property
    def observed(self) -> Tensor:
        """(d,), True where a pixel is observed; all of them unless the operator is a Mask."""
        operator, shape = self.observation.operator, self.prior.shape
        mask = operator.mask if isinstance(operator, Mask) else torch.ones(shape, dtype=torch.bool)
        return mask.expand(shape).flatten()


@dataclass(frozen=True, eq=False)
class KnownProblem:
    """A problem of several cases, made when asked for."""

    name: str
    what: str
    figure: Figure
    """"w2": relative W2, for Gaussians. "weights": total variation of a mixture's weights. "sliced": sliced W1."""
    make: Callable[[int], Case]
    cases: int = 1
    nfe: tuple[int, ...] = (20, 30)
    """Denoiser calls at which samplers are tried, for which their number is an option."""
    scale: float = 1.0
    """What a distance in [0, 1] is multiplied by."""
    quick: bool = True
    """Worth the time in a quick look."""
    _made: dict[int, Case] = field(default_factory=dict, repr=False)

    def case(self, index: int) -> Case:
        if index not in self._made:
            self._made.clear()
            self._made[index] = self.make(index)
        return self._made[index]


@dataclass(frozen=True, eq=False)
class CalibrationProblem:
    """A prior, and how its pictures are observed."""

    name: str
    what: str
    prior: GaussianMixturePrior
    operator: Operator
    sigma: float
    nfe: tuple[int, ...]

    def draw(self, pictures: int, seed: int = 0) -> tuple[Tensor, Observation]:
        """Pictures (N, C, H, W) from the prior, and the observation of them all."""
        generator = torch.Generator().manual_seed(seed)
        clean = self.prior.draw(pictures, generator)
        return clean, observe(clean, self.operator, self.sigma, generator)

    def means(self, observation: Observation) -> Tensor:
        """The exact posterior means (N, C, H, W)."""
        each = (replace(observation, y=y) for y in observation.batch)
        return torch.stack([self.prior.posterior(one).mean for one in each])


def calibration_problems() -> list[CalibrationProblem]:
    half = Mask(torch.rand(8, 8, generator=torch.Generator().manual_seed(0)) < 0.5)
    field, mixture = _field((1, 8, 8)), mixture_64d()
    return [
        CalibrationProblem("calibration-denoise", "8×8 field, denoising, σ0 0.203", field, Identity(), 0.203, (10,)),
        CalibrationProblem("calibration-half", "8×8 field, half missing, σ0 0.1", field, half, 0.1, (30,)),
        CalibrationProblem("calibration-mixture", "64-D mixture, half missing, σ0 0.1", mixture, half, 0.1, (30,)),
    ]


def fields() -> list[KnownProblem]:
    shape = (1, 16, 16)
    inner = torch.arange(16) // 4 % 3 != 0  # 4 … 11
    half = Mask(torch.rand(16, 16, generator=torch.Generator().manual_seed(0)) < 0.5)
    box = Mask(~(inner[:, None] & inner))

    def problem(
        name: str,
        what: str,
        operator: Operator,
        sigma: float,
        nfe: tuple[int, ...],
        quick: bool,
        shape: tuple[int, int, int] = shape,
    ) -> KnownProblem:
        def make(seed: int) -> Case:
            prior = _field(shape)
            generator = torch.Generator().manual_seed(seed)
            return Case(prior, observe(prior.draw(1, generator)[0], operator, sigma, generator))

        size = f"{shape[1]}×{shape[2]}"
        return KnownProblem(
            f"field-{name}-{sigma:g}", f"{size} field, {what}, σ0 {sigma:g}", "w2", make, 1, nfe, quick=quick
        )

    return [
        *(problem("denoise", "denoising", Identity(), s, FEW, s == 0.203) for s in (0.1, 0.203, 0.606, 1.0)),
        *(problem("half", "half missing", half, s, MANY, s == 0.1) for s in (0.05, 0.1, 0.2)),
        *(problem("box", "8×8 box missing", box, s, MANY, False) for s in (0.05, 0.1, 0.2)),
        problem("deblur", "uniform 5×5 blur", Blur(uniform_kernel(5), shape[1:]), 0.1, MANY, False),
        problem("superres", "4 times smaller by means", Downsample(shape[1:], 4), 0.1, MANY, False),
        problem("bicubic", "4 times smaller by bicubic", Downsample(shape[1:], 4, "bicubic"), 0.1, MANY, False),
        problem("colorize", "luma of colours", Grayscale(), 0.1, MANY, False, (3, 8, 8)),
        problem("compressive", "a quarter of Walsh–Hadamard", WalshHadamard(shape[1:], 0.25), 0.1, MANY, False),
    ]


def mixtures() -> list[KnownProblem]:
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    sixteen = Mask((rows % 2 == 0) & (columns % 2 == 0))
    four = Mask((rows % 4 == 2) & (columns % 4 == 2))
    first = Mask([[1, 0]])

    def problem(
        name: str,
        what: str,
        prior: Callable[[], GaussianMixturePrior],
        operator: Operator,
        sigma: float,
        nfe: tuple[int, ...],
    ) -> KnownProblem:
        def make(seed: int) -> Case:
            return undecided(prior(), operator, sigma, seed)

        return KnownProblem(name, f"{what}, σ0 {sigma:g}", "weights", make, 4, nfe, quick=prior is not mixture_2d)

    return [
        problem("mixture-2d-denoise", "2-D mixture, denoising", mixture_2d, Identity(), 0.203, FEW),
        problem("mixture-2d-inpaint", "2-D mixture, 1 of 2 pixels", mixture_2d, first, 0.1, MANY),
        problem("mixture-64d-denoise", "64-D mixture, denoising", mixture_64d, Identity(), 0.203, FEW),
        problem("mixture-64d-inpaint", "64-D mixture, 16 of 64 pixels", mixture_64d, sixteen, 0.2, MANY),
        problem("mixture-64d-hard", "64-D mixture, 4 of 64 pixels", lambda: mixture_64d(0.17), four, 0.05, (50, 200)),
    ]


def observe(x: Tensor, operator: Operator, sigma: float, generator: torch.Generator) -> Observation:
    """y = H x + σ0 n for clean pictures (C, H, W) or (B, C, H, W)."""
    seen = operator.forward(x.reshape(-1, *x.shape[-3:])).squeeze(0 if x.ndim == 3 else ())
    return Observation(seen + sigma * torch.randn(seen.shape, dtype=x.dtype, generator=generator), sigma, operator)


def undecided(prior: GaussianMixturePrior, operator: Operator, sigma: float, index: int) -> Case:
    """The index-th observation drawn from the prior of which no component has more than UNDECIDED of the posterior."""
    generator = torch.Generator().manual_seed(0)
    while True:
        case = Case(prior, observe(prior.draw(1, generator)[0], operator, sigma, generator))
        if float(case.posterior.weights.max()) <= UNDECIDED:
            if index == 0:
                return case
            index -= 1


@cache
def _field(shape: tuple[int, int, int]) -> GaussianPrior:
    return GaussianPrior.power_law(shape)


@cache
def mixture_2d() -> GaussianMixturePrior:
    """Five blobs on a cross, as pictures (1, 1, 2)."""
    cross = torch.tensor([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64)
    means = 0.5 + 0.3 * cross
    return GaussianMixturePrior(torch.ones(5), means[:, None, None], 0.06**2 * torch.eye(2))


@cache
def mixture_64d(contrast: float = 0.15) -> GaussianMixturePrior:
    """Six 8×8 pictures, so much about .5, each plus a field of std .1."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 8, dtype=torch.float64)] * 2, indexing="ij")
    flat, disc = torch.ones_like(x), 1.5 * (torch.exp(-(x**2 + y**2) / 0.3) - 0.5)
    means = 0.5 + contrast * torch.stack([-flat, flat, x, y, -x, disc])
    return GaussianMixturePrior(torch.ones(6), means[:, None], GaussianPrior.power_law((1, 8, 8), std=0.1).covs[0])
