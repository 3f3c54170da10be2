"""snips compare: several priors on the same pictures and the same noise; a small study, a table, one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snips_cli.cleansets import ENDINGS
from snips_cli.options import part_options, verbose

if TYPE_CHECKING:
    from snips_cli.study.spec import Spec


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="DENOISER... [IMAGE]...")
@click.option("--task", default="denoise", show_default=True, metavar="NAME", help="The degradation: `snips tasks`.")
@part_options("-t", "task_options", help="Option of the task, as in -t mask=random:0.5.")
@click.option("--sampler", metavar="NAME", help="`snips samplers`; by default the best for the task.")
@part_options("-s", "sampler_options", help="Option of the sampler, as in -s steps=10.")
@click.option("--sigma", "sigmas", multiple=True, metavar="σ0", help="0.1 or 25/255, many times; default 25/255.")
@click.option("--samples", type=click.IntRange(1), default=4, show_default=True, help="How many of each picture.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all random numbers.")
@click.option("--gray", is_flag=True, help="Make the pictures gray first.")
@click.option("--size", type=click.IntRange(1), metavar="PIXELS", help="Shrink pictures to this smaller side.")
@click.option("--crop", type=click.IntRange(1), metavar="PIXELS", help="Take a square of this side from the middle.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results; by default a new one in runs/.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto.")
@click.option(
    "--out-of-range",
    type=click.Choice(["error", "clamp", "scale"]),
    default="error",
    show_default=True,
    help="Where a step's σ is none that a denoiser is made for.",
)
@click.option("-q", "--quiet", is_flag=True, help="No messages and no progress, only warnings and results.")
@click.pass_context
@verbose
def compare(ctx: click.Context, /, words: tuple[str, ...], out: Path | None, quiet: bool, **asked: Any) -> None:
    """Compare priors on clean pictures, degraded alike: each sees the same noise.

    A DENOISER is NAME or NAME:KEY=VALUE,KEY=VALUE. An IMAGE is a picture file; without any, a bundled one is taken.

    \b
    snips compare ncsnv2 bm3d photo.png --sigma 0.1
    snips compare ffdnet:weights=ffdnet_color.pth ncsnv2 --task inpaint -t mask=text
    """
    spec = inline_spec(words, asked)
    from snips_cli.compare_result import write_pictures
    from snips_cli.outfolder import free_name
    from snips_cli.study.folder import StudyFolder
    from snips_cli.study.run import execute, in_this_process, look_at
    from snips_cli.study.summary import print_table

    known = look_at(spec, asked["device"], quiet)
    place = out or free_name(Path("runs"), "compare")
    typed = ctx.find_root().meta.get("snips.typed", ["compare", *words])
    said = {"command": ["snips", *typed]}
    tally = execute(known, place, in_this_process, device=asked["device"], quiet=quiet, said=said)
    folder = StudyFolder(place)
    pictures = write_pictures(folder)
    print_table(folder)
    for picture in pictures:
        click.echo(picture)
    ctx.exit(1 if tally.failed else 0)


def inline_spec(words: tuple[str, ...], asked: dict[str, Any]) -> Spec:
    """The study that the command line says. Raises InvalidValue, OptionError."""
    from snips.errors import InvalidValue
    from snips_cli.spec import parse
    from snips_cli.study import toml
    from snips_cli.study.spec import BUNDLED, Degradation, Images, Method, Prior, Spec, settle

    pictures = [word for word in words if Path(word).suffix.lower() in ENDINGS or Path(word).is_file()]
    denoisers = [parse(word) for word in words if word not in pictures]
    if not denoisers:
        raise InvalidValue(f"{' '.join(words)}: name the denoisers to compare before the picture (`snips denoisers`)")
    sampler = (Method(asked["sampler"], asked["sampler_options"]),) if asked["sampler"] else ()
    if asked["sampler_options"] and not sampler:
        raise InvalidValue("-s is for a --sampler that is named")
    spec = Spec(
        priors=tuple(Prior(one.name, one.options) for one in denoisers),
        images=(Images(tuple(pictures) or (f"{BUNDLED}astronaut",), asked["size"], asked["crop"], asked["gray"]),),
        sigmas=tuple(toml.sigma(text, "--sigma") for text in asked["sigmas"] or ("25/255",)),
        name="compare",
        tasks=(Degradation(asked["task"], asked["task_options"]),),
        samplers=sampler,
        seeds=(asked["seed"],),
        samples=asked["samples"],
        keep_samples=asked["samples"],
        metrics=("psnr", "ssim", "mse_ratio", "residual"),
        on_incompatible="skip",
        out_of_range=asked["out_of_range"],
    )
    return settle(spec, Path.cwd(), "snips compare", "compare")
