"""How each metric's columns come from a picture, what was seen of it, and samples of what it may have been."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property

from torch import Tensor, stack

from snips import ensemble, metrics
from snips.observation import Mask, Observation

Value = float | None
Compare = Callable[[Tensor, Tensor], float]
"""f(clean, picture)."""

PIT_BINS = 10
BANDS = (50, 90)
"""Percent of the central bands whose coverage is counted."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What is measured: one picture (C, H, W), on the CPU, and N ≥ 0 samples (N, C, H, W)."""

    clean: Tensor
    observation: Observation
    mmse: Tensor | None
    """D(y, σ0) when denoising."""
    samples: Tensor

    @cached_property
    def mean(self) -> Tensor | None:
        return self.samples.double().mean(0) if len(self.samples) else None

    @cached_property
    def hole(self) -> Tensor | None:
        """True where a pixel is missing; None where none is."""
        operator = self.observation.operator
        return ~operator.mask if isinstance(operator, Mask) and not operator.mask.all() else None


@dataclass(frozen=True)
class Measured:
    """The figures of one cell. What cannot be known is None."""

    per_sample: dict[str, list[Value]] = field(default_factory=dict)
    """Column of rows.parquet, one value a sample."""
    per_cell: dict[str, Value] = field(default_factory=dict)
    """Column of cells.parquet."""
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """What the report needs besides, of a picture that is kept or not."""


def of_picture(name: str, compare: Compare) -> Callable[[Subject], Measured]:
    """Of every sample, of the MMSE estimate, of the mean of the samples."""

    def measured(of: Subject) -> Measured:
        def value(picture: Tensor | None) -> Value:
            return None if picture is None else known(compare(of.clean, picture))

        cell = {f"mmse_{name}": value(of.mmse), f"mean_{name}": value(of.mean)}
        return Measured({name: [value(x) for x in of.samples]}, cell)

    return measured


def psnr(of: Subject) -> Measured:
    """On all pixels, and on the missing ones."""

    def in_hole(picture: Tensor | None) -> Value:
        nothing = picture is None or of.hole is None
        return None if nothing else known(metrics.psnr(of.clean, picture, of.hole))  # type: ignore[arg-type]

    everywhere = of_picture("psnr", metrics.psnr)(of)
    rows = everywhere.per_sample | {"hole_psnr": [in_hole(x) for x in of.samples]}
    return Measured(rows, everywhere.per_cell | {"mean_hole_psnr": in_hole(of.mean)})


def residual(of: Subject) -> Measured:
    """The paper's tests of y − Hx, of every sample and of the MMSE estimate."""
    tests = [residual_tests(of, x) for x in of.samples]
    rows = {name: [test[name] for test in tests] for name in RESIDUAL}
    best = dict.fromkeys(RESIDUAL) if of.mmse is None else residual_tests(of, of.mmse)
    return Measured(rows, {f"mmse_{name}": best[name] for name in RESIDUAL})


RESIDUAL = ("residual_std", "residual_rho", "residual_p")


def residual_tests(of: Subject, picture: Tensor) -> dict[str, Value]:
    y, operator = of.observation.y, of.observation.operator
    observed = operator.mask if isinstance(operator, Mask) else None
    removed = y - operator.forward(picture[None])[0]
    values = asdict(metrics.residual_tests(removed, of.observation.sigma, observed)).values()
    return dict(zip(RESIDUAL, map(known, values), strict=True))


def mse_ratio(of: Subject) -> Measured:
    possible = of.mmse is not None and len(of.samples)
    value = known(metrics.mse_ratio(of.clean, of.samples, of.mmse)) if possible else None  # type: ignore[arg-type]
    return Measured(per_cell={"mse_ratio": value})


def diversity(of: Subject) -> Measured:
    """On all pixels, and on the missing ones."""
    everywhere = known(ensemble.diversity(of.samples))
    hole = None if of.hole is None else known(ensemble.diversity(of.samples, of.hole))
    return Measured(per_cell={"diversity": everywhere, "hole_diversity": hole})


def spread_skill(of: Subject) -> Measured:
    return Measured(per_cell={"spread_skill": known(ensemble.spread_skill(of.clean, of.samples))})


def calibration(of: Subject) -> Measured:
    """Coverage of central bands, and the histogram of the probability integral transform."""
    pit: Iterable[Value] = [None] * PIT_BINS
    bands: dict[str, Value] = {f"coverage_{percent}": None for percent in BANDS}
    if len(of.samples) > 1:
        shares = ensemble.rank_shares(of.clean, of.samples)
        pit = ensemble.pit_histogram(shares, PIT_BINS)
        bands = {f"coverage_{percent}": known(ensemble.coverage(shares, percent / 100)) for percent in BANDS}
    return Measured(per_cell=bands | {f"pit_{i}": known(share) for i, share in enumerate(pit)})


def features(name: str, see: Callable[[Tensor], Tensor | None]) -> Callable[[Subject], Measured]:
    """What a network sees in the clean picture, the MMSE estimate and the samples: for distances between whole sets."""

    def measured(of: Subject) -> Measured:
        groups = {"clean": [of.clean], "mmse": [] if of.mmse is None else [of.mmse], "samples": list(of.samples)}
        seen = {whose: [see(picture) for picture in pictures] for whose, pictures in groups.items()}
        known = {whose: [x for x in rows if x is not None] for whose, rows in seen.items()}
        return Measured(tensors={f"feature.{name}.{whose}": stack(rows) for whose, rows in known.items() if rows})

    return measured


def merged(parts: Iterable[Measured]) -> Measured:
    whole = Measured()
    for part in parts:
        whole.per_sample.update(part.per_sample)
        whole.per_cell.update(part.per_cell)
        whole.tensors.update(part.tensors)
    return whole


def known(value: Value) -> Value:
    """A plain float; None for NaN."""
    return None if value is None or math.isnan(value) else float(value)
