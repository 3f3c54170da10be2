"""A look at the whole grid before anything runs: every prior is loaded, every combination planned, a call timed."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from snips.errors import InvalidValue, OptionError, SnipsError, SnipsWarning, UnknownName
from snips.job import Job
from snips.plugins import in_one_line, registry
from snips.tweedie import denoise
from snips_cli.cases import taken_channels
from snips_cli.loading import Parts
from snips_cli.messages import one_line
from snips_cli.parts import as_dict
from snips_cli.record import weights_hash
from snips_cli.study import metrics
from snips_cli.study.cells import Timed, cell_case, cell_parts
from snips_cli.study.grid import Cell, Grid, Setting, prints_of, samplers_for
from snips_cli.study.pictures import Image, find_images
from snips_cli.study.spec import Spec
from snips_cli.timing import synchronize

LONG = 0.5
"""Seconds of a call that need no second one to be known."""


@dataclass(frozen=True)
class Plan:
    """What is known of a setting beforehand."""

    nfe: int = 0
    """Denoiser calls a sample."""
    seconds: float = 0.0
    """Of one call for one sample, about."""
    reason: str = ""
    """Why it cannot be."""
    kind: str = ""
    """Of the error."""


@dataclass(frozen=True)
class Cost:
    """Of cells: how many, denoiser calls in all, seconds of these by one worker, about."""

    cells: int = 0
    nfe: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.cells + other.cells, self.nfe + other.nfe, self.seconds + other.seconds)


@dataclass(frozen=True)
class Survey:
    """The grid, and what is known of every setting in it."""

    grid: Grid
    plans: Mapping[tuple[Any, ...], Plan]
    priors: tuple[dict[str, Any], ...]
    """What study.json says of each prior."""

    def plan(self, cell: Cell) -> Plan:
        return self.plans[cell.setting.key]

    def possible(self) -> Iterator[Cell]:
        """The cells that can be computed, in order."""
        return (cell for cell in self.grid if not self.plan(cell).reason)

    def skipped(self) -> Iterator[tuple[Cell, str]]:
        """The others, each with the reason."""
        return ((cell, self.plan(cell).reason) for cell in self.grid if self.plan(cell).reason)

    def cost(self, cells: Iterable[Cell] | None = None) -> Cost:
        """Of these cells, by default all that can be computed."""
        return sum((self.cost_of(cell) for cell in (self.possible() if cells is None else cells)), Cost())

    def cost_of(self, cell: Cell) -> Cost:
        plan = self.plan(cell)
        calls = plan.nfe * max(cell.samples, 1)
        return Cost(1, calls, calls * plan.seconds)

    def problems(self) -> list[str]:
        """The reasons, one line for all cells of the same parts and the same kind of error."""
        count: Counter[tuple[str, ...]] = Counter()
        first: dict[tuple[str, ...], str] = {}
        for cell, reason in self.skipped():
            group = (cell.prior.label, cell.task.label, cell.sampler.label, self.plan(cell).kind)
            count[group] += 1
            first.setdefault(group, reason)
        return [
            f"{' × '.join(filter(None, group[:3]))}: {number} cell{'s' if number > 1 else ''} cannot be: {first[group]}"
            for group, number in count.items()
        ]


def survey(spec: Spec, device: str) -> Survey:
    """Check all names, read all pictures, load all priors one after another, plan and time every setting.

    Raises SnipsError for what is wrong with the file: names and options that there are not, pictures that cannot be
    read. What cannot go together, and priors without their weights or libraries, are for `Survey.problems`.
    """
    spec = replace(spec, metrics=spec.metrics or metrics.DEFAULT)
    check_names(spec)
    images = tuple(find_images(spec.images))
    prints = prints_of(spec)
    look = Look(Grid(spec, images, prints), device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SnipsWarning)
        plans = {setting.key: look.at(setting, image) for setting, image in look.grid.settings()}
    priors = tuple(
        {"label": p.label, "denoiser": p.name, "options": dict(p.options), "samples": p.samples, **look.priors[p.label]}
        for p in spec.priors
    )
    prints |= {
        f"prior {p['label']}": f"{prints['prior ' + p['label']]} {p.get('weights_sha256') or ''}" for p in priors
    }
    return Survey(Grid(spec, images, prints), plans, priors)


class Look:
    """Plans settings one after another, and keeps what it learns of priors."""

    def __init__(self, grid: Grid, device: str) -> None:
        self.grid, self.device = grid, device
        self.priors: dict[str, dict[str, Any]] = {prior.label: {} for prior in grid.spec.priors}
        self.seconds: dict[tuple[str, tuple[int, int, int]], float] = {}
        """Of a call for one sample, by prior and shape of the picture."""

    def at(self, setting: Setting, image: Image) -> Plan:
        """The plan for a picture, or why there is none."""
        cell = self.grid.cell(setting.prior, setting.task, setting.sampler, setting.sigma, image, 0)
        try:
            parts = cell_parts(cell, self.device)
            if not self.priors[setting.prior.label]:
                self.priors[setting.prior.label] = describe(parts)
            job = cell_case(cell, parts, self.device).job
            place = (setting.prior.label, setting.shape)
            if place not in self.seconds:
                self.seconds[place] = seconds_of_call(job)
        except Exception as error:
            reason = str(error) if isinstance(error, SnipsError) else in_one_line(error)
            return Plan(reason=one_line(reason), kind=type(error).__name__)
        return Plan(sum(level.nfe for level in job.plan), self.seconds[place])


def describe(parts: Parts) -> dict[str, Any]:
    """What study.json says of a loaded prior."""
    assert isinstance(parts.denoiser, Timed)
    return {
        "card": as_dict(parts.registrations[0]),
        "noise_levels": asdict(parts.denoiser.noise_levels),
        "channels": list(taken_channels(parts)),
        "weights_sha256": weights_hash(parts.denoiser.denoiser),
    }


def seconds_of_call(job: Job) -> float:
    """Of the denoiser, a sample: the second of two calls, or the first if that took long."""
    rows = job.rows[: job.batch]
    x = job.observation.operator.adjoint(job.observation.rows([image for image, _ in rows]).y)
    for _ in range(2):
        started = time.perf_counter()
        denoise(job.denoiser, x, job.plan[0].sigma)
        synchronize(job.device)
        seconds = (time.perf_counter() - started) / len(rows)
        if seconds > LONG:
            break
    return seconds


def check_names(spec: Spec) -> None:
    """Raises UnknownName, OptionError or InvalidValue, saying all that are wrong."""
    metrics.check(spec.metrics)
    wrong: list[str] = []
    samplers = [sampler for task in spec.tasks for sampler in samplers_for(spec, task)]
    kinds = (("denoiser", spec.priors), ("task", spec.tasks), ("sampler", samplers))
    for kind, part in ((kind, part) for kind, parts in kinds for part in parts):
        try:
            registry().find(kind, part.name).card.parse(part.options)
        except (UnknownName, OptionError) as error:
            wrong.append(str(error))
    if wrong:
        raise InvalidValue("; ".join(dict.fromkeys(wrong)))
