"""What is said on stderr: one line a message, errors and warnings by the name of the program."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from snips.errors import SnipsError, SnipsWarning


class Stopped(SnipsError):
    """Stopped by the user or the system; the message says how to go on."""

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def one_line(text: object) -> str:
    """Everything that a message says, on one line."""
    return " ".join(str(text).split())


def say(text: str) -> None:
    """A message on stderr; results go to stdout."""
    click.echo(f"snips: {one_line(text)}", err=True)


@contextmanager
def warnings_as_lines() -> Iterator[list[str]]:
    """Each SnipsWarning becomes one line on stderr, said once; yields the list in which they are kept."""
    kept: list[str] = []
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, SnipsWarning):
            others(message, category, *where, **more)
        elif one_line(message) not in kept:
            kept.append(one_line(message))
            say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", SnipsWarning)
        warnings.showwarning = show
        yield kept
