"""snips bench priors: which prior a denoiser stands for, and whether it is the posterior mean of any."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from snips_cli.options import as_json, verbose
from snips_cli.spec import Spec, denoiser_specs

if TYPE_CHECKING:
    from snips.interfaces import MMSEDenoiser
    from snips_cli.cleansets import Clean

HOW = """\
expected/actual: squared error that the prior expects of itself, σ² tr J with J = ∂D/∂x, over what it makes; 1 if exact.
dimension: tr J, how many directions of the picture the noise leaves to choose, and of all pixels what share.
asymmetry: of J, 0 to 1; 0 for the posterior mean of any law.
drift: how far E[D(x_s, s) | x_t] is from D(x_t, t), over the spread of D(x_s, s), s = t/2; floor: by chance alone.
Pythagoras: (error at s + step from t to s) over the error at t; 1 if these pictures are of the prior's law.\
"""


@dataclass(frozen=True)
class Findings:
    """Of one denoiser on one set of pictures at one σ, averaged over the pictures; None for what cannot be known."""

    denoiser: str
    pictures: str
    sigma: float
    psnr: float
    expected_over_actual: float
    dimension: float
    dimension_error: float
    share: float
    asymmetry: float
    drift: float | None
    drift_floor: float | None
    pythagoras: float | None


@click.command("priors")
@click.argument("folders", nargs=-1, metavar="[FOLDER]...")
@denoiser_specs(required=True)
@click.option(
    "--sigma",
    "sigmas",
    multiple=True,
    default=("25/255", "50/255"),
    show_default=True,
    help="0.1 or 25/255, many times.",
)
@click.option("--every", type=click.IntRange(1), default=1, help="Of each folder every so-manieth picture only.")
@click.option(
    "--crop", type=click.IntRange(1), metavar="PIXELS", default=64, show_default=True, help="Of each the middle."
)
@click.option("--gray", is_flag=True, help="Make the pictures gray.")
@click.option("--probes", type=click.IntRange(2), default=16, show_default=True, help="Random directions, for J.")
@click.option("--draws", type=click.IntRange(2), default=8, show_default=True, help="Reverse paths, for the drift.")
@click.option("--steps", type=click.IntRange(1), default=8, show_default=True, help="Of each path.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the noise and the directions.")
@click.option("--device", default="cpu", show_default=True)
@as_json
@verbose
def bench_priors(
    folders: tuple[str, ...],
    specs: tuple[Spec, ...],
    sigmas: tuple[str, ...],
    every: int,
    crop: int,
    gray: bool,
    probes: int,
    draws: int,
    steps: int,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """Effective dimension, symmetry and consistency of each denoiser, on the clean pictures of each FOLDER.

    A denoiser that is the posterior mean of some law of pictures has a symmetric Jacobian J, and its estimates are a
    martingale of its own reverse process. How far a learned one is from that says how far it can be trusted as a
    prior; its effective dimension, which pictures it thinks possible. Without FOLDERs, four pictures of scikit-image.
    """
    from snips.devices import resolve_device
    from snips_cli.bench_psnr import jobs_of
    from snips_cli.bench_range import level
    from snips_cli.cleansets import read_sets
    from snips_cli.jsons import dumps

    levels = [level(text) for text in sigmas]
    sets = read_sets(folders, every, crop, gray)
    found = [
        findings(job.spec.label, job.set.name, job.denoiser, job.set.pictures, sigma, probes, draws, steps, seed)
        for spec in specs
        for job in jobs_of(spec, sets, resolve_device(device), "error")
        for sigma in levels
        if sigma in job.denoiser.noise_levels
    ]
    if as_json:
        click.echo(dumps([asdict(one) for one in found]))
    else:
        print_table(found)


def findings(
    name: str,
    pictures: str,
    denoiser: MMSEDenoiser,
    cleans: Sequence[Clean],
    sigma: float,
    probes: int,
    draws: int,
    steps: int,
    seed: int,
) -> Findings:
    """Sums over the pictures before any ratio is taken."""
    from snips import Noise, denoise
    from snips.priors import along_a_path, linearise, martingale

    device = getattr(denoiser, "device", "cpu")
    later = level_below(denoiser, sigma)
    errors, lines, drifts, paths = [], [], [], []
    for clean in cleans:
        x0 = clean.x.to(device)
        x = x0 + sigma * Noise(seed, [(clean.index, 0)], x0.shape).normal()[0].to(device)
        errors.append(float((denoise(denoiser, x, sigma) - x0).square().mean()))
        lines.append(linearise(denoiser, x, sigma, probes, seed))
        if later:
            drifts.append(martingale(denoiser, x, sigma, later, draws, steps, seed))
            paths.append(along_a_path(denoiser, x0, x, sigma, later, seed))
    count, error = len(cleans), math.fsum(errors)
    expected = sigma**2 * math.fsum(line.dimension / line.pixels for line in lines)
    spread = math.fsum(drift.spread for drift in drifts)
    return Findings(
        denoiser=name,
        pictures=f"{pictures} ({count})",
        sigma=sigma,
        psnr=-10 * math.fsum(math.log10(e) for e in errors) / count,
        expected_over_actual=expected / error,
        dimension=math.fsum(line.dimension for line in lines) / count,
        dimension_error=math.sqrt(math.fsum(line.error**2 for line in lines)) / count,
        share=math.fsum(line.dimension / line.pixels for line in lines) / count,
        asymmetry=math.sqrt(math.fsum(line.asymmetry**2 for line in lines) / count),
        drift=math.sqrt(max(math.fsum(d.squared for d in drifts), 0) / spread) if spread > 0 else None,
        drift_floor=math.sqrt(2 * math.sqrt(math.fsum(d.error**2 for d in drifts)) / spread) if spread > 0 else None,
        pythagoras=math.fsum(p.later + p.between for p in paths) / math.fsum(p.here for p in paths) if paths else None,
    )


def level_below(denoiser: MMSEDenoiser, sigma: float) -> float | None:
    """Half of σ, or the least that the denoiser is made for; None if it has no levels on the way there."""
    levels = denoiser.noise_levels
    later = max(sigma / 2, levels.low)
    return later if not levels.only and later <= 0.8 * sigma else None


def print_table(found: Sequence[Findings]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.MARKDOWN)
    heads = ("denoiser", "pictures", "σ · 255", "PSNR", "expected/actual", "dimension", "share", "asymmetry")
    for head in (*heads, "drift", "floor", "Pythagoras"):
        table.add_column(head, justify="left" if head in ("denoiser", "pictures") else "right")
    for one in found:
        table.add_row(
            one.denoiser,
            one.pictures,
            f"{255 * one.sigma:.4g}",
            f"{one.psnr:.2f}",
            number(one.expected_over_actual, 2),
            f"{one.dimension:.0f} ± {one.dimension_error:.0f}",
            f"{one.share:.1%}",
            number(one.asymmetry, 3),
            number(one.drift, 3),
            number(one.drift_floor, 3),
            number(one.pythagoras, 3),
        )
    console = Console(width=200, soft_wrap=True)
    console.print(table)
    console.print(HOW, highlight=False)


def number(value: Any, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
