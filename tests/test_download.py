"""Downloads: whole, or resumed, or one line that says why not, whatever the server does."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from fileserver import DATA, SHA256, names, refusal
from snips import download, store
from snips.cards import WeightsFile


def test_a_cut_connection_is_resumed(server, file, capsys):
    server.script = ["cut", "cut"]
    assert store.fetch(file).read_bytes() == DATA
    first, *later = server.ranges
    starts = [int(wanted.removeprefix("bytes=").removesuffix("-")) for wanted in later]
    assert first is None
    assert len(DATA) // 2 - download.BLOCK <= starts[0] <= len(DATA) // 2 < starts[1] <= len(DATA) * 3 // 4
    assert "the connection was cut; trying again (2 of 5)" in capsys.readouterr().err


def test_a_later_call_resumes(server, file):
    server.script = ["cut", "503", "503", "503", "503"]
    message = refusal(file)
    kept = (store.folder() / ".net.pth.part").stat().st_size
    assert f"the {kept} bytes received are kept, try again" in message
    assert kept > len(DATA) // 2 - download.BLOCK
    assert store.fetch(file).read_bytes() == DATA
    assert server.ranges[-1] == f"bytes={kept}-"


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_process_is_resumed(server, file, end):
    server.script = ["stalls"]
    program = f"""
import signal
from snips.cards import WeightsFile
from snips.store import fetch
signal.signal(signal.SIGINT, signal.default_int_handler)
fetch(WeightsFile("net", {file.url!r}, {SHA256!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    part = store.folder() / ".net.pth.part"
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size > len(DATA) // 4) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(end)
    assert process.wait(20) != 0
    kept = part.stat().st_size
    assert store.fetch(file).read_bytes() == DATA
    assert server.ranges == [None, f"bytes={kept}-"]


@pytest.mark.parametrize("change", ["other version", "no ranges", "other place"])
def test_only_the_same_version_of_the_same_url_is_resumed(server, file, unhashed, change):
    old = bytes(len(DATA))
    server.files["/net.pth"] = old
    server.script = ["cut", "503", "503", "503", "503"]
    refusal(unhashed)
    server.files = {"/net.pth": DATA, "/other.pth": DATA}
    if change == "other version":
        server.etag = '"2"'
    if change == "no ranges":
        server.script = ["no ranges"]
    if change == "other place":
        unhashed = WeightsFile("net", f"{server.url}/other.pth")
    assert store.fetch(unhashed).read_bytes() == DATA


def test_leftovers_longer_than_the_file(server, file):
    store.folder().mkdir()
    (store.folder() / ".net.pth.part").write_bytes(DATA + b"more")
    (store.folder() / ".net.pth.version").write_text(f'{file.url}\n"1"')
    assert store.fetch(file).read_bytes() == DATA
    assert names() == ["net.pth"]


def test_truncated_with_nothing_said_of_its_length(server, file, unhashed):
    server.script = ["short, no length"]
    assert store.fetch(file).read_bytes() == DATA  # its published size tells
    store.place(file).unlink()
    server.script = ["short, no length"]
    assert "discarded" in refusal(WeightsFile("net", file.url, SHA256))
    server.script = ["short, no length"]
    assert "neither its length nor its SHA-256 is known" in refusal(unhashed)
    server.script = ["no length"]
    assert store.fetch(file).read_bytes() == DATA


def test_a_server_that_stalls(server, file, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    server.script = ["stalls"]
    assert store.fetch(file).read_bytes() == DATA
    assert server.ranges[1].startswith("bytes=2")
    store.place(file).unlink()
    monkeypatch.setattr(download, "TRIES", 2)
    server.script = ["held", "held"]
    assert "no answer for 0.2 s, 2 times" in refusal(file)


def test_not_there(server):
    assert "answered 404 Not Found" in refusal(WeightsFile("gone", f"{server.url}/gone.pth", SHA256))
    assert len(server.asked) == 1


def test_a_busy_server_is_asked_again_but_not_for_ever(server, file):
    server.script = ["503", "429"]
    assert store.fetch(file).read_bytes() == DATA
    store.place(file).unlink()
    server.script = ["500"] * 9
    assert "answered 500 Internal Server Error, 5 times" in refusal(file)


def test_no_network(server):
    server.shutdown()
    server.socket.close()
    nobody = WeightsFile("net", f"{server.url}/net.pth", SHA256)
    assert "cannot be reached, 5 times; check the network, or set SNIPS_WEIGHTS_MIRROR" in refusal(nobody)


def test_a_web_page_is_not_trusted(server, unhashed):
    server.script = ["web page"]
    assert "answered with a web page" in refusal(unhashed)
    assert names() == []


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1/net.pth", "http://"])
def test_not_a_url(server, url):
    assert "give a URL that can be read" in refusal(WeightsFile("net", url, SHA256))


def test_a_full_disk(server, file):
    program = f"""
import resource
from snips.cards import WeightsFile
from snips.errors import OutputError
from snips.store import fetch
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    fetch(WeightsFile("net", {file.url!r}, {SHA256!r}))
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {store.folder() / '.net.pth.part'}: ")
    assert not store.place(file).exists()
