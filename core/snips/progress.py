"""A progress bar on stderr: steps, denoiser calls, rate and time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from snips.walk import Step


@contextmanager
def progress_bar(label: str = "sampling") -> Iterator[Callable[[Step], None]]:
    """A function to call with every step."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(show_speed=True),
        TextColumn("{task.fields[where]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(label, total=None, where="")

        def tell(step: Step) -> None:
            rate = progress.tasks[0].speed
            speed = f"{rate * len(step.rows):.0f} rows/s" if rate else ""
            where = f"σ {step.sigma:.3f}  NFE {step.nfe}  {speed}"
            progress.update(task, total=step.total, completed=step.index + 1, where=where)

        yield tell
