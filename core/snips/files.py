"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from snips.errors import OutputError


def cannot_write(path: str | Path, error: Exception) -> OutputError:
    """One line for a full disk, a missing folder, a lack of permission. (safetensors has an error of its own.)"""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
    return OutputError(f"cannot write {path}: {reason}")


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """A hidden path to write to, which takes the file's place in one move if the block ends well."""
    path = Path(path)
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield hidden
        with hidden.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(hidden, path)
    except (OSError, SafetensorError) as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            hidden.unlink()


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A hidden folder to fill, which becomes `path` in one move if the block ends well.

    Raises OutputError if `path` exists or cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise OutputError(f"{path} exists; choose another folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield hidden
        hidden.chmod(0o755)
        hidden.rename(path)
    except (OSError, SafetensorError) as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
