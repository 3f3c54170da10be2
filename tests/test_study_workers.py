"""--jobs: cells in processes give the same figures, and a process that dies costs no more than the cell it was at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="needs the extra study")

from snips_cli.study.cells import Outcome, compute
from snips_cli.study.grid import Cell, Grid, prints_of
from snips_cli.study.merge import TIMES
from snips_cli.study.pictures import find_images
from snips_cli.study.spec import read_spec
from snips_cli.study.workers import TRIES, Processes, in_words
from studies import STUDY, assert_same, done, landed

pytestmark = pytest.mark.slow


def cells() -> list[Cell]:
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    spec = read_spec("study.toml")
    return list(Grid(spec, tuple(find_images(spec.images)), prints_of(spec)))


def when(condition, seconds: float = 60) -> bool:
    """Wait for it; whether it came."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(condition())


class Deadly(Cell):
    """Ends the process that receives it."""

    def __reduce__(self):
        return os._exit, (7,)


def test_in_processes_cells_are_the_same_and_one_that_kills_its_process_fails_alone(here, one_thread):
    first, second, *others = cells()
    deadly = Deadly(**vars(second))
    taken, yielded = 0, []

    def counted():
        nonlocal taken
        for cell in (first, deadly, *others[:4]):
            taken += 1
            yield cell

    for outcome in Processes(2)(counted(), "cpu"):
        yielded.append(outcome)
        assert taken <= len(yielded) + 2
    assert {outcome.cell.id for outcome in yielded} == {cell.id for cell in (first, second, *others[:4])}
    (failed,) = (outcome for outcome in yielded if outcome.failed)
    assert failed.cell.id == second.id
    assert failed.columns["error"] == f"its process died {TRIES} times, with exit code 7"
    for outcome in yielded:
        if not outcome.failed:
            here_too = compute(outcome.cell, "cpu")
            assert outcome.pictures == here_too.pictures
            assert timeless(outcome) == timeless(here_too)


def timeless(outcome: Outcome) -> list[dict[str, object]]:
    """Its columns and rows without what no two runs have in common."""
    return [{k: v for k, v in row.items() if k not in TIMES} for row in (outcome.columns, *outcome.rows)]


def test_exit_codes_in_words():
    assert "want of memory" in in_words(-signal.SIGKILL)
    assert in_words(-signal.SIGSEGV) == "by signal 11"


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="asks Linux for the children of a process")
def test_the_parent_killed_leaves_no_process_and_loses_the_cells_under_way_alone(here):
    done("--out", "reference")
    words = ["study", "run", "study.toml", "--device", "cpu", "--out", "first", "--jobs", "2"]
    program = "import sys; from snips_cli.main import main; main(sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", program, *words], stderr=subprocess.PIPE)
    assert when(lambda: len(landed("first")) >= 2), process.stderr.read()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(children) >= 2
    assert when(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    kept = landed("first")
    done("--out", "first")
    assert {id: at for id, at in landed("first").items() if id in kept} == kept
    assert_same("first", "reference")
