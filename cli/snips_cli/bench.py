"""snips bench: how exact the samplers are, and what the engine costs."""

from __future__ import annotations

from typing import Any

import click

from snips_cli.bench_priors import bench_priors
from snips_cli.bench_psnr import bench_psnr
from snips_cli.bench_range import bench_range
from snips_cli.bench_speed import bench_speed
from snips_cli.bench_truth import bench_truth


@click.group()
def bench() -> None:
    """Measure the samplers against known posteriors, and the engine against the bare denoiser."""


bench.add_command(bench_priors)
bench.add_command(bench_psnr)
bench.add_command(bench_range)
bench.add_command(bench_speed)
bench.add_command(bench_truth)


@bench.command()
@click.option("--device", default="cpu", show_default=True)
@click.option("--rounds", default=15, show_default=True, help="Pairs of timings, of which the median ratio counts.")
@click.option("--steps", default=10, show_default=True, help="Steps a timing.")
@click.option("--full", is_flag=True, help="Also NCSNv2 at the size of the paper's CelebA network, with 1, 8, 64 rows.")
def engine(device: str, rounds: int, steps: int, full: bool) -> None:
    """Time of a sampling step over that of the bare denoiser, the two timed in turn, on 64×64 colour pictures.

    Samples a second are for `langevin` with the paper's celeba preset at σ0 = .203 (825 calls a sample).
    """
    import torch
    from rich.console import Console
    from rich.table import Table

    import snips
    from snips.adapters import NoisePredictor, ScoreNetwork
    from snips.devices import resolve_device
    from snips_cli.timing import step_over_forward
    from snips_plugins.ncsnv2.network import NCSNv2

    where = resolve_device(device)
    widths = [(3, 64), (64, 64), (64, 3)]
    layers = [m for cin, cout in widths for m in (torch.nn.Conv2d(cin, cout, 3, padding=1), torch.nn.ReLU())]
    small = torch.nn.Sequential(*layers[:-1]).to(where)
    three = NoisePredictor(lambda x, sigma: small(x), snips.NoiseLevels(0.0, 1.0))
    packaged = snips.load_denoiser("ncsnv2", device=where)
    cases: list[tuple[str, Any, int]] = [("3 layers of 64 channels", three, 1)]
    cases += [("ncsnv2, packaged", packaged, rows) for rows in (1, 8)]
    if full:
        network = NCSNv2().eval().to(where)
        cases += [("NCSNv2, CelebA size", ScoreNetwork(network, snips.NoiseLevels(0.01, 90)), n) for n in (1, 8, 64)]
    table = Table("denoiser", "rows", "forward, ms", "step, ms", "step / forward", "outside", "samples/s")
    for name, denoiser, rows in cases:
        forward, step, ratio = step_over_forward(denoiser, (3, 64, 64), rows, where, rounds, steps)
        times = (f"{1e3 * forward:.2f}", f"{1e3 * step:.2f}", f"{ratio:.3f}", f"{1 - 1 / ratio:.1%}")
        table.add_row(name, str(rows), *times, f"{rows / (825 * step):.3g}")
    Console().print(table)
