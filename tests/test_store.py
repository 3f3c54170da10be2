"""Stored weights: fetched whole, right and once, whatever the server does."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors import safe_open

from shared import SHARED, needs_shared
from snips import download, store
from snips.cards import DenoiserCard, WeightsFile
from snips.errors import InvalidValue, OutputError, SnipsError, UnknownName, WeightsError
from snips.hookspecs import hookimpl
from snips.plugins import Plugin, build, load_denoiser
from snips.weights import read_weights
from snips_cli.main import main

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


def snips(*words: str) -> Result:
    return CliRunner().invoke(main, ["weights", *words])


def test_fetches_once_and_says_so(server, file, capsys):
    path = store.fetch(file)
    assert path.read_bytes() == DATA
    assert names() == ["net.pth"]
    assert f"fetching weights net (licence: MIT, 0.5 MB) from {file.url}" in capsys.readouterr().err
    assert store.fetch(file) == path
    assert capsys.readouterr().err == ""
    assert len(server.asked) == 1


def test_a_cut_connection_is_resumed(server, file):
    server.script = ["cut", "cut"]
    assert store.fetch(file).read_bytes() == DATA
    first, *later = server.ranges
    starts = [int(wanted.removeprefix("bytes=").removesuffix("-")) for wanted in later]
    assert first is None
    assert len(DATA) // 2 - download.BLOCK <= starts[0] <= len(DATA) // 2 < starts[1] <= len(DATA) * 3 // 4


def test_a_later_call_resumes(server, file):
    server.script = ["cut", "503", "503", "503", "503"]
    message = refusal(file)
    kept = (store.folder() / ".net.pth.part").stat().st_size
    assert f"the {kept} bytes received are kept: try again" in message
    assert kept > len(DATA) // 2 - download.BLOCK
    assert store.fetch(file).read_bytes() == DATA
    assert server.ranges[-1] == f"bytes={kept}-"


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


def test_a_wrong_hash_is_discarded(server, file):
    server.files["/net.pth"] = DATA[:-1] + b"!"
    message = refusal(file)
    assert message.startswith(f"{file.url}: its SHA-256 is ")
    assert f"published is {SHA256[:12]}…; it was discarded" in message
    assert names() == []


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


def test_a_published_size_that_is_not_met(server, unhashed):
    assert f"{len(DATA)} bytes, published are 7" in refusal(WeightsFile("net", unhashed.url, size=7))


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
    assert "cannot be reached, 5 times; is there a network?, or set SNIPS_WEIGHTS_MIRROR" in refusal(nobody)


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1/net.pth", "http://"])
def test_not_a_url(server, url):
    assert "give a URL that can be read" in refusal(WeightsFile("net", url, SHA256))


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


def test_a_full_disk(server, file):
    program = f"""
import resource
from snips.cards import WeightsFile
from snips.errors import OutputError
from snips.store import fetch
import snips.download
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    fetch(WeightsFile("net", {file.url!r}, {SHA256!r}))
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {store.folder() / '.net.pth.part'}: ")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000
    assert not store.place(file).exists()


def test_a_folder_that_cannot_be_made(server, file, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("SNIPS_WEIGHTS_DIR", str(tmp_path / "taken"))
    with pytest.raises(OutputError, match="cannot write .*taken"):
        store.fetch(file)


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
    with pytest.raises(WeightsError, match=r"nn has no weights yet: `snips weights get net` .* also other"):
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
    assert store.known() == {"net": first}


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


@needs_shared
@pytest.mark.weights
@pytest.mark.parametrize("name", ["dncnn_25", "dncnn_color_blind", "ffdnet_gray", "ffdnet_color"])
def test_a_real_file_comes_through_a_mirror(server, tmp_path, monkeypatch, name):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / f"{name}.pth").symlink_to(SHARED / "weights" / f"kair_{name}.pth")
    monkeypatch.setenv("SNIPS_WEIGHTS_MIRROR", str(mirror))
    got = snips("get", name)
    assert got.exit_code == 0, got.stderr
    assert snips("verify").stdout.split() == [name, "ok"]
    load_denoiser(name.partition("_")[0], weights=got.stdout.strip())
    out = tmp_path / "net.safetensors"
    assert snips("convert", got.stdout.strip(), str(out)).exit_code == 0
    read, written = read_weights(got.stdout.strip()), read_weights(out)
    assert read.keys() == written.keys()
    assert all(torch.equal(read[key], written[key]) for key in read)


def test_get_path_list_verify(server, file):
    missing = snips("path", "net")
    assert missing.exit_code == 1
    assert "`snips weights get net` fetches them" in missing.stderr
    assert snips("verify").stderr == "snips: no weights are stored\n"
    assert snips("verify", "net").exit_code == 1
    assert json.loads(snips("list", "--json").stdout)[0]["path"] is None
    got = snips("get", "net")
    assert got.exit_code == 0
    assert got.stdout == f"{store.place(file)}\n"
    assert "licence: MIT" in got.stderr
    assert snips("path", "net").stdout == got.stdout
    assert " ".join(snips("list").stdout.split()) == "net stored 0.5 MB MIT sha256 published a network"
    assert json.loads(snips("list", "n*", "--json").stdout)[0]["path"] == str(store.place(file))
    assert json.loads(snips("list", "z*", "--json").stdout) == []
    assert snips("verify").stdout.split() == ["net", "ok"]


def test_verify_finds_a_damaged_file_and_get_mends_it(server, file):
    path = store.fetch(file)
    path.write_bytes(DATA[:-1] + b"!")
    found = snips("verify")
    assert found.exit_code == 1
    assert "damaged" in found.stdout
    assert snips("path", "net").exit_code == 1
    mended = snips("get", "net")
    assert mended.exit_code == 0
    assert "damaged, fetching it again" in mended.stderr
    assert path.read_bytes() == DATA


def test_verify_says_what_cannot_be_compared(server, unhashed, monkeypatch):
    monkeypatch.setattr(store, "known", lambda: {"net": unhashed})
    store.folder().mkdir()
    store.place(unhashed).write_bytes(DATA)
    assert "not compared" in snips("verify").stdout
    assert snips("verify").exit_code == 0


def test_unknown_names(file):
    with pytest.raises(UnknownName, match="did you mean net"):
        store.find("nett")
    assert snips("get", "nett").exit_code == 2


def test_list_and_path_start_without_torch_or_requests():
    for words in (["list"], ["path", "net"]):
        program = f"""
import sys
from snips_cli.main import main
try:
    main(["weights", *{words!r}])
except SystemExit:
    print("HEAVY", sorted({{"torch", "numpy", "requests", "rich"}} & set(sys.modules)), file=sys.stderr)
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ)
        assert done.stderr.splitlines()[-1] == "HEAVY []"


def test_convert(tmp_path):
    state = {"model.0.weight": torch.arange(6.0).reshape(2, 3).T, "model.0.bias": torch.ones(2, dtype=torch.float16)}
    state["tied"] = state["model.0.bias"]
    source, out = tmp_path / "net.pth", tmp_path / "net.safetensors"
    torch.save({"state_dict": state}, source)
    done = snips("convert", str(source), str(out))
    assert done.exit_code == 0, done.output
    with safe_open(out, "pt") as written:
        assert set(written.keys()) == set(state)
        assert all(torch.equal(written.get_tensor(name), tensor) for name, tensor in state.items())
        sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
        assert written.metadata() == {"source": "net.pth", "source_sha256": sha256}
    assert snips("convert", str(source), str(out)).exit_code == 1
    assert snips("convert", str(source), str(out), "--overwrite").exit_code == 0
    assert "ends in .safetensors" in snips("convert", str(source), str(tmp_path / "net.pt")).stderr


def test_convert_nested(tmp_path):
    source, out = tmp_path / "bank.pth", tmp_path / "bank.safetensors"
    torch.save([{"model.0.weight": torch.ones(1)}, {"step": 7, "lr": [0.1, torch.zeros(2)]}], source)
    done = snips("convert", str(source), str(out))
    assert "left out, as they are no tensors: 1.step, 1.lr.0" in done.stderr
    with safe_open(out, "pt") as written:
        assert set(written.keys()) == {"0.model.0.weight", "1.lr.1"}
    torch.save({"step": 7}, source)
    assert "holds no tensors" in snips("convert", str(source), str(out), "--overwrite").stderr
    source.write_bytes(b"not weights")
    assert "not a file of weights" in snips("convert", str(source), str(out), "--overwrite").stderr
