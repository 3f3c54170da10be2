"""Sets of clean pictures to measure denoisers on: folders, or what scikit-image brings along."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snips.errors import ImageError, InvalidValue

if TYPE_CHECKING:
    from torch import Tensor

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".npy"}

BUNDLED = {"scikit-image, gray": ("camera", "coins"), "scikit-image, colour": ("astronaut", "chelsea")}
"""Pictures of scikit-image on which none of the packaged denoisers was trained."""


@dataclass(frozen=True)
class Clean:
    """One picture (C, H, W) in [0, 1], and its place in its set, which its noise depends on."""

    index: int
    name: str
    x: Tensor


@dataclass(frozen=True)
class CleanSet:
    """Pictures that are all gray or all colour."""

    name: str
    pictures: tuple[Clean, ...]

    @property
    def channels(self) -> int:
        return len(self.pictures[0].x)


def read_sets(folders: Sequence[str], every: int = 1, crop: int | None = None, gray: bool = False) -> list[CleanSet]:
    """The pictures of each folder, by name; of a folder with both kinds, the gray and the colour ones apart.

    Args:
        folders: paths; none for the bundled sets.
        every: of a sorted folder only each so-manieth picture, from the first on.
        crop: the middle of each picture, so many pixels a side.
        gray: make them gray.

    Raises ImageError for a folder without pictures or one that cannot be read, InvalidValue if one is too small.
    """
    sets: list[CleanSet] = []
    for folder in folders:
        sets += by_kind(Path(folder).name or folder, list(from_folder(Path(folder), every, gray)))
    if not folders:
        for name, members in BUNDLED.items():
            sets += by_kind(name, list(from_skimage(members, every, gray)))
    return [CleanSet(s.name, tuple(middle(p, crop) for p in s.pictures)) for s in sets] if crop else sets


def from_folder(folder: Path, every: int, gray: bool) -> Iterable[Clean]:
    import torch

    from snips.images import read_picture, to_gray

    if not folder.is_dir():
        raise ImageError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'} of pictures")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not paths:
        raise ImageError(f"{folder}: holds no pictures ({', '.join(sorted(ENDINGS))})")
    for index in range(0, len(paths), every):
        picture = read_picture(paths[index])
        yield Clean(index, paths[index].stem, torch.from_numpy(to_gray(picture) if gray else picture))


def from_skimage(names: Sequence[str], every: int, gray: bool) -> Iterable[Clean]:
    import numpy as np
    import torch
    from skimage import data

    from snips.images import to_gray

    for index in range(0, len(names), every):
        values = np.atleast_3d(getattr(data, names[index])()) / 255
        picture = np.ascontiguousarray(np.moveaxis(values, -1, 0), dtype=np.float32)
        yield Clean(index, names[index], torch.from_numpy(to_gray(picture) if gray else picture))


def by_kind(name: str, pictures: Sequence[Clean]) -> list[CleanSet]:
    kinds = {channels: tuple(p for p in pictures if len(p.x) == channels) for channels in (1, 3)}
    found = {channels: members for channels, members in kinds.items() if members}
    suffix = {1: ", gray", 3: ", colour"} if len(found) > 1 else {1: "", 3: ""}
    return [CleanSet(name + suffix[channels], members) for channels, members in found.items()]


def middle(picture: Clean, crop: int) -> Clean:
    height, width = picture.x.shape[1:]
    if crop > min(height, width):
        raise InvalidValue(f"--crop {crop}: {picture.name} has only {min(height, width)} pixels on its smaller side")
    top, left = (height - crop) // 2, (width - crop) // 2
    return Clean(picture.index, picture.name, picture.x[:, top : top + crop, left : left + crop])
