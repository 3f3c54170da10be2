"""snips study run: every combination of a study file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snips_cli.messages import say
from snips_cli.options import verbose

if TYPE_CHECKING:
    from snips_cli.study.run import Workers


@click.command("run")
@click.argument("file", type=click.Path(path_type=Path), metavar="STUDY.toml")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results; by default studies/NAME.")
@click.option("--dry-run", is_flag=True, help="Check the whole grid, say what it costs, and stop.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes on this machine.")
@click.option("--ray", metavar="ADDRESS", help="A Ray cluster to run on: HOST:PORT, or auto.")
@click.option("--gpus", type=click.FloatRange(0), default=0.0, help="Of each Ray worker: 0.25 puts four on one GPU.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto.")
@click.option("--retry-failed", is_flag=True, help="Compute the cells that failed before once more.")
@click.option("-q", "--quiet", is_flag=True, help="No messages and no progress, only warnings and results.")
@click.pass_context
@verbose
def run(ctx: click.Context, /, file: Path, out: Path | None, dry_run: bool, quiet: bool, **how: Any) -> None:
    """Compute every combination in STUDY.toml that is not in the folder yet.

    Stopped at any moment, the same command goes on. The exit code is 1 if a cell failed.

    \b
    snips study run faces.toml --dry-run
    snips study run faces.toml --out studies/faces --jobs 8
    """
    from snips_cli.study.spec import read_spec

    spec = read_spec(file)
    from snips_cli.study.run import announce, execute, look_at

    jobs, ray, gpus, device = how["jobs"], how["ray"], how["gpus"], how["device"]
    at_once, workers = choose(jobs, ray, gpus)
    known = look_at(spec, device, quiet)
    if dry_run:
        announce(known, None, at_once, False)
        return
    folder = out or Path("studies") / file.stem
    typed = ctx.find_root().meta.get("snips.typed", ["study", "run", str(file)])
    said = {"command": ["snips", *typed], "jobs": jobs, "ray": ray}
    tally = execute(
        known,
        folder,
        workers,
        device=device,
        at_once=at_once,
        retry_failed=how["retry_failed"],
        quiet=quiet,
        said=said,
    )
    failed = sum(1 for _ in (folder / "failed").glob("*.json"))
    if failed:
        say(f"{failed} cells failed ({folder / 'failed'} says why); --retry-failed computes them once more")
    if not quiet and tally.done:
        shares = tally.shares()
        say(
            f"{tally.done} cells in {shares['seconds']:.1f} s of work: denoiser {shares['denoiser']:.1f} s, "
            f"measuring {shares['measuring']:.1f} s, the study itself {shares['machinery']:.2f} s"
        )
    click.echo(folder / "cells.parquet")
    ctx.exit(1 if failed else 0)


def choose(jobs: int, ray: str | None, gpus: float) -> tuple[int, Workers]:
    """How many cells are computed at once, and what computes them. Raises InvalidValue, MissingExtra, OutputError."""
    from snips.errors import InvalidValue

    if ray is not None:
        if jobs > 1:
            raise InvalidValue("--jobs counts processes on this machine, --ray uses a cluster's; give one of them")
        from snips_cli.study.cluster import connect

        return connect(ray, gpus)
    if gpus:
        raise InvalidValue("--gpus is a share for each worker of --ray; --device says where to compute otherwise")
    if jobs > 1:
        from snips_cli.study.workers import Processes

        return jobs, Processes(jobs)
    from snips_cli.study.run import in_this_process

    return 1, in_this_process
