"""A study's folder: each finished cell appears in one move; tables of all cells are put together from them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snips.errors import OutputError
from snips.files import cannot_write, new_file, new_folder
from snips_cli.jsons import dumps, plain
from snips_cli.request import differences

if TYPE_CHECKING:
    import pandas
    from torch import Tensor

    from snips_cli.study.cells import Outcome

STUDY, CELL, PICTURES, LOCK = "study.json", "cell.json", "pictures.safetensors", ".lock"


@dataclass(frozen=True)
class StudyFolder:
    """`path` holds study.json, cells/, failed/, cells.parquet and rows.parquet."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> StudyFolder:
        """A study's folder. Raises OutputError if it is none."""
        folder = cls(Path(path))
        if not (folder.path / STUDY).is_file():
            raise OutputError(f"{path} is no study's folder: there is no {STUDY} in it")
        return folder

    def place(self, id: str) -> Path:
        """The folder of a finished cell."""
        return self.path / "cells" / id[:2] / id

    def failure(self, id: str) -> Path:
        """The file of a cell that failed."""
        return self.path / "failed" / f"{id}.json"

    # Reading

    def read(self) -> dict[str, Any]:
        """study.json. Raises OutputError."""
        return read_json(self.path / STUDY)

    def cells(self) -> pandas.DataFrame:
        """cells.parquet. Raises OutputError, MissingExtra."""
        return self._table("cells.parquet")

    def rows(self) -> pandas.DataFrame:
        """rows.parquet. Raises OutputError, MissingExtra."""
        return self._table("rows.parquet")

    def pictures(self, id: str) -> dict[str, Tensor]:
        """What is kept of a cell by name, as float32; nothing if no pictures are."""
        from safetensors.torch import load_file

        path = self.place(id) / PICTURES
        return load_file(path) if path.is_file() else {}

    def features(self, id: str, prefix: str) -> dict[str, Tensor]:
        """What is kept of a cell under names that begin so, without the prefix; nothing if nothing is."""
        from safetensors import safe_open

        path = self.place(id) / PICTURES
        if not path.is_file():
            return {}
        with safe_open(path, framework="pt") as file:
            names = [name for name in list(file.keys()) if name.startswith(prefix)]
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}

    def snapshot_sigmas(self, id: str) -> list[float]:
        """The levels of the kept intermediate states."""
        from safetensors import safe_open

        path = self.place(id) / PICTURES
        if not path.is_file():
            return []
        with safe_open(path, framework="pt") as file:
            sigmas: list[float] = json.loads(file.metadata()["snapshots"])["sigmas"]
        return sigmas

    def _table(self, name: str) -> pandas.DataFrame:
        from snips_cli.study.extra import need
        from snips_cli.study.merge import merge

        pandas = need("pandas")
        if not (self.path / name).is_file():
            merge(self)
        return pandas.read_parquet(self.path / name)

    # Writing

    def begin(self, study: Mapping[str, Any], run: Mapping[str, Any]) -> None:
        """Write study.json, with one more run in it. Raises OutputError; see `check`."""
        runs = self.read()["runs"] if self.check(study["asked"]) else []
        with self.writing():
            for hidden in (*self.path.glob(".*.tmp"), *self.path.glob("cells/??/.*"), *self.path.glob("failed/.*")):
                shutil.rmtree(hidden) if hidden.is_dir() else hidden.unlink()
            for name in ("cells", "failed"):
                (self.path / name).mkdir(exist_ok=True)
        self.write({**study, "runs": [*runs, run]})

    def check(self, asked: Mapping[str, Any]) -> bool:
        """Whether this study is begun here. Writes nothing; raises OutputError if something else is here."""
        if (self.path / STUDY).is_file():
            different = "; ".join(differences(flat(self.read()["asked"]), flat(plain(asked))))
            if different:
                raise OutputError(f"{self.path} is the folder of another study: {different}; choose another --out")
            return True
        if self.path.exists() and (not self.path.is_dir() or any(p.name != LOCK for p in self.path.iterdir())):
            raise OutputError(f"{self.path} exists and is no study's folder; choose another --out")
        return False

    def ended(self, run: Mapping[str, Any]) -> None:
        """Complete the last run in study.json."""
        study = self.read()
        self.write(study | {"runs": [*study["runs"][:-1], run]})

    def write(self, study: Mapping[str, Any]) -> None:
        with new_file(self.path / STUDY) as hidden:
            hidden.write_text(dumps(study), encoding="utf-8")

    def has(self, id: str) -> bool:
        return self.place(id).is_dir()

    def has_failed(self, id: str) -> bool:
        return self.failure(id).is_file()

    def land(self, outcome: Outcome) -> None:
        """Keep what became of a cell: a finished one replaces its failure. Raises OutputError."""
        id = outcome.cell.id
        if outcome.failed:
            with new_file(self.failure(id)) as hidden:
                hidden.write_text(dumps({"cell": outcome.columns}), encoding="utf-8")
            return
        with new_folder(self.place(id)) as folder:
            if outcome.pictures is not None:
                with new_file(folder / PICTURES) as hidden:
                    hidden.write_bytes(outcome.pictures)
            with new_file(folder / CELL) as hidden:
                hidden.write_text(json.dumps({"cell": outcome.columns, "rows": outcome.rows}), encoding="utf-8")
        with self.writing():
            self.failure(id).unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time runs a study. Raises OutputError if another does."""
        from filelock import FileLock, Timeout

        with self.writing():
            self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / LOCK, timeout=0)
        with self.writing():
            try:
                lock.acquire()
            except Timeout:
                raise OutputError(f"{self.path} is being written by another `snips study run`; wait for it") from None
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What the system refuses becomes one line."""
        try:
            yield
        except OSError as error:
            raise cannot_write(self.path, error) from error


def read_json(path: Path) -> dict[str, Any]:
    """Raises OutputError if it cannot be read."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be read ({error})") from error
    return data


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested plain data as one level of dotted names."""
    if isinstance(value, Mapping):
        return {
            k: v for key, item in value.items() for k, v in flat(item, f"{name}.{key}" if name else str(key)).items()
        }
    return {name: value}
