"""Dead leaves: pictures of opaque things that hide one another, by a law that can be drawn from without end.

Lee, Mumford and Huang, "Occlusion Models for Natural Images", 2001: discs of radii of density ∝ r⁻³ at random places,
nearer ones hiding farther ones, have the scale invariance, the edges and the heavy tails of photographs. Here the discs
have colours of one palette a picture, shading and textures, and the picture is taken at twice its size, blurred and
averaged down, as a camera would.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

Picture = NDArray[np.uint8]

OVERSAMPLING = 2
DENSITY = 2.2
"""Discs a square of the smallest radius: beyond it, farther discs are hidden almost everywhere."""


@dataclass(frozen=True)
class DeadLeaves:
    """The law of dead-leaves pictures of one size.

    smallest: between which radii the smallest one of a picture is, log-uniformly, in pixels of the finished picture.
    The largest radius is the picture's size.
    """

    size: int = 64
    smallest: tuple[float, float] = (1.0, 12.0)

    def draw(self, seed: int, index: int) -> Picture:
        """The `index`-th picture (size, size, 3) of the stream that `seed` starts: always the same one."""
        rng = np.random.default_rng([seed, index])
        side = OVERSAMPLING * self.size
        labels, count = self._labels(rng, side)
        image = _paint(labels, count, rng)
        blur = OVERSAMPLING * rng.choice([0.0, rng.uniform(0, 0.8)])
        if blur:
            image = gaussian_filter(image, (blur, blur, 0), mode="nearest")
        small = image.reshape(self.size, OVERSAMPLING, self.size, OVERSAMPLING, 3).mean((1, 3))
        finished: Picture = np.round(255 * np.clip(small, 0, 1)).astype(np.uint8)
        return finished

    def _labels(self, rng: np.random.Generator, side: int) -> tuple[NDArray[np.int32], int]:
        """Which disc is seen at each pixel (side, side), and how many discs there are: the last one is the nearest."""
        low = OVERSAMPLING * np.exp(rng.uniform(*np.log(self.smallest)))
        high = OVERSAMPLING * max(self.size, self.smallest[1])
        count = int(DENSITY * (side / low) ** 2)
        r = (low**-2 - rng.uniform(size=count) * (low**-2 - high**-2)) ** -0.5
        y, x = rng.uniform(-r, side + r, (2, count))
        canvas = Image.new("I", (side, side))
        paint = ImageDraw.Draw(canvas).ellipse
        for label, box in enumerate(np.stack([x - r, y - r, x + r, y + r], 1).tolist(), 1):
            paint(box, fill=label)
        return np.asarray(canvas, np.int32), count + 1


def _paint(labels: NDArray[np.int32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Colours (side, side, 3) around [0, 1]: of its disc, shaded, with a grating or a natural texture on some."""
    side = len(labels)
    seen, at = np.unique(labels, return_inverse=True)
    n, at = len(seen), at.reshape(labels.shape)
    palette = rng.uniform(0.02, 0.98, (rng.integers(2, 7), 3))
    gray = rng.uniform() ** 0.5
    palette = gray * palette.mean(1, keepdims=True) + (1 - gray) * palette
    colour = palette[rng.integers(len(palette), size=n)] + rng.uniform(0.02, 0.2) * rng.standard_normal((n, 1))
    colour += rng.uniform(0, 0.08) * rng.standard_normal((n, 3))
    slope = rng.uniform(0, 0.6) / side * rng.standard_normal((n, 2))
    grating = np.where(rng.uniform(size=n) < 0.15, rng.uniform(0.02, 0.2, n), 0.0)
    wave = 2 * np.pi / OVERSAMPLING / np.exp(rng.uniform(np.log(3), np.log(30), n))
    angle, phase = rng.uniform(0, 2 * np.pi, (2, n))
    texture = np.where(rng.uniform(size=n) < 0.5, rng.uniform(0.0, 0.2, n) ** 1.5, 0.0)
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    shade = slope[at, 0] * (rows - side / 2) + slope[at, 1] * (columns - side / 2)
    along = wave[at] * (np.cos(angle)[at] * columns + np.sin(angle)[at] * rows)
    shade += grating[at] * np.sin(along + phase[at])
    shade += texture[at] * _natural_noise(side, rng)
    image: NDArray[np.float32] = (colour[at] + shade[..., None]).astype(np.float32)
    return image


def _natural_noise(side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A Gaussian field (side, side) of amplitude |k|^−a, a one of a few, of variance 1."""
    amplitude = _amplitude(side, float(rng.choice([0.3, 0.6, 1.0])))
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) * amplitude, (side, side))
    noise: NDArray[np.float64] = field / field.std()
    return noise


@lru_cache
def _amplitude(side: int, power: float) -> NDArray[np.float64]:
    radius = np.hypot(np.fft.fftfreq(side, 1 / side)[:, None], np.fft.rfftfreq(side, 1 / side)[None])
    amplitude: NDArray[np.float64] = np.where(radius > 0, np.maximum(radius, 1), np.inf) ** -power
    return amplitude
