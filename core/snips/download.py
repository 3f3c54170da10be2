"""A file over HTTP, from wherever an earlier attempt left it.

requests fetches (proxies, redirects, certificates); pooch and torch.hub would start again after every cut. What is here
is RFC 9110's resumption: `Range` asks for the rest, `If-Range` for the whole should the file have changed meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from snips.errors import WeightsError
from snips.files import cannot_write

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as cut."""
TRIES = 5
PAUSE = 1.0
"""Seconds before the second try; twice as long before each further one."""
BLOCK = 1 << 13
"""Bytes read at once; so many at most are lost when a connection is cut."""
BUSY = {408, 429, 500, 502, 503, 504}
"""Answers that another try may change."""


class _Cut(Exception):
    """The connection ended too early; what has arrived is kept."""


def download(
    url: str, part: Path, say: Callable[[str], None], size: int | None = None, needs_length: bool = False
) -> None:
    """Bring the file `part` to the whole of what is at `url`, with a progress bar on a terminal's stderr.

    Args:
        part: what an earlier attempt left there is continued, if it came from the same URL and has not changed since
            (`part` with the suffix .version remembers both).
        say: told, in one line, of every further try.
        size: bytes to expect, where known.
        needs_length: refuse an answer that does not say how long it is, if nothing else would tell a cut.

    Raises WeightsError if it is not there, or not complete after TRIES; OutputError if it cannot be written.
    """
    reason = ""
    for attempt in range(TRIES):
        if attempt:
            say(f"{url}: {reason}; trying again ({attempt + 1} of {TRIES})")
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            return _receive(url, part, size, needs_length)
        except (_Cut, requests.Timeout, requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            reason = _reason(error)
        except requests.RequestException as error:
            raise WeightsError(f"{url}: {_reason(error)}; give a URL that can be read") from error
        except OSError as error:
            raise cannot_write(part, error) from error
    kept = part.stat().st_size if part.exists() else 0
    remedy = f"the {kept} bytes received are kept, try again" if kept else "check the network"
    raise WeightsError(f"{url}: {reason}, {TRIES} times; {remedy}, or set SNIPS_WEIGHTS_MIRROR")


def _receive(url: str, part: Path, size: int | None, needs_length: bool) -> None:
    """One request for what is missing. Raises _Cut, or what requests does, if not all of it arrives."""
    version = part.with_suffix(".version")
    have, validator = _left_over(url, part, version)
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == 416:  # nothing is left to ask for, or what is here is longer than the file
            part.unlink(missing_ok=True)
            raise _Cut("the rest cannot be had")
        if answer.status_code in BUSY:
            raise _Cut(f"answered {answer.status_code} {answer.reason}")
        if answer.status_code not in (200, 206):
            raise WeightsError(
                f"{url}: answered {answer.status_code} {answer.reason}; get the file elsewhere and say weights=FILE"
            )
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise WeightsError(
                f"{url}: answered with a web page, not a file; log in to the network, or look at the page"
            )
        start = have if answer.status_code == 206 else 0
        if start and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            part.unlink(missing_ok=True)
            raise _Cut("answered with another part of the file")
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else size
        if total is None and needs_length:
            raise WeightsError(f"{url}: neither its length nor its SHA-256 is known; fetch and check it by hand")
        if not start:
            part.unlink(missing_ok=True)
            version.write_text(f"{url}\n{_validator(answer.headers)}", encoding="utf-8")
        got = _write(answer, part, start, total)
    if total is not None and got != total:
        raise _Cut(f"ended at {got} of {total} bytes")
    version.unlink(missing_ok=True)


def _write(answer: requests.Response, part: Path, start: int, total: int | None) -> int:
    """Append what arrives; the file's size in the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
    with bar, part.open("ab" if start else "wb") as file:
        task = bar.add_task("fetching", total=total, completed=start)
        for block in answer.iter_content(BLOCK):
            file.write(block)
            bar.update(task, advance=len(block))
        return file.tell()


def _left_over(url: str, part: Path, version: Path) -> tuple[int, str]:
    """How many bytes are here already, and the validator of the version that they are of; 0 if they cannot be used."""
    try:
        known, _, validator = version.read_text(encoding="utf-8").partition("\n")
        return (part.stat().st_size, validator) if known == url and validator else (0, "")
    except (OSError, UnicodeDecodeError):
        return 0, ""


def _validator(headers: Mapping[str, str]) -> str:
    """What If-Range may compare: a strong ETag, or else the date of the last change."""
    etag = headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")


def _reason(error: Exception) -> str:
    """In a few words, without the addresses of objects that urllib3 puts into its messages."""
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"no answer for {TIMEOUT:g} s"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    return " ".join(str(error).split())
