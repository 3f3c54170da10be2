"""Measure which strength of non-local means and of total variation is best at each σ, and keep it as data.

    python -m snips_plugins.classical.calibrate --images KODAK

The strength is what σ is multiplied by: the h of non-local means, the weight of total variation. The best one has the
least mean squared error over crops of the pictures. Some minutes on one core.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
from scipy.optimize import minimize_scalar
from skimage import data

from snips.images import read_picture, to_gray
from snips_plugins.classical.filters import CALIBRATION, OPPONENT, Picture, nlm, rof

LEVELS = (1, 2, 5, 10, 15, 25, 50, 75, 100, 150, 255)
"""σ, in 255ths."""

Filter = Callable[[Picture, float, float], Picture]


def cut(picture: Picture, size: int) -> Picture:
    """The middle of (C, H, W)."""
    top, left = ((side - size) // 2 for side in picture.shape[1:])
    return picture[:, top : top + size, left : left + size]


def best_strength(function: Filter, pictures: Sequence[Picture], sigma: float, low: float, high: float) -> float:
    """What minimises the mean squared error at σ, to 2%; the noise is the same for every strength."""
    noise = [np.random.default_rng(i).standard_normal(p.shape) for i, p in enumerate(pictures)]

    def error(log_strength: float) -> float:
        strength = float(np.exp(log_strength))
        pairs = zip(pictures, noise, strict=True)
        return float(np.mean([np.mean((function(p + sigma * n, sigma, strength) - p) ** 2) for p, n in pairs]))

    found = minimize_scalar(error, bounds=(np.log(low), np.log(high)), method="bounded", options={"xatol": 0.02})
    return round(float(np.exp(found.x)), 3)


@click.command()
@click.option("--images", multiple=True, required=True, type=click.Path(exists=True, path_type=Path), help="Folder.")
@click.option("--size", default=128, show_default=True, help="Of the crops, in pixels.")
@click.option("--every", default=2, show_default=True, help="Take every so many-th picture.")
@click.option("--origin", default="", help="What the pictures are, to be kept with the figures.")
@click.option("--out", default=CALIBRATION, show_default="the packaged one", type=click.Path(path_type=Path))
def main(images: tuple[Path, ...], size: int, every: int, origin: str, out: Path) -> None:
    """Write the best strengths at each σ."""
    paths = sorted(p for folder in images for p in folder.iterdir() if p.suffix != ".txt")[::every]
    whole = [read_picture(p) for p in paths] + [np.moveaxis(p, -1, 0) / 255 for p in (data.coffee(), data.rocket())]
    pictures = [cut(p.astype(np.float64), size) for p in whole]
    gray = [to_gray(p)[0].astype(np.float64) for p in pictures]
    opponent = [np.einsum("oc,chw->ohw", OPPONENT, p) for p in pictures]
    cases: dict[str, tuple[Filter, Sequence[Picture], float, float]] = {
        "tv.gray": (rof, gray, 0.05, 5),
        "tv.luminance": (rof, [p[0] for p in opponent], 0.05, 5),
        "tv.chrominance": (rof, [channel for p in opponent for channel in p[1:]], 0.05, 20),
        "nlm.gray": (nlm, gray, 0.1, 2),
        "nlm.colour": (nlm, [np.moveaxis(p, 0, -1) for p in pictures], 0.1, 2),
    }
    measured: dict[str, list[float]] = {}
    for name, (function, chosen, low, high) in cases.items():
        measured[name] = [best_strength(function, chosen, level / 255, low, high) for level in LEVELS]
        click.echo(f"{name}: {measured[name]}")
    origin = f"{len(pictures)} crops of {size}×{size}: {origin}, coffee and rocket of scikit-image (CC0)"
    made = f"calibrate --size {size} --every {every}, scikit-image {version('scikit-image')}"
    out.write_text(json.dumps({"made": made, "data": origin, "sigma": [s / 255 for s in LEVELS]} | measured, indent=1))


if __name__ == "__main__":
    main()
