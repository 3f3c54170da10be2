"""snips bench speed: pictures a second, by size, number format, memory layout and compilation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from snips_cli.spec import Spec, denoiser_specs

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from snips.interfaces import MMSEDenoiser

SIGMA = 25 / 255

QUALITY = 128
"""Pixels a side of the picture whose PSNR is compared."""

WAYS = ("float32", "bfloat16", "contiguous", "compiled", "compiled-bfloat16")
"""How a denoiser can be called. The state is always float32; `contiguous` is without the channels-last layout."""


@click.command("speed")
@denoiser_specs(default=("drunet-small",), show_default=True)
@click.option("--size", "sizes", type=click.IntRange(1), multiple=True, default=(64, 128, 256), show_default=True)
@click.option("--rows", type=click.IntRange(1), default=4, show_default=True, help="Pictures in one call.")
@click.option(
    "--way", "ways", type=click.Choice(WAYS), multiple=True, default=("float32", "bfloat16"), show_default=True
)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Timings, of which the median.")
@click.option("--cpu-time", is_flag=True, help="Count this process's CPU time: on a busy machine, with one thread.")
@click.option("--device", default="cpu", show_default=True)
def bench_speed(
    specs: tuple[Spec, ...],
    sizes: tuple[int, ...],
    ways: tuple[str, ...],
    rounds: int,
    rows: int,
    cpu_time: bool,
    device: str,
) -> None:
    """Pictures a second, and what each way of calling loses in PSNR.

    All denoisers and ways of one size are timed in turn, so that ratios hold on a busy machine too. The loss is of the
    PSNR at σ = 25/255 on a picture of scikit-image, beside that of the first way.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from snips.devices import resolve_device
    from snips_cli.cleansets import read_sets

    where = resolve_device(device)
    clock = time.process_time if cpu_time else time.perf_counter
    clean = {s.channels: s.pictures[0].x for s in read_sets([], crop=max(QUALITY, *sizes))}
    cases = [case for spec in specs for case in cases_of(spec, ways, where)]
    table = Table(box=box.MARKDOWN)
    for name in ("denoiser", "way"):
        table.add_column(name)
    for name in (*(f"{size}²" for size in sizes), "PSNR", "loss"):
        table.add_column(name, justify="right")
    speeds = {size: speed(cases, clean, size, rows, rounds, where, clock) for size in sizes}
    qualities = [psnr(case, clean[case.channels][:, :QUALITY, :QUALITY], where) for case in cases]
    for number, (case, quality) in enumerate(zip(cases, qualities, strict=True)):
        best = qualities[number - number % len(ways)]
        figures = [f"{speeds[size][number]:.3g}" for size in sizes]
        table.add_row(case.label, case.way, *figures, f"{quality:.2f}", f"{best - quality:.3f}")
    Console(width=200, soft_wrap=True).print(table)


@dataclass(frozen=True, eq=False)
class Case:
    """A denoiser, called in one way."""

    label: str
    way: str
    channels: int
    call: MMSEDenoiser


def cases_of(spec: Spec, ways: Sequence[str], device: torch.device) -> list[Case]:
    """The denoiser in each way, as the engine calls it. Raises as `snips.load_denoiser`."""
    cases = []
    for way in ways:
        denoiser = spec.load(device)
        channels = 1 if getattr(denoiser, "channels", (3,)) == (1,) else 3
        cases.append(Case(spec.label, way, channels, called(denoiser, way)))
    return cases


def called(denoiser: MMSEDenoiser, way: str) -> MMSEDenoiser:
    """The denoiser in this way. Raises InvalidValue for `contiguous` if it is none of our networks."""
    import torch

    from snips.errors import InvalidValue
    from snips.job import Called, Compiled
    from snips_plugins.networks import NetworkDenoiser

    if way == "contiguous":
        if not isinstance(denoiser, NetworkDenoiser):
            raise InvalidValue(f"--way contiguous: snips does not set the memory layout of {type(denoiser).__name__}")
        denoiser = replace(denoiser, memory_format=torch.contiguous_format)
    autocast = torch.bfloat16 if way.endswith("bfloat16") else None
    return Called(Compiled(denoiser) if way.startswith("compiled") else denoiser, autocast)


def speed(
    cases: Sequence[Case],
    clean: dict[int, Tensor],
    size: int,
    rows: int,
    rounds: int,
    device: torch.device,
    clock: Callable[[], float],
) -> list[float]:
    """Pictures a second of each case: medians of timings taken in turn, after one call that does not count."""
    inputs = [noisy(clean[case.channels][:, :size, :size]).expand(rows, -1, -1, -1).to(device) for case in cases]
    seconds: list[list[float]] = [[] for _ in cases]
    for _ in range(rounds + 1):
        for case, x, times in zip(cases, inputs, seconds, strict=True):
            times.append(timed(case.call, x, device, clock))
    return [rows / statistics.median(times[1:]) for times in seconds]


def timed(denoiser: MMSEDenoiser, x: Tensor, device: torch.device, clock: Callable[[], float]) -> float:
    """Seconds of one call, by this clock."""
    import snips
    from snips_cli.timing import synchronize

    synchronize(device)
    started = clock()
    snips.denoise(denoiser, x, SIGMA)
    synchronize(device)
    return clock() - started


def psnr(case: Case, x: Tensor, device: torch.device) -> float:
    """Of the picture denoised, in dB."""
    import snips

    return snips.metrics.psnr(x, snips.denoise(case.call, noisy(x).to(device), SIGMA).cpu())


def noisy(x: Tensor) -> Tensor:
    import snips

    return x + SIGMA * snips.Noise(0, [(0, 0)], x.shape).normal()[0]
