"""The study file: what is compared, on what, how often. Nothing here imports torch.

samples = 8
sigmas = [0.1, "25/255"]
priors = ["ncsnv2", { denoiser = "ffdnet", options = { weights = "ffdnet_gray.pth" } }]
images = [{ from = "faces", size = 64, gray = true }]
"""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from snips.errors import InvalidValue
from snips_cli.cleansets import ENDINGS
from snips_cli.spec import file_names
from snips_cli.study.toml import choice, either, entry, flag, load, many, options, sigma, table, text, whole

BUNDLED, LEAVES = "bundled:", "dead-leaves:"
"""How sources of pictures begin that are no paths."""


@dataclass(frozen=True)
class Part:
    """A part by its name, with options, and what tables and figures call it."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    label: str = ""

    def described(self) -> str:
        """Its name and options, files without their folders."""
        return " ".join([self.name, *(f"{key}={file_names(value)}" for key, value in self.options.items())])


@dataclass(frozen=True)
class Prior(Part):
    """A denoiser."""

    name: str = entry(text, key="denoiser")
    options: Mapping[str, str] = entry(options, {}, key="options")
    label: str = entry(text, "")
    samples: int | None = entry(whole(0), None)
    """Of each picture, if not as many as in the rest of the study; 0: only its MMSE estimate."""


@dataclass(frozen=True)
class Degradation(Part):
    """A task."""

    name: str = entry(text, key="task")
    options: Mapping[str, str] = entry(options, {}, key="options")
    label: str = entry(text, "")


@dataclass(frozen=True)
class Method(Part):
    """A sampler."""

    name: str = entry(text, key="sampler")
    options: Mapping[str, str] = entry(options, {}, key="options")
    label: str = entry(text, "")


@dataclass(frozen=True)
class Images:
    """Clean pictures, prepared alike."""

    sources: tuple[str, ...] = entry(many(text), key="from")
    """Files, folders, globs, "bundled:NAME" of scikit-image, "dead-leaves:COUNT"."""
    size: int | None = entry(whole(1), None)
    """Shrunk to this smaller side; the side of dead leaves."""
    crop: int | None = entry(whole(1), None)
    """The middle square."""
    gray: bool = entry(flag, False)
    limit: int | None = entry(whole(1), None)
    """The first so many."""


@dataclass(frozen=True)
class Spec:
    """A whole study."""

    priors: tuple[Prior, ...] = entry(many(table(Prior)))
    images: tuple[Images, ...] = entry(many(table(Images)))
    sigmas: tuple[float, ...] = entry(many(sigma))
    name: str = entry(text, "")
    tasks: tuple[Degradation, ...] = entry(many(table(Degradation)), (Degradation("denoise"),))
    samplers: tuple[Method, ...] = entry(many(table(Method)), ())
    """Empty: the best for each task."""
    seeds: tuple[int, ...] = entry(many(whole(0)), (0,))
    samples: int = entry(whole(1), 8)
    """Of each picture."""
    metrics: tuple[str, ...] = entry(many(text), ())
    """Empty: those that need no download."""
    snapshots: int = entry(whole(0), 0)
    """Intermediate states of sample 0 that are kept."""
    keep_pictures: bool | int = entry(either(flag, whole(0), "true, false or a number of pictures"), True)
    """Of all images, of none, or of the first so many: tensors for the report's pictures."""
    keep_samples: int = entry(whole(0), 4)
    """Of each cell whose pictures are kept."""
    on_incompatible: str = entry(choice("skip", "refuse"), "refuse")
    out_of_range: str = entry(choice("error", "clamp", "scale"), "error")
    dtype: str = entry(choice("float32", "float64", "bfloat16", "float16"), "float32")
    batch: int | None = entry(whole(1), None)
    """Samples at once, which no result depends on."""

    def keeps(self, image_index: int) -> bool:
        """Whether pictures of this image are kept."""
        if isinstance(self.keep_pictures, bool):
            return self.keep_pictures
        return image_index < self.keep_pictures


def read_spec(path: str | Path) -> Spec:
    """A study file, its paths relative to its folder. Raises InvalidValue, naming the key."""
    path = Path(path)
    spec: Spec = table(Spec)(load(path), str(path))
    return settle(spec, path.parent, str(path), path.stem)


def settle(spec: Spec, folder: Path, where: str, name: str) -> Spec:
    """Paths made absolute, and every part with a label of its own. Raises InvalidValue for two of one label."""
    priors, tasks, samplers = (
        labelled(tuple(replace(part, options=found(part.options, folder)) for part in parts), f"{where}: {key}")
        for key, parts in (("priors", spec.priors), ("tasks", spec.tasks), ("samplers", spec.samplers))
    )
    for key, values in (("sigmas", spec.sigmas), ("seeds", spec.seeds), ("metrics", spec.metrics)):
        if len(set(values)) < len(values):
            raise InvalidValue(f"{where}: {key}: a value stands there twice")
    images = tuple(replace(one, sources=tuple(path_of(s, folder) for s in one.sources)) for one in spec.images)
    return replace(spec, name=spec.name or name, priors=priors, tasks=tasks, samplers=samplers, images=images)


def found(given: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Options whose value names a file beside the study file, or several as a,b,c, get its path."""

    def path_or_word(word: str) -> str:
        path = folder / word
        return str(path.resolve()) if path.is_file() else word

    return {key: ",".join(map(path_or_word, value.split(","))) for key, value in given.items()}


def path_of(source: str, folder: Path) -> str:
    """A source of pictures, absolute if it is a path or glob."""
    return source if source.startswith((BUNDLED, LEAVES)) else str((folder / Path(source).expanduser()).absolute())


def labelled(parts: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    """Those without a label get one: name and options, or a denoiser's name alone if no other has it."""
    often = Counter(part.name for part in parts)

    def label(part: Part) -> str:
        return part.name if isinstance(part, Prior) and often[part.name] == 1 else part.described()

    full = [replace(part, label=part.label or label(part)) for part in parts]
    for label, count in Counter(part.label for part in full).items():
        if count > 1:
            raise InvalidValue(f"{where}: two are called {label}; give each a label of its own")
    return tuple(full)


def files_of(source: str) -> list[str]:
    """The paths that a folder, a glob or a file stands for, sorted. Raises InvalidValue if there are none."""
    path = Path(source)
    if path.is_dir():
        files = [str(p) for p in sorted(path.iterdir()) if p.suffix.lower() in ENDINGS and not p.name.startswith(".")]
    else:
        files = (
            [source] if path.is_file() else sorted(p for p in glob.glob(source, recursive=True) if Path(p).is_file())
        )
    if not files:
        raise InvalidValue(f"images: no picture at {source}")
    return files
