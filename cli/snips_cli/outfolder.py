"""A run's folder: there whole or not at all. Until it is whole, its state lies beside it in a hidden folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snips.errors import CheckpointError, OutputError
from snips.files import new_file
from snips_cli.jsons import dumps, plain
from snips_cli.request import differences

RECORD = "run.json"


@dataclass(frozen=True)
class OutFolder:
    """`out`, and `.out.partial` beside it while the run lasts."""

    out: Path

    @property
    def partial(self) -> Path:
        return self.out.parent / f".{self.out.name}.partial"

    @property
    def result(self) -> Path:
        """Where the finished folder is put together."""
        return self.partial / "result"

    @property
    def request(self) -> Path:
        return self.partial / "request.json"

    def checkpoint(self, name: str) -> Path:
        """The file in which the samples of a picture are saved."""
        return self.partial / f"{name}.safetensors"

    def check(self, resume: bool, overwrite: bool) -> None:
        """Raises OutputError if this folder cannot, or must not, be written. Writes nothing."""
        if os.path.lexists(self.out):
            if not overwrite:
                raise OutputError(f"{self.out} exists; choose another --out, or --overwrite replaces it")
            if not self.out.is_dir() or (any(self.out.iterdir()) and not (self.out / RECORD).is_file()):
                raise OutputError(f"{self.out} is no run's folder (no {RECORD} in it); choose another --out")
        if self.partial.exists() and not (resume or overwrite):
            raise OutputError(
                f"{self.partial} holds an unfinished run; --resume goes on with it, --overwrite starts afresh"
            )
        if self.out.name in ("", ".."):
            raise OutputError(f"--out {self.out} names no folder of its own; choose a name")
        ancestor = next(folder for folder in self.out.parents if folder.exists())
        if not ancestor.is_dir() or not os.access(ancestor, os.W_OK | os.X_OK):
            raise OutputError(f"{self.out} cannot be written: {ancestor} is no folder that you can write to")

    def begin(self, identity: Mapping[str, Any], resume: bool) -> None:
        """Make the hidden folder, or go on with the one that is there.

        Raises CheckpointError if that is of another request, saying what differs, and OutputError.
        """
        identity = plain(identity)
        if self.partial.exists() and not resume:
            with self.writing():
                shutil.rmtree(self.partial)
        if self.request.exists():
            self.compare(read_json(self.request), identity)
        with self.writing():
            self.partial.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.result, ignore_errors=True)
            self.result.mkdir()
        if not self.request.exists():
            with new_file(self.request) as hidden:
                hidden.write_text(dumps(identity))

    def compare(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Raises CheckpointError naming what differs."""
        different = differences(before, plain(now))
        if different:
            raise CheckpointError(
                f"--resume: {self.out} was begun with another request: {'; '.join(different)}; "
                "ask for the same, or start afresh with --overwrite"
            )

    def commit(self) -> None:
        """The finished folder takes its place. Raises OutputError."""
        with self.writing():
            if self.out.exists():
                os.rename(self.out, self.partial / "replaced")
            os.rename(self.result, self.out)
        self.discard()

    def discard(self) -> None:
        shutil.rmtree(self.partial, ignore_errors=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What the system refuses becomes one line."""
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write {self.out}: {error.strerror or error}") from error


def read_json(path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); start afresh with --overwrite") from error
    return data


def free_name(folder: Path, name: str) -> Path:
    """folder/name, or name-2, name-3, … whichever is not taken, by a finished run or an unfinished one."""
    number = 1
    while True:
        out = folder / (name if number == 1 else f"{name}-{number}")
        if not os.path.lexists(out) and not OutFolder(out).partial.exists():
            return out
        number += 1
