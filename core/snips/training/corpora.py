"""What denoisers learn from: crops of photographs at several scales, and dead leaves, in any proportion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from snips.errors import ImageError, InvalidValue
from snips.training.leaves import DeadLeaves

Picture = NDArray[np.uint8]

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}

SCALES = (1.0, 0.7, 0.5, 0.35)
"""Sizes at which a photograph is learned from: what is far away in one is near in another."""

BUNDLED = ("coffee", "rocket", "retina", "chelsea", "astronaut", "cat", "camera", "coins")
"""Pictures of scikit-image that can be named in place of a folder."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """Colour pictures to cut crops from.

    photographs: the scales of each, as `pyramid` makes them. leaves: the share of crops that are dead leaves, each of
    which is drawn afresh. Raises InvalidValue if there is nothing to learn from.
    """

    photographs: Sequence[Sequence[Picture]]
    leaves: float = 0.0
    areas: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.leaves <= 1:
            raise InvalidValue(f"the share of dead leaves lies in [0, 1], not {self.leaves:g}")
        if not self.photographs and self.leaves < 1:
            raise InvalidValue("nothing to learn from: give folders of pictures, or dead leaves only (--leaves 1)")
        sizes = np.array([float(scales[0][..., 0].size) for scales in self.photographs])
        object.__setattr__(self, "areas", sizes / sizes.sum() if len(sizes) else sizes)

    def crops(self, count: int, size: int, seed: int, step: int) -> Picture:
        """(count, size, size, 3): what is cut at this step depends on the seed and the step alone.

        A photograph is as likely as its area, and its scales are equally likely; half of all crops are mirrored.
        """
        rng = np.random.default_rng([seed, step])
        law = DeadLeaves(size)
        out = np.empty((count, size, size, 3), np.uint8)
        for row in range(count):
            if rng.uniform() < self.leaves:
                out[row] = law.draw(seed, step * count + row)
                continue
            scales = self.photographs[rng.choice(len(self.areas), p=self.areas)]
            picture = scales[int(rng.integers(len(scales)))]
            top, left = (rng.integers(side - size + 1) for side in picture.shape[:2])
            crop = picture[top : top + size, left : left + size]
            crop = crop[:, ::-1] if rng.integers(2) else crop
            out[row] = crop.swapaxes(0, 1) if rng.integers(4) == 0 else crop
        return out


def pyramid(picture: Image.Image, smallest: int, scales: Sequence[float] = SCALES) -> list[Picture]:
    """The picture at each scale (H, W, 3), without those whose sides fall below `smallest`."""
    full = picture.convert("RGB")
    sizes = [(round(full.width * scale), round(full.height * scale)) for scale in scales]
    return [np.asarray(full.resize(size, Image.Resampling.LANCZOS)) for size in sizes if min(size) >= smallest]


def photographs(sources: Iterable[str | Path], smallest: int, scales: Sequence[float] = SCALES) -> list[list[Picture]]:
    """The pyramids of every picture in these folders, and of scikit-image's by name (`skimage:coffee`).

    Raises ImageError for a folder without pictures, a picture that cannot be read, or one that is below `smallest`
    pixels at every scale.
    """
    pyramids = []
    for source in sources:
        for name, picture in _pictures(source):
            found = pyramid(picture, smallest, scales)
            if not found:
                size = f"{picture.width}×{picture.height}"
                raise ImageError(
                    f"{name}: {size} pixels, below the crop of {smallest} at all scales; omit it, or lower --patch"
                )
            pyramids.append(found)
    return pyramids


def _pictures(source: str | Path) -> Iterable[tuple[str, Image.Image]]:
    if str(source).startswith("skimage:"):
        from skimage import data

        name = str(source).removeprefix("skimage:")
        if name not in BUNDLED:
            raise ImageError(f"{source}: one of {', '.join(f'skimage:{known}' for known in BUNDLED)}")
        yield name, Image.fromarray(getattr(data, name)())
        return
    folder = Path(source)
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder; give a folder of pictures, or skimage:NAME")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    if not paths:
        raise ImageError(f"{folder}: holds no pictures ({', '.join(sorted(ENDINGS))})")
    for path in paths:
        try:
            with Image.open(path) as picture:
                picture.load()
                yield str(path), picture
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise ImageError(f"{path}: cannot be read as a picture ({error}); take it out of the folder") from error
