"""snips train: a plugin's network, trained as an MMSE denoiser."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from snips_cli.options import part_options, verbose


def numbers(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    """Positive numbers, by commas."""
    try:
        found = tuple(float(part) for part in value.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 < number < math.inf for number in found):
        raise click.BadParameter(f"{value!r} is not a list of positive numbers, as in 1,0.5")
    return found


@click.command()
@click.argument("name")
@part_options("-n", "network_options", help="Option of the network: `snips describe NAME`.")
@click.option("--images", multiple=True, metavar="FOLDER", help="Pictures to learn from, or skimage:NAME; repeatable.")
@click.option(
    "--scales",
    default="1,0.7,0.5,0.35",
    callback=numbers,
    metavar="NUMBERS",
    show_default=True,
    help="Sizes at which a picture is learned from.",
)
@click.option("--leaves", default=0.0, show_default=True, help="Share of crops that are dead leaves, drawn afresh.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder of the state, the log and the weights."
)
@click.option("--steps", default=20_000, show_default=True)
@click.option("--rows", default=8, show_default=True, help="Crops a step, over all processes.")
@click.option("--patch", default=96, show_default=True, help="Side of a crop.")
@click.option("--rate", default=1e-3, show_default=True, help="The optimiser's, at its highest.")
@click.option("--cooldown", default=1.0, show_default=True, help="Last share of the steps, in which the rate falls.")
@click.option("--optimiser", default="adamw", show_default=True, metavar="NAME", help="Of timm's.")
@click.option("--decay", default=0.999, show_default=True, help="Of the moving average of the weights.")
@click.option("--clip", default=1.0, show_default=True, help="Largest norm of the gradient.")
@click.option("--sigma-min", type=float, help="Least σ; by default the network's.")
@click.option("--sigma-max", type=float, help="Greatest σ; by default the network's.")
@click.option("--dtype", default="float32", show_default=True, type=click.Choice(["float32", "bfloat16"]))
@click.option("--compile", "compiled", is_flag=True, help="Let torch.compile make the network's kernels.")
@click.option(
    "--workers",
    type=click.IntRange(0),
    help="Processes that cut crops ahead; by default none, but for a GPU as many as there are CPUs, 16 at most.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto.")
@click.option("--origin", default="", help="What the pictures are, and their licence: for the card of the weights.")
@click.option("--licence", default="", help="Of the weights: for their card.")
@click.option("--every", type=click.IntRange(1), default=500, show_default=True, help="Steps between two validations.")
@click.option("--resume", is_flag=True, help="Go on from the state in --out; start if there is none.")
@click.pass_context
@verbose
def train(ctx: click.Context, /, **asked: Any) -> None:
    """Train NAME as an MMSE denoiser over a range of σ. `snips describe NAME` shows the options of its network.

    Several processes, on one machine or many GPUs: `torchrun --nproc-per-node 2 -m snips_cli train …`.

    \b
    snips train drunet-small --images photos --images skimage:coffee --leaves 0.1 --out runs/prior
    snips run noisy.png --sigma 0.1 --denoiser drunet-small -d weights=runs/prior/weights.safetensors
    """
    from snips_cli.training import execute

    typed = ctx.find_root().meta.get("snips.typed", ["train", asked["name"]])
    weights = execute(typed=typed, **asked)
    if weights is not None:
        click.echo(weights)
