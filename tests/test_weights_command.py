"""`snips weights`: list, get, verify, path, convert."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors import safe_open

from fileserver import DATA
from shared import SHARED, needs_shared
from snips import store
from snips.errors import UnknownName
from snips.plugins import load_denoiser
from snips.weights import read_weights
from snips_cli.main import main
from test_docs import ROOT, blocks, pattern, terminal

PAGE = ROOT / "docs" / "weights.md"


def snips(*words: str) -> Result:
    return CliRunner().invoke(main, ["weights", *words])


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


def test_the_page_shows_what_is_printed(tmp_path, monkeypatch):
    monkeypatch.setenv("SNIPS_WEIGHTS_DIR", "store")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "mirror").mkdir()
    tensors = {f"model.{2 * (i // 2)}.{('weight', 'bias')[i % 2]}": torch.zeros(1) for i in range(24)}
    torch.save(tensors, tmp_path / "mirror" / "ffdnet_color.pth")
    commands = [each for block in blocks(PAGE, "console") for each in terminal(block[1])]
    assert len(commands) == 7
    for command, lines in commands:
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert re.fullmatch(pattern(lines), done.stdout), f"$ {command}\n{done.stdout}"
