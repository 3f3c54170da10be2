"""What `snips run` was asked for, as plain data; nothing here imports torch."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from snips.cards import number
from snips.errors import ImageError, InvalidValue

SIMULATED_SIGMA = "25/255"
"""σ0 of the noise added to a clean picture if none is given."""


@dataclass(frozen=True)
class Request:
    """Everything that the result depends on, and how it is computed."""

    images: tuple[str, ...] = ()
    denoiser: str = "drunet-small"
    denoiser_options: Mapping[str, str] = field(default_factory=dict)
    task: str = "denoise"
    task_options: Mapping[str, str] = field(default_factory=dict)
    sampler: str = "reverse-sde"
    sampler_options: Mapping[str, str] = field(default_factory=dict)
    sigma: str | None = None
    samples: int = 8
    seed: int = 0
    simulate: bool = False
    gray: bool = False
    crop: int | None = None
    size: int | None = None
    device: str = "auto"
    dtype: str = "float32"
    out_of_range: str = "error"
    snapshots: int = 0
    batch: int | None = None
    compile: bool = False

    @property
    def simulated(self) -> bool:
        """The pictures are clean, and are degraded before they are restored. Without a picture one is bundled."""
        return self.simulate or not self.images

    def noise_level(self) -> float | None:
        """σ0 as a number, or None if it is to be estimated. Raises InvalidValue."""
        if self.sigma is None and not self.simulated:
            raise InvalidValue("an observed picture needs --sigma: a number, n/255, or auto (--simulate: it is clean)")
        if self.sigma == "auto":
            if self.simulated:
                raise InvalidValue("--sigma auto estimates the noise of an observed picture; this one is simulated")
            return None
        return parse_sigma(self.sigma or SIMULATED_SIGMA)

    def identity(self) -> dict[str, Any]:
        """What must be the same for an unfinished run to go on: all but the batch size; files by their content."""
        same = asdict(self) | {"images": [f"{path} {sha256(path)[:16]}" for path in self.images]}
        del same["batch"]
        parts = (self.denoiser_options, self.task_options, self.sampler_options)
        files = {value for options in parts for value in options.values() if os.path.isfile(value)}
        return same | {"files": [f"{path} {sha256(path)[:16]}" for path in sorted(files)]}


def parse_sigma(text: str) -> float:
    """0.1 or 25/255 as a number. Raises InvalidValue."""
    try:
        sigma = number(text)
    except (ValueError, ZeroDivisionError):
        raise InvalidValue(f"--sigma {text}: not a number; say 0.1, 25/255 or auto") from None
    if not (math.isfinite(sigma) and sigma > 0):
        raise InvalidValue(f"--sigma {text}: a noise level is a positive number, such as 0.1 or 25/255")
    if sigma > 1:
        raise InvalidValue(f"--sigma {text}: over 1, and pictures lie in [0, 1]; did you mean {text}/255?")
    return sigma


def sha256(path: str | Path) -> str:
    """Of a file's content. Raises ImageError if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two identities, in words."""
    return [
        f"{key} was {before.get(key)}, now {now.get(key)}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]
