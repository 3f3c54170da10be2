"""Which pixels are missing: bool arrays (H, W), True where a pixel is observed, from a short description."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snips.cards import number
from snips.errors import InvalidValue

Seen = NDArray[np.bool_]
Maker = Callable[[int, int, int], Seen]
"""(height, width, seed) to a mask."""

OVERLAY = "stochastic image denoising by sampling from the posterior distribution  "

EYE = (0.50, 0.36, 0.18, 0.28)
"""Centre (y, x) and size (height, width) of one eye as shares of the picture, in faces aligned as CelebA's are, cropped
square around the face."""


def parse_mask(description: str) -> Maker:
    """What makes the masks of `text`, `rows[:COUNT]`, `box[:SIDE]`, `eye`, `random[:SHARE missing]` or a picture file.

    COUNT and SIDE are in pixels. Making a mask raises InvalidValue if nothing or everything is observed.
    Raises InvalidValue for a description that is none.
    """
    kind, colon, amount = description.partition(":")
    if kind in _WITH_AMOUNT:
        maker, whole = _WITH_AMOUNT[kind]
        value = _amount(description, amount, whole) if colon else None
        return _checked(lambda height, width, seed: maker(height, width, value, seed), description)
    if description in _PLAIN:
        plain = _PLAIN[description]
        return _checked(lambda height, width, seed: plain(height, width), description)
    if kind in _PLAIN or not os.path.isfile(description):
        kinds = "text, rows[:COUNT], box[:SIDE], eye, random[:SHARE]"
        raise InvalidValue(f"mask={description}: neither {kinds} nor a picture file that is there")
    return _checked(lambda height, width, seed: file_mask(description, height, width), description)


def text_mask(height: int, width: int) -> Seen:
    """Lines of writing over the whole picture, hiding an eighth to a sixth of it."""
    from PIL import Image, ImageDraw, ImageFont

    size = max(7.0, min(height, width) / 8)
    image = Image.new("1", (width, height), 1)
    draw = ImageDraw.Draw(image)
    draw.fontmode = "1"
    font = ImageFont.load_default(size)
    repeats = 2 + int(4 * width / (size * len(OVERLAY) * 0.4))
    for line in range(1 + int(height / (1.5 * size))):
        shift = 0.6 * line * width % (size * len(OVERLAY) * 0.4)
        draw.text((-shift, (0.2 + 1.5 * line) * size), OVERLAY * repeats, fill=0, font=font)
    return np.array(image, dtype=bool)


def rows_mask(height: int, width: int, count: float | None = None, seed: int = 0) -> Seen:
    """A band of missing rows across the middle, by default a twelfth of the height."""
    missing = int(count) if count else max(round(height / 12), 1)
    top = (height - missing) // 2
    seen = np.ones((height, width), dtype=bool)
    seen[max(top, 0) : top + missing] = False
    return seen


def box_mask(height: int, width: int, side: float | None = None, seed: int = 0) -> Seen:
    """A missing square in the middle, by default a third of the smaller side."""
    missing = int(side) if side else max(round(min(height, width) / 3), 1)
    top, left = max((height - missing) // 2, 0), max((width - missing) // 2, 0)
    seen = np.ones((height, width), dtype=bool)
    seen[top : top + missing, left : left + missing] = False
    return seen


def eye_mask(height: int, width: int) -> Seen:
    """A missing box over one eye of an aligned face."""
    y, x, tall, wide = EYE
    top, left = round((y - tall / 2) * height), round((x - wide / 2) * width)
    seen = np.ones((height, width), dtype=bool)
    seen[top : top + max(round(tall * height), 1), left : left + max(round(wide * width), 1)] = False
    return seen


def random_mask(height: int, width: int, share: float | None = None, seed: int = 0) -> Seen:
    """Pixels missing at random, a share of them (by default half) exactly."""
    pixels = height * width
    missing = round((0.5 if share is None else share) * pixels)
    seen = np.ones(pixels, dtype=bool)
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    seen[random.permutation(pixels)[:missing]] = False
    return seen.reshape(height, width)


def file_mask(path: str | Path, height: int, width: int) -> Seen:
    """A picture file, bright (above one half) where a pixel is observed.

    Raises InvalidValue if it is of another size, ImageError if it cannot be read.
    """
    from snips.images import read_picture, to_gray

    bright: Seen = to_gray(read_picture(path))[0] > 0.5
    if bright.shape != (height, width):
        theirs, ours = "×".join(map(str, bright.shape[::-1])), f"{width}×{height}"
        raise InvalidValue(f"the mask {path} is {theirs} pixels, the picture {ours}; they must be of one size")
    return bright


def _amount(description: str, text: str, whole: bool) -> float:
    try:
        value = number(text)
    except (ValueError, ZeroDivisionError):
        value = float("nan")
    if whole and not (value >= 1 and value.is_integer()):
        raise InvalidValue(f"mask={description}: {text or 'nothing'} is no number of pixels, as in rows:10 or box:32")
    if not whole and not 0 <= value <= 1:
        raise InvalidValue(f"mask={description}: {text or 'nothing'} is no share of missing pixels, as in random:0.5")
    return value


def _checked(maker: Maker, description: str) -> Maker:
    def make(height: int, width: int, seed: int) -> Seen:
        seen = maker(height, width, seed)
        if not seen.any():
            raise InvalidValue(f"mask={description} hides all {height * width} pixels of the picture; hide fewer")
        if seen.all():
            raise InvalidValue(f"mask={description} hides no pixel: nothing to inpaint (denoise needs no mask)")
        return seen

    return make


_WITH_AMOUNT: dict[str, tuple[Callable[[int, int, float | None, int], Seen], bool]] = {
    "rows": (rows_mask, True),
    "box": (box_mask, True),
    "random": (random_mask, False),
}
_PLAIN: dict[str, Callable[[int, int], Seen]] = {"text": text_mask, "eye": eye_mask}
