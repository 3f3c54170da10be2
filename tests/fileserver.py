"""A server of one file of weights on this machine, which misbehaves when told to; fixtures for tests of the store."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from snips import download, store
from snips.cards import WeightsFile
from snips.errors import SnipsError, WeightsError

DATA = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `files` by path, with Range and If-Range, and misbehaves as `script` says, an entry a request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/net.pth": DATA}
        self.etag = '"1"'
        self.script: list[str] = []
        self.asked: list[tuple[str, str | None]] = []
        self.arrived, self.released = threading.Event(), threading.Event()

    def handle_error(self, *_: object) -> None:
        """A client that went away is none of our errors."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def ranges(self) -> list[str | None]:
        return [wanted for _, wanted in self.asked]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers["Range"]
        server.asked.append((self.path, wanted))
        manner = server.script.pop(0) if server.script else "well"
        data = server.files.get(self.path)
        if manner == "held":
            server.arrived.set()
            server.released.wait(20)
        if data is None or manner.isdecimal():
            return self.send_error(int(manner) if manner.isdecimal() else 404)
        start = 0
        if wanted and self.headers["If-Range"] == server.etag and manner != "no ranges":
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start > len(data):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("ETag", server.etag)
        self.send_header("Content-Type", "text/html" if manner == "web page" else "application/octet-stream")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if manner not in ("no length", "short, no length"):
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        rest = data[start:]
        if manner in ("cut", "short, no length", "stalls"):
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)
        if manner == "stalls":
            self.wfile.flush()
            server.released.wait(20)
        return None


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("SNIPS_WEIGHTS_DIR", str(tmp_path / "store"))
    monkeypatch.delenv("SNIPS_WEIGHTS_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0.01)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def file(server: Server, monkeypatch: pytest.MonkeyPatch) -> WeightsFile:
    """One with a published hash, the only one known."""
    file = WeightsFile("net", f"{server.url}/net.pth", SHA256, licence="MIT", size=len(DATA), summary="a network")
    monkeypatch.setattr(store, "known", lambda: {"net": file})
    return file


@pytest.fixture
def unhashed(server: Server) -> WeightsFile:
    return WeightsFile("net", f"{server.url}/net.pth")


def names() -> list[str]:
    """What lies in the store, locks aside."""
    return sorted(path.name for path in store.folder().iterdir() if path.suffix != ".lock")


def refusal(file: WeightsFile, kind: type[SnipsError] = WeightsError) -> str:
    with pytest.raises(kind) as caught:
        store.fetch(file)
    assert "\n" not in str(caught.value)
    assert not store.place(file).exists()
    return str(caught.value)
