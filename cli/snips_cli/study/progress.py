"""Progress over the whole grid, on stderr: cells, denoiser calls, failures and time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from snips_cli.study.cells import Outcome
from snips_cli.study.survey import Cost


@contextmanager
def study_bar(cost: Cost, quiet: bool) -> Iterator[Callable[[Outcome, Cost], None]]:
    """A function to call with every cell's outcome and cost. The bar's length is the time that was estimated."""
    columns = (
        TextColumn("{task.fields[done]} of {task.fields[cells]} cells"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[where]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("study", total=cost.seconds or cost.cells, done=0, cells=cost.cells, where="")
        done = failed = 0

        def tell(outcome: Outcome, its: Cost) -> None:
            nonlocal done, failed
            done, failed = done + 1, failed + outcome.failed
            cell = outcome.cell
            where = f"{cell.prior.label} × {cell.sampler.label or cell.task.label}  σ0 {cell.sigma:.3g}"
            said = f"{where}  {failed} failed" if failed else where
            progress.update(task, advance=its.seconds if cost.seconds else 1, done=done, where=said)

        yield tell
