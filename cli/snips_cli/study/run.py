"""From a study to its folder: look at the whole grid, say what it costs, compute every cell that is not there yet."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from snips.devices import resolve_device
from snips.errors import InvalidValue, SnipsError
from snips_cli.messages import Stopped, say
from snips_cli.record import device_name, versions
from snips_cli.study.cells import Outcome, compute
from snips_cli.study.extra import need
from snips_cli.study.folder import StudyFolder
from snips_cli.study.grid import Cell
from snips_cli.study.merge import merge
from snips_cli.study.progress import study_bar
from snips_cli.study.record import study_record
from snips_cli.study.spec import Spec
from snips_cli.study.survey import Survey, survey
from snips_cli.study.tally import Tally

Workers = Callable[[Iterator[Cell], str], Iterator[Outcome]]
"""Computes cells on a device and yields their outcomes in any order. Takes few more cells than are under way."""


def in_this_process(cells: Iterator[Cell], device: str) -> Iterator[Outcome]:
    """One cell after another, on one thread as everywhere: the last bits depend on the number of threads."""
    with one_thread():
        for cell in cells:
            yield compute(cell, device)


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def look_at(spec: Spec, device: str, quiet: bool) -> Survey:
    """The whole grid, checked; what cannot be is said. Raises SnipsError, InvalidValue for what is to be refused."""
    with one_thread():
        known = survey(spec, device)
    problems = known.problems()
    if not quiet or spec.on_incompatible == "refuse":
        for problem in problems:
            say(problem)
    if problems and spec.on_incompatible == "refuse":
        remedy = 'on_incompatible = "skip" leaves them out'
        raise InvalidValue(f"study {spec.name}: {len(problems)} combinations cannot be (above); {remedy}")
    if not known.cost().cells:
        raise InvalidValue(f"study {spec.name}: no combination can be computed")
    return known


def announce(known: Survey, folder: StudyFolder | None, at_once: int, retry_failed: bool) -> None:
    """What the study costs, and what of it is left."""
    cost, skipped = known.cost(), sum(1 for _ in known.skipped())
    left = known.cost(pending(known, folder, retry_failed)) if folder else cost
    there = f", {cost.cells - left.cells} of them done before" if left.cells < cost.cells else ""
    without = f" ({skipped} more cannot be)" if skipped else ""
    say(
        f"study {known.grid.spec.name}: {cost.cells} cells{without}{there}; "
        f"{left.nfe:,} denoiser calls to go, about {duration(left.seconds / at_once)}"
    )


def execute(
    known: Survey,
    out: Path,
    workers: Workers,
    *,
    device: str = "auto",
    at_once: int = 1,
    retry_failed: bool = False,
    quiet: bool = False,
    said: Mapping[str, Any],
) -> Tally:
    """Compute every cell that is not in the folder yet, and put the tables together.

    Args:
        at_once: cells that the workers compute at once, for the estimated time.
        said: goes into study.json's `runs` as it is.

    Raises SnipsError; what is finished by then is kept, and the same call goes on from it.
    """
    need("pyarrow.parquet")
    folder = StudyFolder(out)
    study = study_record(known)
    folder.check(study["asked"])
    with folder.locked():
        run = {
            **said,
            "started": now(),
            "ended": None,
            "versions": versions(),
            "device": device_name(resolve_device(device)),
        }
        folder.begin(study, run)
        if not quiet:
            announce(known, folder, at_once, retry_failed)
        tally = Tally()
        try:
            with stoppable(out), study_bar(known.cost(pending(known, folder, retry_failed)), quiet) as tell:
                for outcome in workers(pending(known, folder, retry_failed), device):
                    started = time.perf_counter()
                    folder.land(outcome)
                    tally = tally.add(outcome, time.perf_counter() - started)
                    tell(outcome, known.cost_of(outcome.cell))
        except BaseException:
            with suppress(SnipsError):
                merge(folder)
            raise
        merge(folder)
        folder.ended(run | {"ended": now(), "seconds": tally.shares()})
    return tally


def pending(known: Survey, folder: StudyFolder, retry_failed: bool) -> Iterator[Cell]:
    """The cells still to be computed."""
    for cell in known.possible():
        if not folder.has(cell.id) and (retry_failed or not folder.has_failed(cell.id)):
            yield cell


@contextmanager
def stoppable(out: Path) -> Iterator[None]:
    """Ctrl-C and SIGTERM stop the study between two moves; what is finished is kept, and said."""

    def stop(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if main else None
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stopped:
        code = stopped.code if isinstance(stopped, SystemExit) and isinstance(stopped.code, int) else 130
        raise Stopped(f"stopped; {out} keeps every finished cell, and the same command goes on", code) from stopped
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def duration(seconds: float) -> str:
    """In the two units that matter."""
    minutes, hours = seconds / 60, seconds / 3600
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.0f} s"
