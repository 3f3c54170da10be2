"""snips run: the main command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from snips_cli.options import part_options, verbose


@click.command()
@click.argument("images", nargs=-1, metavar="[IMAGE]...")
@click.option(
    "--denoiser", default="drunet-small", show_default=True, metavar="NAME", help="The prior: `snips denoisers`."
)
@click.option("--task", default="denoise", show_default=True, metavar="NAME", help="The degradation: `snips tasks`.")
@click.option("--sampler", metavar="NAME", help="`snips samplers`; by default the best for the task.")
@part_options("-d", "denoiser_options", help="Option of the denoiser: `snips describe NAME`.")
@part_options("-t", "task_options", help="Option of the task, as in -t mask=random:0.5.")
@part_options("-s", "sampler_options", help="Option of the sampler, as in -s preset=celeba.")
@click.option("--sigma", metavar="σ0", help="Noise level: 0.1, 25/255, or auto; needed unless simulated.")
@click.option("--samples", type=click.IntRange(1), default=8, show_default=True, help="How many of each picture.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all random numbers.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results; by default a new one in runs/.")
@click.option("--simulate", is_flag=True, help="IMAGE is clean: degrade it first, and compare.")
@click.option("--gray", is_flag=True, help="Make the picture gray first; σ0 is then that of the gray picture.")
@click.option("--size", type=click.IntRange(1), metavar="PIXELS", help="Shrink a clean picture to this smaller side.")
@click.option("--crop", type=click.IntRange(1), metavar="PIXELS", help="Take a square of this side from the middle.")
@click.option("--snapshots", type=click.IntRange(0), default=0, help="Intermediate states of the first sample to keep.")
@click.option("--batch", type=click.IntRange(1), help="Samples computed at once; the result does not depend on it.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto.")
@click.option(
    "--dtype", default="float32", show_default=True, help="float32 or float64; bfloat16 or float16 for the denoiser."
)
@click.option("--compile", is_flag=True, help="Compile the denoiser with torch.compile.")
@click.option(
    "--out-of-range",
    type=click.Choice(["error", "clamp", "scale"]),
    default="error",
    show_default=True,
    help="Where a step's σ is none that the denoiser is made for.",
)
@click.option("--resume", is_flag=True, help="Go on with the unfinished run of this --out; start it if there is none.")
@click.option("--overwrite", is_flag=True, help="Replace the folder --out, once the new one is whole.")
@click.option("-q", "--quiet", is_flag=True, help="No messages and no progress, only warnings and results.")
@click.pass_context
@verbose
def run(
    ctx: click.Context, /, out: Path | None, resume: bool, overwrite: bool, quiet: bool, images: Any, **asked: Any
) -> None:
    """Sample what a picture may have been.

    IMAGE is what was observed; --simulate says that it is clean. Without any, a bundled picture is simulated.

    \b
    snips run --denoiser ncsnv2 --task inpaint
    snips run noisy.png --sigma 25/255 --out runs/first
    snips run photo.jpg --simulate --sigma 0.2 --task inpaint -t mask=random:0.5
    """
    from snips.plugins import best_sampler
    from snips_cli.request import Request

    asked["sampler"] = asked["sampler"] or best_sampler(asked["task"])
    request = Request(images=images, **asked)
    request.noise_level()
    from snips_cli.running import execute
    from snips_cli.table import print_table

    typed = ctx.find_root().meta.get("snips.typed", ["run", *images])
    warned = ctx.meta["snips.warnings"]
    folder, data = execute(request, out, resume=resume, overwrite=overwrite, quiet=quiet, typed=typed, warned=warned)
    print_table(data["images"])
    click.echo(f"{folder / 'run.json'}" if len(data["images"]) > 1 else f"{folder / 'overview.png'}")
