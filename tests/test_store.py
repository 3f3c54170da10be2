"""Stored weights: fetched whole, right and once, whatever the server does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fileserver import DATA, SHA256, names, refusal
from snips import store
from snips.backbones import BACKBONES
from snips.cards import DenoiserCard, WeightsFile
from snips.errors import InvalidValue, MissingWeights, OutputError, WeightsError
from snips.hookspecs import hookimpl
from snips.plugins import Plugin, build


def test_fetches_once_and_says_so(server, file, capsys):
    path = store.fetch(file)
    assert path.read_bytes() == DATA
    assert names() == ["net.pth"]
    assert f"fetching weights net (licence: MIT, 0.5 MB) from {file.url}" in capsys.readouterr().err
    assert store.fetch(file) == path
    assert capsys.readouterr().err == ""
    assert len(server.asked) == 1


def test_a_wrong_hash_is_discarded(server, file):
    server.files["/net.pth"] = DATA[:-1] + b"!"
    message = refusal(file)
    assert message.startswith(f"{file.url}: its SHA-256 is ")
    assert f"published is {SHA256[:12]}…; it was discarded" in message
    assert names() == []


def test_a_published_size_that_is_not_met(server, unhashed):
    assert f"{len(DATA)} bytes, published are 7" in refusal(WeightsFile("net", unhashed.url, size=7))


def test_without_a_published_hash_the_first_file_is_trusted_and_recorded(server, unhashed, capsys):
    store.fetch(unhashed)
    assert f"no SHA-256 is published; trusting and recording this one's, {SHA256}" in capsys.readouterr().err
    assert names() == ["net.pth", "net.pth.sha256"]
    done = subprocess.run(["sha256sum", "--check", "net.pth.sha256"], cwd=store.folder(), capture_output=True)
    assert done.returncode == 0
    store.place(unhashed).unlink()
    server.files["/net.pth"] = DATA[::-1]
    assert "recorded in" in refusal(unhashed)
    (store.folder() / "net.pth.sha256").write_bytes(b"\n")
    assert "delete it and fetch net again" in refusal(unhashed)


def test_two_processes_fetch_once(server, file):
    server.script = ["held"]
    program = f"""
from snips.cards import WeightsFile
from snips.store import fetch
fetch(WeightsFile("net", {file.url!r}, {SHA256!r}))
"""
    command = [sys.executable, "-c", program]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.arrived.wait(20)
    second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert "another process is fetching them, waiting" in second.stderr.readline()
    server.released.set()
    assert [first.communicate()[1].count("fetching"), second.communicate()[1].count("from")] == [1, 0]
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(server.asked) == 1
    assert store.check(file) == "ok"


def test_a_folder_that_cannot_be_made(server, file, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("SNIPS_WEIGHTS_DIR", str(tmp_path / "taken"))
    with pytest.raises(OutputError, match="cannot write .*taken"):
        store.fetch(file)


def test_a_stored_file_needs_no_lock(server, file):
    path = store.fetch(file)
    lock = store.folder() / ".net.pth.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()  # as in a folder that others may only read
    assert store.fetch(file) == path
    path.unlink()
    assert refusal(file, OutputError).startswith(f"cannot write {store.folder()}: ")


def test_a_mirror_folder_is_asked_first(server, file, tmp_path, monkeypatch, capsys):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "net.pth").write_bytes(DATA)
    monkeypatch.setenv("SNIPS_WEIGHTS_MIRROR", str(mirror))
    assert store.fetch(file).read_bytes() == DATA
    assert server.asked == []
    store.place(file).unlink()
    (mirror / "net.pth").write_bytes(b"not the file")
    capsys.readouterr()
    assert store.fetch(file).read_bytes() == DATA
    said = capsys.readouterr().err.splitlines()
    assert "warning" in said[1]
    assert "it was discarded; asking the official place" in said[1]
    assert said[2].endswith(file.url)
    store.place(file).unlink()
    (mirror / "net.pth").unlink()
    assert store.fetch(file).read_bytes() == DATA
    assert names() == ["net.pth"]


def test_a_mirror_url_is_asked_first(server, file, monkeypatch):
    monkeypatch.setenv("SNIPS_WEIGHTS_MIRROR", f"{server.url}/ours/")
    server.files["/ours/net.pth"] = DATA
    store.fetch(file)
    store.place(file).unlink()
    del server.files["/ours/net.pth"]
    store.fetch(file)
    assert [path for path, _ in server.asked] == ["/ours/net.pth", "/ours/net.pth", "/net.pth"]


def test_locate(server, file, tmp_path, monkeypatch):
    files = [file, WeightsFile("other", "https://127.0.0.1/other.pth")]
    with pytest.raises(MissingWeights, match=r"nn has no weights yet: `snips weights get net` .* also other"):
        store.locate(None, files, "nn")
    with pytest.raises(WeightsError, match="other: missing in .*; `snips weights get other`"):
        store.locate("other", files, "nn")
    path = store.fetch(file)
    assert store.locate(None, files, "nn") == store.locate("net", files, "nn") == path
    assert store.locate("somewhere/else.pth", files, "nn") == Path("somewhere/else.pth")
    monkeypatch.chdir(tmp_path)
    Path("net").write_bytes(b"a file of that name")
    assert store.locate("net", files, "nn") == Path("net")
    path.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="damaged"):
        store.locate(None, files, "nn")


@pytest.mark.parametrize(
    "bad", [{"name": ""}, {"name": "../x"}, {"name": ".x"}, {"sha256": "12"}, {"sha256": "Z" * 64}]
)
def test_cards_of_files_are_checked(bad):
    with pytest.raises(InvalidValue):
        WeightsFile(**{"name": "net", "url": "https://127.0.0.1/x.pth", **bad})
    with pytest.raises(InvalidValue, match="not a tuple of WeightsFile"):
        DenoiserCard("nn", "a network", weights=("net.pth",))


def test_file_names():
    assert WeightsFile("net", "https://127.0.0.1/a.b/x.safetensors?download=true").filename == "net.safetensors"
    assert WeightsFile("net", "https://127.0.0.1/a.b/x").filename == "net"


def test_a_card_is_plain_data(file):
    (entry,) = DenoiserCard("nn", "a network", weights=(file,)).as_dict()["weights"]
    assert (entry["name"], entry["sha256"], entry["licence"]) == ("net", SHA256, "MIT")
    assert "weights" not in DenoiserCard("nn", "a network").as_dict()


def test_cards_bring_their_files_and_the_first_of_a_name_wins(monkeypatch):
    first, second = WeightsFile("net", "https://127.0.0.1/1"), WeightsFile("net", "https://127.0.0.1/2")
    cards = [DenoiserCard("a", "", weights=(first,)), DenoiserCard("b", ""), DenoiserCard("c", "", weights=(second,))]
    parts = [(Plugin("p", "d", "1"), lambda: Cards(cards))]
    monkeypatch.setattr("snips.plugins.registry", lambda: build(parts))
    assert store.known() == {"net": first} | {file.name: file for file in BACKBONES.values()}


class Cards:
    """A plugin of nothing but cards."""

    def __init__(self, cards: list[DenoiserCard]) -> None:
        self.cards = cards

    @hookimpl
    def register_denoisers(self, register):
        for card in self.cards:
            register(card, lambda device: None)


def test_the_official_files_of_kair():
    files = store.known()
    assert [name for name in files if name.startswith("ffdnet")] == ["ffdnet_color", "ffdnet_gray"]
    drunet = files["drunet_color"]
    assert drunet.url == "https://github.com/cszn/KAIR/releases/download/v1.0/drunet_color.pth"
    assert (drunet.size, drunet.licence, drunet.sha256[:8]) == (130_579_305, "MIT", "479abe3c")
