"""The clean pictures of a study: found, prepared, and known by their content before anything runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from snips.errors import ImageError, InvalidValue, did_you_mean
from snips.images import Picture, bundled_picture, read_picture
from snips_cli.cases import BUNDLED as ASTRONAUT
from snips_cli.cases import fitted
from snips_cli.request import Request
from snips_cli.study.spec import BUNDLED, LEAVES, Images, files_of

SCIKIT_IMAGE = ("brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "moon", "page", "rocket", "text")
"""Pictures that come with scikit-image."""

READ = 4
"""Pictures that a process keeps: the cells of one picture and the same parts follow each other."""

LEAVES_SIDE = 64
"""Pixels of a dead-leaves picture's side if no size is given."""

LEAVES_SEED = 77_001
"""Of their stream, which is none that a network is likely to be trained on."""


@dataclass(frozen=True)
class Image:
    """A picture of a study, without its pixels: any process that reads it finds the same ones."""

    name: str
    index: int
    source: str
    """A path, "bundled:NAME", or "dead-leaves:NUMBER"."""
    size: int | None
    crop: int | None
    gray: bool
    shape: tuple[int, int, int] = (0, 0, 0)
    """(C, H, W)."""
    sha256: str = ""
    """Of its pixels as float32, prepared."""

    def read(self) -> Picture:
        """The pixels (C, H, W). Raises ImageError if they are not those that the study was planned with."""
        return _read(self).copy()

    def prepared(self) -> Picture:
        request = Request(simulate=True, gray=self.gray, crop=self.crop, size=self.size)
        return fitted(raw(self.source, self.size), self.source, request)


@lru_cache(READ)
def _read(image: Image) -> Picture:
    picture = image.prepared()
    if sha256(picture) != image.sha256:
        raise ImageError(f"{image.source}: its pixels are not those that the study was planned with")
    return picture


def find_images(wanted: tuple[Images, ...]) -> list[Image]:
    """Every picture, read once, names unique. Raises ImageError, or InvalidValue for a source that has none."""
    found: list[Image] = []
    taken: set[str] = set()
    for group in wanted:
        sources = [one for source in group.sources for one in expand(source)]
        for source in sources[: group.limit]:
            name = free(stem(source), taken)
            image = Image(name, len(found), source, group.size, group.crop, group.gray)
            picture = image.prepared()
            found.append(replace(image, shape=picture.shape, sha256=sha256(picture)))
    return found


def expand(source: str) -> Iterator[str]:
    """The single pictures of a source."""
    if source.startswith(LEAVES):
        count = source.removeprefix(LEAVES)
        if not (count.isdecimal() and int(count)):
            raise InvalidValue(f"images: {source}: say how many, as in {LEAVES}8")
        yield from (f"{LEAVES}{number}" for number in range(int(count)))
    elif source.startswith(BUNDLED):
        name = source.removeprefix(BUNDLED)
        if name not in (ASTRONAUT, *SCIKIT_IMAGE):
            hint = did_you_mean(name, (ASTRONAUT, *SCIKIT_IMAGE)) or f"one of {', '.join((ASTRONAUT, *SCIKIT_IMAGE))}"
            raise InvalidValue(f"images: {source}: no such picture; {hint}")
        yield source
    else:
        yield from files_of(source)


def raw(source: str, size: int | None) -> Picture:
    """The pixels of one source, as they are."""
    if source.startswith(LEAVES):
        from snips.training.leaves import DeadLeaves

        number = int(source.removeprefix(LEAVES))
        leaves = DeadLeaves(size or LEAVES_SIDE).draw(LEAVES_SEED, number)
        return np.ascontiguousarray(np.moveaxis(leaves, -1, 0), dtype=np.float32) / np.float32(255)
    if source == BUNDLED + ASTRONAUT:
        return bundled_picture()
    if source.startswith(BUNDLED):
        from skimage import data

        picture = np.atleast_3d(getattr(data, source.removeprefix(BUNDLED))())
        return np.ascontiguousarray(np.moveaxis(picture, -1, 0), dtype=np.float32) / np.float32(255)
    return read_picture(source)


def stem(source: str) -> str:
    """What the picture is called, if the name is free."""
    if source.startswith(LEAVES):
        return f"dead-leaves-{int(source.removeprefix(LEAVES)):03d}"
    return source.removeprefix(BUNDLED) if source.startswith(BUNDLED) else Path(source).stem or "picture"


def free(name: str, taken: set[str]) -> str:
    """The name, or name-2, name-3, …, which is then taken."""
    number = 1
    while (unique := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    taken.add(unique)
    return unique


def sha256(picture: Picture) -> str:
    """Of shape and values."""
    values = np.ascontiguousarray(picture, dtype=np.float32)
    return hashlib.sha256(str(values.shape).encode() + values.tobytes()).hexdigest()
