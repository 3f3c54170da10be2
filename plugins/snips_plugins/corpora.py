"""Pictures to train on: random crops of photographs at several scales, and the dead-leaves images of the literature."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage import io, transform

Picture = NDArray[np.uint8]

SCALES = (1.0, 0.5, 0.25)


def photographs(paths: Iterable[Path], smallest: int, scales: Sequence[float] = SCALES) -> list[Picture]:
    """Colour pictures (H, W, 3) at each scale (antialiased), those left out whose sides fall below `smallest`."""
    pictures = []
    for path in paths:
        full = np.atleast_3d(io.imread(path))[..., :3]
        full = np.broadcast_to(full, (*full.shape[:2], 3))
        for scale in scales:
            size = [round(side * scale) for side in full.shape[:2]]
            if min(size) >= smallest:
                small = full if scale == 1 else transform.resize(full, size, anti_aliasing=True, preserve_range=True)
                pictures.append(np.round(small).astype(np.uint8))
    return pictures


def dead_leaves(size: int, rng: np.random.Generator, smallest_radius: float = 1.0) -> Picture:
    """One dead-leaves picture (size, size, 3): opaque discs, radii of density ∝ r⁻³, nearer ones hiding farther ones.

    Drawn from the nearest disc to the farthest until nothing is left uncovered (Lee, Mumford and Huang, "Occlusion
    Models for Natural Images", 2001). Colours are random walks around one colour a picture.
    """
    image = np.zeros((size, size, 3))
    free = np.ones((size, size), bool)
    base, spread = rng.uniform(0.2, 0.8, 3), rng.uniform(0.05, 0.35)
    low, high = smallest_radius**-2, float(size) ** -2
    rows, columns = np.mgrid[:size, :size]
    for _ in range(20_000):
        radius = (low - rng.uniform() * (low - high)) ** -0.5
        y, x = rng.uniform(-radius, size + radius, 2)
        top, left = max(int(y - radius), 0), max(int(x - radius), 0)
        box = np.s_[top : int(y + radius) + 2, left : int(x + radius) + 2]
        disc = ((rows[box] - y) ** 2 + (columns[box] - x) ** 2 <= radius**2) & free[box]
        if disc.any():
            image[box][disc] = base + spread * rng.standard_normal() + 0.4 * spread * rng.standard_normal(3)
            free[box] &= ~disc
            if not free.any():
                break
    image[free] = base
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)


def crops(pictures: Sequence[Picture], count: int, size: int, rng: np.random.Generator) -> Picture:
    """`count` random crops (count, size, size, 3), each picture as likely as its area, half of them mirrored."""
    areas = np.array([picture.shape[0] * picture.shape[1] for picture in pictures], float)
    out = np.empty((count, size, size, 3), np.uint8)
    for row, index in enumerate(rng.choice(len(pictures), count, p=areas / areas.sum())):
        picture = pictures[index]
        top, left = (rng.integers(side - size + 1) for side in picture.shape[:2])
        crop = picture[top : top + size, left : left + size]
        out[row] = crop[:, ::-1] if rng.integers(2) else crop
    return out
