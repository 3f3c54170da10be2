"""--jobs: cells in several processes of this machine, each of which loads a denoiser once. A dead one is replaced."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from snips_cli.study.cells import Outcome, failure
from snips_cli.study.grid import Cell

TRIES = 2
"""How often a cell is begun whose process dies, before it counts as failed."""


@dataclass(eq=False)
class Worker:
    """A process, the pipe to it, and the cell it is at."""

    process: BaseProcess
    pipe: Connection
    cell: Cell | None = None

    @classmethod
    def start(cls, device: str) -> Worker:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, device), daemon=True)
        process.start()
        theirs.close()
        return cls(process, ours)

    def give(self, cell: Cell) -> None:
        self.cell = cell
        with suppress(OSError):  # that it died is seen when it is asked for the outcome
            self.pipe.send(cell)

    def take(self) -> Outcome | None:
        """The outcome of its cell; None if the process is dead."""
        try:
            outcome: Outcome = self.pipe.recv()
        except (EOFError, OSError):
            return None
        self.cell = None
        return outcome

    def stop(self) -> int | None:
        """End the process; its exit code, its own where it is dead already."""
        self.pipe.close()
        self.process.join(0.2 if self.cell else 0)
        if self.process.is_alive():
            self.process.terminate()
        self.process.join()
        return self.process.exitcode


def serve(pipe: Connection, device: str) -> None:
    """In the process: compute what comes, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    import torch

    from snips_cli.study.cells import compute

    torch.set_num_threads(1)
    with suppress(EOFError, OSError):
        while True:
            pipe.send(compute(pipe.recv(), device))


@dataclass(frozen=True)
class Processes:
    """Computes cells in `jobs` processes."""

    jobs: int

    def __call__(self, cells: Iterator[Cell], device: str) -> Iterator[Outcome]:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # for libraries of theirs that count threads when loaded
        crew: set[Worker] = set()
        deaths: Counter[str] = Counter()

        def begin(cell: Cell | None, worker: Worker | None) -> None:
            """Give the cell, if there is one, to this worker or to a new one."""
            if cell is not None:
                worker = worker or Worker.start(device)
                crew.add(worker)
                worker.give(cell)

        try:
            for first in islice(cells, self.jobs):
                begin(first, None)
            while busy := {worker.pipe: worker for worker in crew if worker.cell}:
                for worker in (busy[pipe] for pipe in wait(list(busy)) if isinstance(pipe, Connection)):
                    cell, outcome = worker.cell, worker.take()
                    assert cell is not None
                    if outcome is not None:
                        begin(next(cells, None), worker)
                        yield outcome
                        continue
                    crew.remove(worker)
                    code = worker.stop()
                    deaths[cell.id] += 1
                    if deaths[cell.id] < TRIES:
                        begin(cell, None)
                    else:
                        begin(next(cells, None), None)
                        yield failure(cell, f"its process died {TRIES} times, {in_words(code)}")
        finally:
            for worker in crew:
                worker.stop()


def in_words(code: int | None) -> str:
    """What an exit code says."""
    if code == -signal.SIGKILL:
        return "killed by the system, as it does for want of memory"
    return f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
