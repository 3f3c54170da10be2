"""One picture of a run that is worth showing: what was observed, what it may have been, and what is uncertain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from snips import metrics
from snips.images import as_image
from snips_cli.measure import Restored

TILE = 256
"""Pixels of a tile's larger side, about: small pictures are enlarged by a whole factor, large ones reduced."""

PAPER, INK, FAINT = "#ffffff", "#1a1a1a", "#6b6b6b"
MARGIN, GAP = 24, 14
HEADING, TEXT = 24, 16


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture, what it is, and a figure."""

    image: Image.Image
    name: str
    figure: str = ""


def overview(restored: Restored, entry: dict[str, Any], title: str) -> Image.Image:
    """Above: truth, observation, MMSE estimate or classical fill, posterior mean, std; below: samples; snapshots."""
    first = summary_tiles(restored, entry)
    rows = [first, sample_tiles(restored, entry)[: len(first)]]
    if restored.posterior.snapshots:
        rows.append(snapshot_tiles(restored, len(first)))
    return draw(rows, title, subtitle(restored, entry))


def summary_tiles(restored: Restored, entry: dict[str, Any]) -> list[Tile]:
    """What is one of a kind."""
    case, mean, std = restored.case, restored.posterior.mean, restored.posterior.std
    where, figures = scope(entry)
    tiles = [Tile(as_image(case.clean), "clean")] if case.clean is not None else []
    tiles.append(observed_tile(restored, entry))
    if restored.mmse is not None:
        tiles.append(Tile(as_image(restored.mmse), "MMSE estimate", decibels(figures["mmse"]["psnr"], where)))
    if restored.fill is not None:
        fill = figures["fill"]["psnr"] if figures["fill"] else None
        tiles.append(Tile(as_image(restored.fill), "biharmonic fill", decibels(fill, where)))
    if restored.spline is not None:
        tiles.append(Tile(as_image(restored.spline), "smoothing spline", decibels(entry["spline"]["psnr"], where)))
    if len(restored.posterior.samples) > 1:
        tiles.append(Tile(as_image(mean), "mean of samples", decibels(figures["posterior_mean"]["psnr"], where)))
        tiles.append(Tile(heat_map(std), "std of samples", f"black 0, pale {pale(std):.2f}"))
    return tiles


def observed_tile(restored: Restored, entry: dict[str, Any]) -> Tile:
    """y, or what can be shown of it, and how much is missing."""
    case, seen = restored.case, restored.case.seen
    y, picture = case.observation.y, case.observation.image_shape
    if "hole" in entry:
        return Tile(as_image(seen), "observed", f"{entry['hole']['share']:.0%} missing")
    if y.shape != seen.shape:
        return Tile(as_image(seen), "observed, adjoint", f"{y.numel() / seen.numel():.0%} measured")
    if seen.shape[1:] != picture[1:]:
        return Tile(as_image(seen), "observed", f"{y.shape[2]} x {y.shape[1]}")
    if case.clean is None or seen.shape != picture:
        return Tile(as_image(seen), "observed")
    return Tile(as_image(seen), "observed", decibels(metrics.psnr(case.clean, seen), ""))


def sample_tiles(restored: Restored, entry: dict[str, Any]) -> list[Tile]:
    """One tile a sample."""
    where, figures = scope(entry)
    values = figures["samples"]["psnr"] or [None] * len(restored.posterior.samples)
    return [
        Tile(as_image(x), f"sample {index}", decibels(value, where))
        for index, (x, value) in enumerate(zip(restored.posterior.samples, values, strict=True))
    ]


def snapshot_tiles(restored: Restored, most: int) -> list[Tile]:
    """Sample 0 on its way, evenly spread if there are more than fit."""
    snapshots = restored.posterior.snapshots
    count = min(most, len(snapshots))
    chosen = [snapshots[(i + 1) * len(snapshots) // count - 1] for i in range(count)]
    return [Tile(as_image(s.x), "sample 0 on its way", f"sigma {s.sigma:.3g}") for s in chosen]


def scope(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The figures that are shown: those of the missing pixels where there are any."""
    return ("hole ", entry["hole"]) if "hole" in entry else ("", entry)


def decibels(psnr: float | None, where: str) -> str:
    return f"{where}{psnr:.1f} dB" if psnr is not None else ""


def subtitle(restored: Restored, entry: dict[str, Any]) -> str:
    """The figures of the whole run. (Pillow's own font has no Greek letters.)"""
    count, residual = len(restored.posterior.samples), entry["residual"]
    facts = [
        f"sigma {entry['sigma']:.4f} ({255 * entry['sigma']:.1f}/255)",
        f"{count} sample{'s' if count > 1 else ''} of {entry['nfe']} NFE in {entry['seconds']:.0f} s",
        f"residual std/sigma {sum(residual['std_over_sigma']) / count:.3f}",
    ]
    ratio = entry["samples"]["mse_ratio"]
    return "  ·  ".join([*facts, f"MSE ratio {ratio:.2f}"] if ratio is not None else facts)


def heat_map(std: Tensor) -> Image.Image:
    """The standard deviation, averaged over channels, from black (0) to pale yellow (`pale` and above)."""
    gray = as_image(std.mean(0) / max(pale(std), 1e-12))
    return ImageOps.colorize(gray, black="#000010", mid="#c03a76", white="#fcfdbf", midpoint=110)


def pale(std: Tensor) -> float:
    """The standard deviation that one pixel in a hundred exceeds."""
    return float(np.quantile(std.mean(0).numpy(), 0.99))


def draw(rows: Sequence[Sequence[Tile]], title: str, subtitle: str) -> Image.Image:
    """Rows of tiles under a heading. Pictures smaller than the largest are shown in its size."""
    width, height = tile_size(max((tile.image for row in rows for tile in row), key=lambda image: image.width))
    heading, text = ImageFont.load_default(HEADING), ImageFont.load_default(TEXT)
    columns = max(map(len, rows))
    across = max(columns * (width + GAP) - GAP, int(max(heading.getlength(title), text.getlength(subtitle))) + 1)
    top = MARGIN + round(1.4 * HEADING) + round(1.4 * TEXT) + GAP
    down = height + round(1.5 * TEXT) + GAP
    canvas = Image.new("RGB", (across + 2 * MARGIN, top + len(rows) * down - GAP + MARGIN), PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((MARGIN, MARGIN), title, fill=INK, font=heading)
    pen.text((MARGIN, MARGIN + round(1.4 * HEADING)), subtitle, fill=FAINT, font=text)
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            x, y = MARGIN + c * (width + GAP), top + r * down
            method = Image.Resampling.NEAREST if width >= tile.image.width else Image.Resampling.LANCZOS
            canvas.paste(tile.image.convert("RGB").resize((width, height), method), (x, y))
            pen.text((x, y + height + 4), tile.name, fill=INK, font=text)
            pen.text((x + width, y + height + 4), tile.figure, fill=FAINT, font=text, anchor="ra")
    return canvas


def tile_size(image: Image.Image) -> tuple[int, int]:
    """Enlarged by a whole factor, or reduced, to a larger side near TILE."""
    side = max(image.size)
    factor = float(max(round(TILE / side), 1)) if side <= 2 * TILE else 2 * TILE / side
    return max(round(image.width * factor), 1), max(round(image.height * factor), 1)
