"""From a request to observed pictures, each with its run settled and checked, before the first denoiser call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from snips.cards import DenoiserCard
from snips.errors import ImageError, InvalidValue
from snips.images import Picture, bundled_picture, read_picture, read_values, to_gray
from snips.interfaces import Operator, SpectralOperator
from snips.job import Job, prepare
from snips.noise_level import estimate_sigma
from snips.observation import Mask, Observation
from snips.tasks import picture_shape, simulate
from snips_cli.loading import Parts
from snips_cli.messages import say
from snips_cli.outfolder import RECORD
from snips_cli.parts import channels_in_words
from snips_cli.request import Request

BUNDLED = "astronaut"


@dataclass(frozen=True, eq=False)
class Case:
    """One picture to be restored."""

    name: str
    source: str
    """The file, or what the bundled picture is."""
    seed: int
    clean: Tensor | None
    """(C, H, W), if it is known."""
    observation: Observation
    job: Job
    """The run, settled and checked."""

    @property
    def observed(self) -> Tensor | None:
        """The mask, True where a pixel is observed; None where all are."""
        operator = self.observation.operator
        return operator.mask.cpu() if isinstance(operator, Mask) else None

    @property
    def seen(self) -> Tensor:
        """y as a picture: zeros where pixels are missing, Hᵀ y/‖H‖² where y is none."""
        y, operator = self.observation.y, self.observation.operator
        if self.observed is not None:
            return torch.where(self.observed, y, 0)
        if y.shape[1] > 1 or self.observation.image_shape[1] == 1 or not isinstance(operator, SpectralOperator):
            return y
        return operator.adjoint(y[None])[0] / float(operator.singular_values.max()) ** 2


def make_cases(request: Request, parts: Parts) -> list[Case]:
    """Every picture read, degraded if it is clean, and checked against the parts. Raises SnipsError of many kinds."""
    sigma = request.noise_level()
    named = list(read_pictures(request, parts))
    return [make_case(request, parts, sigma, index, *picture) for index, picture in enumerate(named)]


def make_case(
    request: Request, parts: Parts, sigma: float | None, index: int, name: str, source: str, picture: Picture
) -> Case:
    """One picture; sigma is None if it is to be estimated."""
    seed = image_seed(request.seed, index)
    x = torch.from_numpy(picture)
    given = (x.shape[0], x.shape[1], x.shape[2])
    shape = given if request.simulated else picture_shape(parts.task, given)
    check_channels(source, shape[0], parts)
    operator = parts.task.operator(shape, seed)
    if sigma is None:
        sigma = estimated(source, picture, operator, parts)
    observation = simulate(x, operator, sigma, seed) if request.simulated else Observation(x, sigma, operator)
    job = prepare(observation, parts.denoiser, parts.sampler, **settings(request, parts, seed))
    return Case(name, source, seed, x if request.simulated else None, observation, job)


def settings(request: Request, parts: Parts, seed: int) -> dict[str, Any]:
    """The keywords that `snips.sample` and the settling of its job share."""
    return {
        "samples": request.samples,
        "seed": seed,
        "batch": request.batch,
        "device": parts.device,
        "dtype": request.dtype,
        "compile": request.compile,
        "out_of_range": request.out_of_range,
    }


def image_seed(seed: int, index: int) -> int:
    """The seed of a run's index-th picture: the run's own for the first, so that one picture alone is as in Python."""
    if index == 0:
        return seed
    return int(np.random.SeedSequence(seed, spawn_key=(2, index)).generate_state(1, np.uint32)[0])


def read_pictures(request: Request, parts: Parts) -> Iterator[tuple[str, str, Picture]]:
    """(name, source, picture) of every picture asked for, names unique; without any, the bundled one."""
    if not request.images:
        picture, source = bundled_picture(), "astronaut of scikit-image, NASA, public domain"
        if taken_channels(parts) == (1,):
            picture = to_gray(picture)
        yield BUNDLED, source, fitted(picture, source, request)
    names = [RECORD]
    measured = not request.simulated and getattr(parts.task, "measurements", False)
    for path in request.images:
        stem = Path(path).stem or "picture"
        name = next(n for n in (stem, *(f"{stem}-{k}" for k in range(2, len(request.images) + 3))) if n not in names)
        names.append(name)
        yield name, path, as_measured(path, request) if measured else fitted(read_picture(path), path, request)


def as_measured(path: str, request: Request) -> Picture:
    """What was measured, which is no picture. Raises ImageError, and InvalidValue for what is done to pictures only."""
    if request.gray or request.size is not None or request.crop is not None:
        raise InvalidValue(f"{path} holds measurements; --gray, --size and --crop are for pictures")
    return read_values(path)


def fitted(picture: Picture, source: str, request: Request) -> Picture:
    """Gray, shrunk and cropped as asked. Raises ImageError or InvalidValue."""
    if request.gray:
        picture = to_gray(picture)
    smaller = min(picture.shape[1:])
    if request.size is not None:
        if not request.simulated:
            raise InvalidValue("--size changes the noise of an observed picture; it is for clean ones (--simulate)")
        if request.size > smaller:
            raise InvalidValue(f"--size {request.size}: {source} has only {smaller} pixels on its smaller side")
        picture = shrunk(picture, request.size / smaller)
        smaller = min(picture.shape[1:])
    if request.crop is not None:
        if request.crop > smaller:
            raise InvalidValue(f"--crop {request.crop}: {source} has only {smaller} pixels on its smaller side")
        top, left = ((side - request.crop) // 2 for side in picture.shape[1:])
        picture = picture[:, top : top + request.crop, left : left + request.crop]
    return np.ascontiguousarray(picture)


def shrunk(picture: Picture, factor: float) -> Picture:
    """Smaller by averaging over areas."""
    width, height = (round(side * factor) for side in picture.shape[:0:-1])
    resized = [Image.fromarray(channel).resize((width, height), Image.Resampling.BOX) for channel in picture]
    return np.stack([np.asarray(channel, dtype=np.float32) for channel in resized])


def taken_channels(parts: Parts) -> tuple[int, ...]:
    """The numbers of channels the denoiser takes, empty for any: what the loaded one says, else its card."""
    card = parts.registrations[0].card
    assert isinstance(card, DenoiserCard)
    channels = getattr(parts.denoiser, "channels", None)
    if channels is None:
        return card.channels
    return (channels,) if isinstance(channels, int) else tuple(channels)


def check_channels(source: str, count: int, parts: Parts) -> None:
    """Raises ImageError if the denoiser does not take pictures of so many channels."""
    taken, name = taken_channels(parts), parts.registrations[0].card.name
    if not taken or count in taken:
        return
    kind = "gray" if count == 1 else "colour"
    remedy = "--gray makes it gray" if 1 in taken else "`snips denoisers` lists those for gray pictures"
    raise ImageError(f"{source} is a {kind} picture, and denoiser {name} takes {channels_in_words(taken)}; {remedy}")


def estimated(source: str, picture: Picture, operator: Operator, parts: Parts) -> float:
    """σ0 from an observed picture, and said. Raises InvalidValue if it cannot be a noise level."""
    if getattr(parts.task, "measurements", False):
        raise InvalidValue(f"--sigma auto goes by the pixels of a picture, and {source} is none; give --sigma")
    sigma = estimate_sigma(picture, operator.mask if isinstance(operator, Mask) else None)
    if not 0 < sigma <= 1:
        raise InvalidValue(f"--sigma auto finds σ = {sigma:.3g} in {source}, which is no noise to remove; give --sigma")
    say(f"{source}: σ0 estimated as {sigma:.4f} = {255 * sigma:.1f}/255")
    return sigma
