"""What a report is made from: a study's tables, looked at group by group, and the averages of a group."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snips_cli.study.folder import StudyFolder
from snips_cli.study.metrics import DEFAULT, FEATURES

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor

Array = NDArray[np.float64]

DENOISE = "denoise"


@dataclass(frozen=True)
class Average:
    """Of the pictures that have the figure."""

    mean: float
    error: float
    """Standard error of the mean; NaN for one picture."""
    count: int

    def __bool__(self) -> bool:
        return self.count > 0


def average(values: Any) -> Average:
    """Of what is known and finite; `count` is 0 if nothing is."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    n = len(known)
    if n == 0:
        return Average(math.nan, math.nan, 0)
    return Average(float(known.mean()), float(known.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan, n)


@dataclass(frozen=True, eq=False)
class Group:
    """The finished cells of one prior and sampler at one task and σ0, over pictures and seeds."""

    task: str
    sigma: float
    label: str
    sampler: str
    """Empty for a prior of which only the MMSE estimate is taken."""
    cells: DataFrame
    rows: DataFrame

    @property
    def name(self) -> str:
        return f"{self.label} · {self.sampler}" if self.sampler else self.label

    @property
    def denoising(self) -> bool:
        return bool((self.cells["task"] == DENOISE).all())

    def of_cells(self, column: str) -> Average:
        """Of a column of cells.parquet; nothing if the study did not measure it."""
        return average(self.cells[column]) if column in self.cells else average([])

    def of_rows(self, column: str) -> Average:
        """Of a column of rows.parquet: the samples of a cell averaged first."""
        if column not in self.rows or self.rows.empty:
            return average([])
        return average(self.rows.groupby("cell", sort=False)[column].mean())

    def values(self, column: str) -> Array:
        """What is known of a column of rows.parquet."""
        return np.asarray(self.rows[column].dropna() if column in self.rows else [], dtype=np.float64)

    def mean_squared(self, column: str) -> float:
        """The mean over pictures of the squared error that a PSNR column stands for; NaN if there is none."""
        frame = self.rows if column in self.rows else self.cells
        if column not in frame:
            return math.nan
        psnr = frame[column].dropna().to_numpy(dtype=np.float64)
        return float(np.mean(10 ** (-psnr / 10))) if len(psnr) else math.nan


@dataclass(frozen=True, eq=False)
class Study:
    """A study's folder, read."""

    folder: StudyFolder
    about: dict[str, Any]
    """study.json."""
    cells: DataFrame
    rows: DataFrame

    @classmethod
    def read(cls, folder: StudyFolder) -> Study:
        return cls(folder, folder.read(), folder.cells(), folder.rows())

    @cached_property
    def finished(self) -> DataFrame:
        return self.cells[self.cells["status"] == "ok"]

    def with_status(self, status: str) -> DataFrame:
        return self.cells[self.cells["status"] == status]

    @cached_property
    def groups(self) -> list[Group]:
        """By task, σ0 (ascending), prior, sampler: in the order of the study."""
        found = []
        keys = ["task_label", "sigma", "label", "sampler_label"]
        rows = dict(list(self.rows.groupby(keys, sort=False))) if len(self.rows) else {}
        nothing = self.rows.iloc[:0]
        for key, cells in self.finished.groupby(keys, sort=False):
            task, sigma, label, sampler = key
            found.append(Group(str(task), float(sigma), str(label), str(sampler), cells, rows.get(key, nothing)))
        tasks, labels = self.tasks, self.labels
        return sorted(found, key=lambda g: (tasks.index(g.task), g.sigma, labels.index(g.label)))

    @cached_property
    def tasks(self) -> list[str]:
        """Labels, those that nothing came of left out."""
        return _in_order([t["label"] for t in self.about["tasks"]], self.finished["task_label"])

    @cached_property
    def labels(self) -> list[str]:
        return _in_order([p["label"] for p in self.about["priors"]], self.finished["label"])

    @cached_property
    def samplers(self) -> list[str]:
        """Labels; not that of priors without samples."""
        found = _in_order([s["label"] for s in self.about["samplers"]], self.finished["sampler_label"])
        return [name for name in found if name]

    def settings(self, denoising: bool) -> Iterator[tuple[str, float, list[Group]]]:
        """(task, σ0, its groups), of denoising or of the other tasks."""
        for task in self.tasks:
            for sigma in sorted({g.sigma for g in self.groups if g.task == task}):
                groups = [g for g in self.groups if g.task == task and g.sigma == sigma]
                if groups[0].denoising == denoising:
                    yield task, sigma, groups

    def metrics(self) -> list[str]:
        """The names of what was measured."""
        return list(self.about["spec"].get("metrics") or DEFAULT)

    def kept(self, group: Group, image: str) -> tuple[str, dict[str, Tensor]]:
        """The first of a group's cells of this picture, by its id, with its pictures; nothing if none are kept."""
        cells = group.cells
        ids = cells[(cells["image"] == image) & cells["pictures"].astype(bool)]["cell"]
        if ids.empty:
            return "", {}
        return str(ids.iloc[0]), self.folder.pictures(ids.iloc[0])

    def features(self, group: Group, name: str) -> dict[str, Array]:
        """Of a group's pictures, one cell each: "clean" (n, D), and "samples" and "mmse" (n, N, D) if all have them."""
        cells = group.cells.drop_duplicates("image")["cell"]
        found = (
            [self.folder.features(str(id), f"feature.{name}.") for id in cells] if name in self.kept_features else []
        )
        found = [one for one in found if "clean" in one]
        whole = {whose for whose in ("samples", "mmse") if found and all(whose in one for one in found)}
        sets = {whose: np.stack([one[whose].numpy().astype(np.float64) for one in found]) for whose in whole}
        return sets | ({"clean": np.concatenate([one["clean"].numpy() for one in found])} if found else {})

    @cached_property
    def kept_features(self) -> set[str]:
        """The names of features that the study was asked to keep."""
        return {FEATURES} if "kid" in self.metrics() else set()

    def images_kept(self, groups: Sequence[Group]) -> list[str]:
        """The names of pictures of which something is kept, in the order of the study."""
        names = {n for g in groups for n in g.cells[g.cells["pictures"].astype(bool)]["image"]}
        return [image["image"] for image in self.about["images"] if image["image"] in names]


def _in_order(declared: Sequence[str], found: Any) -> list[str]:
    """What was found, in the declared order, the rest behind it."""
    seen = list(dict.fromkeys(str(name) for name in found))
    return [*(name for name in dict.fromkeys(declared) if name in seen), *(n for n in seen if n not in declared)]


def spread(values: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the values, evenly spread, the ends among them; of one, the first."""
    if len(values) <= most:
        return list(values)
    if most == 1:
        return [values[0]]
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]
