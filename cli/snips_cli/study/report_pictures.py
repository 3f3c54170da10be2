"""The grids of a report: what was seen, estimated and sampled, side by side for all priors; and as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from snips import metrics
from snips.images import as_image
from snips_cli.study.report_data import Group, Study, spread
from snips_cli.study.report_parts import Grid, Line, Note, Tile, sigma_text, slug

LARGEST = 256
"""Pixels of a tile's larger side at most; larger pictures are reduced."""

LINES, SAMPLES, STATES = 12, 3, 6
"""At most so many priors, samples and intermediate states in a grid."""

LEVELS = 3
"""At most so many σ0 of a task."""

TIMES = 4
"""Differences are shown so many times as large, as in the paper's Figure 12."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture of a study in one setting, and what every prior made of it."""

    task: str
    sigma: float
    image: str
    results: list[tuple[Group, str, dict[str, Tensor]]]
    """Group, cell, its pictures."""

    def title(self) -> str:
        return f"{self.image}, {self.task}, σ0 = {sigma_text(self.sigma)}"

    def name(self, what: str) -> str:
        return slug(what, self.task, f"{self.sigma:.4g}", self.image)


def shown(study: Study, denoising: bool, images: int) -> Iterator[Shown]:
    """The chosen pictures: of each task a few σ0, of each a few pictures."""
    settings = list(study.settings(denoising))
    for task in dict.fromkeys(task for task, *_ in settings):
        chosen = [(sigma, groups) for t, sigma, groups in settings if t == task]
        for sigma, groups in spread(chosen, LEVELS):
            for image in spread(study.images_kept(groups), images):
                found = [(g, *study.kept(g, image)) for g in groups]
                results = [result for result in found if result[2]][:LINES]
                if results:
                    yield Shown(task, sigma, image, results)


def left_out(study: Study, denoising: bool, chosen: Sequence[Shown]) -> list[Note]:
    """What is not shown is said."""
    settings = list(study.settings(denoising))
    total = sum(len(study.images_kept(groups)) for *_, groups in settings)
    said = f"{len(chosen)} of {total} results are shown: for each task up to {LEVELS} noise levels, and of those a few "
    said += "pictures (snips study report --pictures N shows more)."
    priors = max((len(groups) for *_, groups in settings), default=0)
    if priors > LINES:
        said += f" Of {priors} priors and samplers, the first {LINES}."
    return [Note(said)] if chosen and (len(chosen) < total or priors > LINES) else []


def outputs(of: Shown) -> Grid:
    """Figures 2 to 4, 8, 9 and 29 to 32: the truth and what was seen of it, then what each prior made of it."""
    first = of.results[0][2]
    above = [Tile(tile(first["clean"]), "clean"), Tile(tile(seen(first)), "observed", seen_figure(first))]
    lines = [Line("", above)]
    top = max((pale(p["std"]) for *_, p in of.results if "std" in p), default=1.0)
    for group, _, pictures in of.results:
        clean, hole = pictures["clean"], missing(pictures)
        where = "hole " if hole is not None else ""

        def figure(x: Tensor, clean: Tensor = clean, hole: Any = hole, where: str = where) -> str:
            return f"{where}{metrics.psnr(clean, x, hole):.1f} dB"

        tiles = [
            Tile(tile(pictures[key]), title, figure(pictures[key]))
            for key, title in (("mmse", "MMSE estimate"), ("fill", "biharmonic fill"))
            if key in pictures
        ]
        samples = kept(pictures, "samples")
        if not samples:
            above += [Tile(t.image, group.label, t.figure) for t in tiles]
            continue
        tiles += [Tile(tile(x), f"sample {k}", figure(x)) for k, x in enumerate(samples[:SAMPLES])]
        if len(samples) > 1:
            tiles.append(Tile(tile(pictures["mean"]), "mean of samples", figure(pictures["mean"])))
        if "std" in pictures:
            tiles.append(Tile(heat(pictures["std"], top), "std of samples", f"pale: {top:.2f}"))
        lines.append(Line(group.name, tiles))
    return Grid(of.name("outputs"), of.title(), lines)


def differences(of: Shown) -> Grid | None:
    """Figure 12: two samples and |difference| × 4. None if nowhere two are kept."""
    lines = []
    for group, _, pictures in of.results:
        samples = kept(pictures, "samples")
        if len(samples) > 1:
            a, b = samples[0], samples[1]
            apart = f"RMS {float((a - b).square().mean().sqrt()):.3f}"
            difference = Tile(tile((a - b).abs() * TIMES), f"|difference| × {TIMES}", apart)
            lines.append(Line(group.name, [Tile(tile(a), "sample 0"), Tile(tile(b), "sample 1"), difference]))
    return Grid(of.name("diversity"), of.title(), lines) if lines else None


def intermediate(study: Study, of: Shown) -> Grid | None:
    """Figures 7 and 33: the first sample on its way. None if no states are kept."""
    lines = []
    for group, cell, pictures in of.results:
        states = kept(pictures, "snapshots")
        if states:
            sigmas = study.folder.snapshot_sigmas(cell)
            chosen = spread(range(len(states)), STATES)
            tiles = [Tile(tile(states[k]), f"σ = {sigmas[k]:.3g}" if k < len(sigmas) else "") for k in chosen]
            lines.append(Line(group.name, tiles))
    return Grid(of.name("states"), of.title(), lines) if lines else None


def kept(pictures: dict[str, Tensor], name: str) -> list[Tensor]:
    """Pictures (C, H, W) that are kept together under a name."""
    return list(pictures[name]) if name in pictures else []


def tile(picture: Tensor) -> Image.Image:
    """(C, H, W) as it is shown: 8 bits, and of no more than LARGEST pixels a side."""
    values = picture.float().numpy()
    if len(values) not in (1, 3):
        values = values[:1]
    return reduced(as_image(values))


def reduced(image: Image.Image) -> Image.Image:
    largest = max(image.size)
    if largest <= LARGEST:
        return image
    width, height = (max(round(side * LARGEST / largest), 1) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def seen(pictures: dict[str, Tensor]) -> Tensor:
    """What was observed, as a picture; missing pixels are gray."""
    observed = pictures["observed"]
    mask = pictures.get("mask")
    return observed if mask is None else observed.where(mask.bool(), observed.new_tensor(0.5))


def missing(pictures: dict[str, Tensor]) -> Tensor | None:
    mask = pictures.get("mask")
    return None if mask is None else ~mask.bool()


def seen_figure(pictures: dict[str, Tensor]) -> str:
    hole = missing(pictures)
    if hole is not None:
        return f"{float(hole.float().mean()):.0%} missing"
    alike = pictures["observed"].shape == pictures["clean"].shape
    return f"{metrics.psnr(pictures['clean'], pictures['observed']):.1f} dB" if alike else ""


def pale(std: Tensor) -> float:
    """The standard deviation that one pixel in a hundred exceeds."""
    return max(float(np.quantile(std.mean(0).numpy(), 0.99)), 1e-6)


def heat(std: Tensor, top: float) -> Image.Image:
    """A standard deviation, mean over channels, from black (0) to pale (`top` and above)."""
    from matplotlib import colormaps

    colours = colormaps["magma"](np.clip(std.mean(0).numpy() / top, 0, 1))[..., :3]
    return reduced(Image.fromarray(np.rint(255 * colours).astype(np.uint8)))


# As a file

MARGIN, GAP, TEXT, TITLE = 20, 12, 15, 20
PAPER, PEN, FAINT = "#ffffff", "#1a1a1a", "#6b6b6b"
SIDE = 192
"""Pixels of a tile's larger side in a file, about: small pictures are enlarged by a whole factor."""


def as_picture(grid: Grid) -> Image.Image:
    """The grid as one picture, with its texts."""
    most = max(len(line.tiles) for line in grid.lines)
    sizes = [enlarged(t.image) for line in grid.lines for t in line.tiles]
    width, height = max(w for w, _ in sizes), max(h for _, h in sizes)
    named = round(1.6 * TEXT)
    down = height + named + round(1.6 * TEXT) + GAP
    top = MARGIN + round(1.8 * TITLE)
    across = 2 * MARGIN + max(most * (width + GAP) - GAP, int(font(TITLE).getlength(grid.title)))
    canvas = Image.new("RGB", (across, top + len(grid.lines) * down - GAP + MARGIN), PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((MARGIN, MARGIN), grid.title, fill=PEN, font=font(TITLE))
    for r, line in enumerate(grid.lines):
        y = top + r * down
        pen.text((MARGIN, y), line.name, fill=PEN, font=font(TEXT))
        for c, each in enumerate(line.tiles):
            x, size = MARGIN + c * (width + GAP), enlarged(each.image)
            canvas.paste(each.image.convert("RGB").resize(size, Image.Resampling.NEAREST), (x, y + named))
            text = f"{each.title}  {each.figure}".strip()
            pen.text((x, y + named + height + 3), fitting(text, width), fill=FAINT, font=font(TEXT - 2))
    return canvas


def enlarged(image: Image.Image) -> tuple[int, int]:
    factor = max(SIDE // max(image.size), 1)
    return image.width * factor, image.height * factor


def fitting(text: str, width: int) -> str:
    """As many words as fit."""
    words = text.split(" ")
    while len(words) > 1 and font(TEXT - 2).getlength(" ".join(words)) > width:
        words.pop()
    return " ".join(words)


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """matplotlib's DejaVu Sans: Pillow's own has no Greek letters."""
    from matplotlib import font_manager

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
