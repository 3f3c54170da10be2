"""All combinations of a study, each a cell: `snips run --simulate` of one picture, which any process can compute."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from snips.plugins import best_sampler
from snips_cli.request import Request, sha256
from snips_cli.study.pictures import Image
from snips_cli.study.spec import Degradation, Method, Part, Prior, Spec

NOTHING = Method("")
"""The sampler of a prior of which only the MMSE estimate is asked."""


class Setting(NamedTuple):
    """What the plan of a cell follows from, and its cost."""

    prior: Prior
    task: Degradation
    sampler: Method
    sigma: float
    shape: tuple[int, int, int]

    @property
    def key(self) -> tuple[Any, ...]:
        return self.prior.label, self.task.label, self.sampler.label, self.sigma, self.shape


@dataclass(frozen=True)
class Cell:
    """One picture, degraded in one way, restored by one prior and one sampler."""

    id: str
    """16 hexadecimal digits, a function of all that the result depends on."""
    prior: Prior
    task: Degradation
    sampler: Method
    sigma: float
    image: Image
    seed: int
    """Of the study."""
    samples: int
    keep_pictures: bool
    spec: Spec

    @property
    def setting(self) -> Setting:
        return Setting(self.prior, self.task, self.sampler, self.sigma, self.image.shape)

    @property
    def own_seed(self) -> int:
        """Of all random numbers: a function of the study's seed and the picture's content alone.

        So priors, samplers and noise levels are compared on the same noise and the same random mask.
        """
        return int(hashlib.sha256(f"{self.seed} {self.image.sha256}".encode()).hexdigest()[:8], 16)

    def facts(self) -> dict[str, Any]:
        """What is known of it before it is computed, as columns of cells.parquet."""
        channels, height, width = self.image.shape
        size = {"channels": channels, "height": height, "width": width}
        drawn = {"samples": self.samples, "cell_seed": self.own_seed, "nfe": 0, "outside": 0}
        return self.keys() | size | drawn | {"dtype": self.spec.dtype, "device": "", "pictures": False}

    def keys(self) -> dict[str, Any]:
        """The columns that say which cell this is."""
        parts = (("label", "denoiser", self.prior), ("task_label", "task", self.task))
        named: dict[str, Any] = {}
        for label, kind, part in (*parts, ("sampler_label", "sampler", self.sampler)):
            options = json.dumps(dict(sorted(part.options.items())), ensure_ascii=False) if part.name else ""
            named |= {label: part.label, kind: part.name, f"{kind}_options": options}
        place = {"sigma": self.sigma, "image": self.image.name, "image_index": self.image.index, "seed": self.seed}
        return {"cell": self.id, **named, **place}

    def request(self, device: str) -> Request:
        """The same as `snips run` would have it."""
        return Request(
            images=(self.image.source,),
            denoiser=self.prior.name,
            denoiser_options=self.prior.options,
            task=self.task.name,
            task_options=self.task.options,
            sampler=self.sampler.name or best_sampler(self.task.name),
            sampler_options=self.sampler.options,
            sigma=repr(self.sigma),
            samples=max(self.samples, 1),
            seed=self.own_seed,
            simulate=True,
            gray=self.image.gray,
            crop=self.image.crop,
            size=self.image.size,
            device=device,
            dtype=self.spec.dtype,
            out_of_range=self.spec.out_of_range,
            snapshots=self.spec.snapshots if self.keep_pictures else 0,
            batch=self.spec.batch,
        )


@dataclass(frozen=True)
class Grid:
    """The cells in order: prior, task, sampler, image, σ0, seed, the last varying fastest; never all in memory."""

    spec: Spec
    images: tuple[Image, ...]
    prints: Mapping[str, str]
    """What each part is, by the name of its field and its label: what a cell's id has of it."""

    def __iter__(self) -> Iterator[Cell]:
        for prior, task, sampler in self.parts():
            for image in self.images:
                for sigma in self.spec.sigmas:
                    for seed in self.spec.seeds:
                        yield self.cell(prior, task, sampler, sigma, image, seed)

    def __len__(self) -> int:
        return len(list(self.parts())) * len(self.spec.sigmas) * len(self.images) * len(self.spec.seeds)

    def parts(self) -> Iterator[tuple[Prior, Degradation, Method]]:
        for prior in self.spec.priors:
            for task in self.spec.tasks:
                for sampler in (NOTHING,) if prior.samples == 0 else samplers_for(self.spec, task):
                    yield prior, task, sampler

    def samplers(self) -> list[Method]:
        """Every sampler once."""
        return list({sampler.label: sampler for _, _, sampler in self.parts() if sampler.name}.values())

    def settings(self) -> Iterator[tuple[Setting, Image]]:
        """Every setting once, with the first picture that has it."""
        first: dict[tuple[int, int, int], Image] = {}
        for image in self.images:
            first.setdefault(image.shape, image)
        for prior, task, sampler in self.parts():
            for sigma in self.spec.sigmas:
                for shape, image in first.items():
                    yield Setting(prior, task, sampler, sigma, shape), image

    def cell(self, prior: Prior, task: Degradation, sampler: Method, sigma: float, image: Image, seed: int) -> Cell:
        spec = self.spec
        samples = spec.samples if prior.samples is None else prior.samples
        keeps = spec.keeps(image.index)
        parts = [self.prints[key] for key in (f"prior {prior.label}", f"task {task.label}", f"sampler {sampler.label}")]
        picture = [image.name, image.sha256]
        drawn = [samples, spec.dtype, spec.out_of_range]
        kept = [spec.metrics, keeps and [spec.snapshots, spec.keep_samples]]
        result = json.dumps([parts, sigma, picture, seed, drawn, kept])
        id = hashlib.sha256(result.encode()).hexdigest()[:16]
        return Cell(id, prior, task, sampler, sigma, image, seed, samples, keeps, spec)


def samplers_for(spec: Spec, task: Degradation) -> tuple[Method, ...]:
    """Those of the study, or the best for the task."""
    best = best_sampler(task.name) if not spec.samplers else ""
    return spec.samplers or (Method(best, label=best),)


def prints_of(spec: Spec) -> dict[str, str]:
    """Name and options of every part, files by their content: what the study is, wherever it lies."""
    samplers = {sampler.label: sampler for task in spec.tasks for sampler in (*samplers_for(spec, task), NOTHING)}
    kinds = (("prior", spec.priors), ("task", spec.tasks), ("sampler", samplers.values()))
    return {f"{kind} {part.label}": fingerprint(part) for kind, parts in kinds for part in parts}


def fingerprint(part: Part) -> str:
    return " ".join([part.name, *(f"{key}={content(value)}" for key, value in sorted(part.options.items()))])


@cache
def content(value: str) -> str:
    """The value, files in it (several as a,b,c) by their SHA-256, in short."""
    words = value.split(",")
    return ",".join(f"sha256:{sha256(word)[:16]}" if Path(word).is_file() else word for word in words)
