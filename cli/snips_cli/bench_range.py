"""snips bench range: what to do at a σ that a denoiser is not made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snips_cli.options import part_options

if TYPE_CHECKING:
    from torch import Tensor

    from snips.interfaces import MMSEDenoiser

BEYOND = (1.0, 4 / 3, 2.0, 4.0, 8.0)
"""Times the end of the range, the levels that are tried by default."""


@click.command("range")
@click.argument("images", nargs=-1, metavar="[IMAGE]...")
@click.option("--denoiser", required=True, help="Its name.")
@part_options("-d", "denoiser_options", help="For the denoiser.")
@click.option("--sigma", "sigmas", multiple=True, help="0.5 or 100/255, many times; default: from the range's ends on.")
@click.option("--crop", type=click.IntRange(min=1), help="The middle of each picture, so many pixels a side.")
@click.option("--gray", is_flag=True, help="Make the pictures gray.")
@click.option("--seed", default=0, show_default=True, help="Of the noise.")
@click.option("--device", default="cpu", show_default=True)
def bench_range(
    images: tuple[str, ...],
    denoiser: str,
    denoiser_options: dict[str, str],
    sigmas: tuple[str, ...],
    crop: int | None,
    gray: bool,
    seed: int,
    device: str,
) -> None:
    """PSNR in dB beyond a denoiser's range, under each policy of --out-of-range.

    IMAGEs are clean pictures, by default the bundled one; white noise is added, the same under each policy.
    """
    from rich.console import Console
    from rich.table import Table

    import snips

    loaded = snips.load_denoiser(denoiser, device=device, **denoiser_options)
    clean = read(images, crop, gray or getattr(loaded, "channels", None) == (1,))
    table = Table("σ · 255", "σ", "noisy", "clamp", "scale", title=f"{denoiser}, made for σ in {loaded.noise_levels}")
    for sigma in [level(text) for text in sigmas] or beyond(loaded):
        columns = zip(*(psnrs(loaded, x.to(device), sigma, seed) for x in clean), strict=True)
        means = (sum(column) / len(clean) for column in columns)
        table.add_row(f"{255 * sigma:.4g}", f"{sigma:.3g}", *(f"{mean:.2f}" for mean in means))
    Console().print(table)


def read(images: tuple[str, ...], crop: int | None, gray: bool) -> list[Tensor]:
    """Pictures (C, H, W), cropped and gray as asked. Raises ImageError, or InvalidValue if one is too small."""
    import torch

    from snips.errors import InvalidValue
    from snips.images import bundled_picture, read_picture, to_gray

    pictures = []
    for name, picture in [(path, read_picture(path)) for path in images] or [("the bundled one", bundled_picture())]:
        side = min(picture.shape[1:])
        if crop is not None and crop > side:
            raise InvalidValue(f"--crop {crop}: {name} has only {side} pixels on its smaller side")
        top, left = ((length - crop) // 2 if crop else 0 for length in picture.shape[1:])
        x = torch.from_numpy(to_gray(picture) if gray else picture)
        pictures.append(x[:, top : top + crop, left : left + crop] if crop else x)
    return pictures


def level(text: str) -> float:
    """σ as people write it. Raises InvalidValue unless it is a positive number."""
    from snips.cards import number
    from snips.errors import InvalidValue

    try:
        sigma = number(text)
    except (ValueError, ZeroDivisionError):
        sigma = float("nan")
    if not 0 < sigma < float("inf"):
        raise InvalidValue(f"--sigma {text}: not a positive number, such as 0.5 or 100/255")
    return sigma


def beyond(denoiser: MMSEDenoiser) -> list[float]:
    """Levels below and above the range, its ends among them. Raises InvalidValue if there are none."""
    from snips.errors import InvalidValue

    levels = denoiser.noise_levels
    below = [levels.low / factor for factor in reversed(BEYOND)] if levels.low > 0 else []
    above = [levels.high * factor for factor in BEYOND] if levels.high < float("inf") else []
    if not below + above:
        raise InvalidValue(f"this denoiser is made for every σ ({levels}); there is nothing beyond")
    return below + above


def psnrs(denoiser: MMSEDenoiser, x: Tensor, sigma: float, seed: int) -> tuple[float, float, float]:
    """Of the noisy picture, of D under "clamp", and under "scale"."""
    import torch

    from snips import denoise, metrics
    from snips.ranges import WithinRange

    generator = torch.Generator().manual_seed(seed)
    noisy = x + sigma * torch.randn(x.shape, generator=generator).to(x)
    clamped, scaled = (denoise(WithinRange(denoiser, policy), noisy, sigma) for policy in ("clamp", "scale"))
    return tuple(metrics.psnr(x.cpu(), seen.cpu()) for seen in (noisy, clamped, scaled))  # type: ignore[return-value]
