"""Stored weights: the files that cards name, each fetched once, checked, and kept in the user's cache folder.

SNIPS_WEIGHTS_DIR is the folder instead of the cache folder; SNIPS_WEIGHTS_MIRROR a URL or folder that is asked first.
A file takes its place only after its SHA-256 was found right. Where none is published, that of the first file fetched
is trusted, and recorded beside it in the format of sha256sum. Importing this does not import torch.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from snips.cards import WeightsFile
from snips.errors import MissingWeights, UnknownName, WeightsError, did_you_mean
from snips.files import cannot_write, new_file

MIRROR = "SNIPS_WEIGHTS_MIRROR"
HERE = ("ok", "unknown")
"""What `check` says of a stored file that can be used."""

Say = Callable[[str], None]


def on_stderr(text: str) -> None:
    print(f"snips: {text}", file=sys.stderr, flush=True)


def folder() -> Path:
    """Where weights are kept."""
    if chosen := os.environ.get("SNIPS_WEIGHTS_DIR"):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("snips") / "weights"


def known() -> dict[str, WeightsFile]:
    """The files that the denoisers' cards name, and those of metrics, by name; of two equal names the first one's."""
    from snips.backbones import BACKBONES
    from snips.plugins import denoisers

    files: dict[str, WeightsFile] = {}
    for file in [*(file for card in denoisers() for file in card.weights), *BACKBONES.values()]:
        files.setdefault(file.name, file)
    return files


def find(name: str) -> WeightsFile:
    """The file of this name. Raises UnknownName."""
    files = known()
    if name not in files:
        hint = did_you_mean(name, files) or f"there are {', '.join(files) or 'none'}"
        raise UnknownName(f"unknown weights {name}; {hint} (`snips weights list` lists them)")
    return files[name]


def place(file: WeightsFile) -> Path:
    """Where the file is or would be."""
    return folder() / file.filename


def expected_sha256(file: WeightsFile) -> str:
    """The published SHA-256, or that of the first file fetched; empty before that. Raises WeightsError."""
    if file.sha256:
        return file.sha256
    record = _record(file)
    try:
        return record.read_text(encoding="utf-8").split()[0]
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError, IndexError):
        raise WeightsError(f"{record}: not a record of a SHA-256; delete it and fetch {file.name} again") from None


def check(file: WeightsFile) -> str:
    """What is known of the stored file: "ok", "missing", "damaged", or "unknown" if it has no SHA-256 to compare."""
    path, expected = place(file), expected_sha256(file)
    if not path.is_file():
        return "missing"
    if not expected:
        return "unknown"
    return "ok" if sha256_of(path) == expected else "damaged"


def stored(file: WeightsFile) -> Path:
    """The path of the file, checked. Raises WeightsError, which says what to type, if it is missing or damaged."""
    state = check(file)
    if state not in HERE:
        raise WeightsError(f"weights {file.name}: {state} in {folder()}; `snips weights get {file.name}` fetches them")
    return place(file)


def locate(weights: str | None, files: Sequence[WeightsFile], what: str) -> Path:
    """The path that a denoiser's option `weights` means.

    Args:
        weights: a path, or the name of one of `files`; None for the first of them that is stored.
        files: those of the denoiser's card.
        what: the denoiser's name, for messages.

    Raises, saying what to type, MissingWeights if none is given or stored, and WeightsError if the one of this name is
    missing or damaged. That a path leads somewhere is left to `read_weights`.
    """
    by_name = {file.name: file for file in files}
    if weights is not None:
        is_name = weights in by_name and not Path(weights).expanduser().exists()
        return stored(by_name[weights]) if is_name else Path(weights).expanduser()
    for file in files:
        if place(file).is_file():
            return stored(file)
    get = f"`snips weights get {files[0].name}` fetches them, or " if files else ""
    others = f" (there are also {', '.join(list(by_name)[1:])})" if len(by_name) > 1 else ""
    raise MissingWeights(f"{what} has no weights yet: {get}say weights=FILE{others}")


def fetch(file: WeightsFile, say: Say = on_stderr) -> Path:
    """The path of the stored file, fetched if need be: by one process at a time, and not without saying so.

    Raises WeightsError if no source has it whole and right, OutputError if it cannot be written.
    """
    if check(file) in HERE:
        return place(file)
    with _locked(file, say):
        state = check(file)
        if state in HERE:
            return place(file)
        if state == "damaged":
            say(f"weights {file.name}: the stored file is damaged, fetching it again")
        source = mirrored(file)
        if source:
            try:
                return _bring(file, source, say)
            except WeightsError as error:
                say(f"warning: {error}; asking the official place")
        return _bring(file, file.url, say)


def mirrored(file: WeightsFile) -> str | Path | None:
    """The URL or path of the file in the mirror, if there is one."""
    mirror = os.environ.get(MIRROR)
    if not mirror:
        return None
    return f"{mirror.rstrip('/')}/{file.filename}" if "://" in mirror else Path(mirror).expanduser() / file.filename


def sha256_of(path: Path) -> str:
    """In hexadecimal. Raises WeightsError if it cannot be read."""
    try:
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or 'cannot be read'}") from error


def _bring(file: WeightsFile, source: str | Path, say: Say) -> Path:
    """From one source into its place, if it is right. Raises WeightsError, OutputError."""
    size = f", {file.size / 1e6:.1f} MB" if file.size else ""
    say(f"fetching weights {file.name} (licence: {file.licence or 'not stated'}{size}) from {source}")
    expected = expected_sha256(file)
    arrived = _copied(file, source) if isinstance(source, Path) else _downloaded(file, source, say, not expected)
    length = arrived.stat().st_size
    if file.size is not None and length != file.size:
        arrived.unlink()
        raise WeightsError(f"{source}: has {length} bytes, published are {file.size}; it was discarded")
    actual = sha256_of(arrived)
    if expected and actual != expected:
        arrived.unlink()
        whose = "published" if file.sha256 else f"recorded in {_record(file)}"
        raise WeightsError(f"{source}: its SHA-256 is {actual[:12]}…, {whose} is {expected[:12]}…; it was discarded")
    if not expected:
        with new_file(_record(file)) as record:
            record.write_text(f"{actual}  {file.filename}\n", encoding="utf-8")
        say(f"weights {file.name}: no SHA-256 is published; trusting and recording this one's, {actual}")
    try:
        return arrived.replace(place(file))
    except OSError as error:
        raise cannot_write(place(file), error) from error


def _downloaded(file: WeightsFile, url: str, say: Say, needs_length: bool) -> Path:
    from snips.download import download

    part = _hidden(file, "part")
    download(url, part, say, file.size, needs_length)
    return part


def _copied(file: WeightsFile, source: Path) -> Path:
    copy = _hidden(file, "copy")
    if not source.is_file():
        raise WeightsError(f"{source}: not in the mirror")
    try:
        shutil.copyfile(source, copy)
    except OSError as error:
        raise cannot_write(copy, error) from error
    return copy


@contextmanager
def _locked(file: WeightsFile, say: Say) -> Iterator[None]:
    """Alone among all processes."""
    from filelock import FileLock, Timeout

    try:
        folder().mkdir(parents=True, exist_ok=True)
        lock = FileLock(_hidden(file, "lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"weights {file.name}: another process is fetching them, waiting")
            lock.acquire()
    except (OSError, NotImplementedError) as error:  # the latter on file systems that cannot lock
        raise cannot_write(folder(), error) from error
    try:
        yield
    finally:
        lock.release()


def _hidden(file: WeightsFile, suffix: str) -> Path:
    return folder() / f".{file.filename}.{suffix}"


def _record(file: WeightsFile) -> Path:
    return folder() / f"{file.filename}.sha256"
