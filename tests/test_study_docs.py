"""The page on studies: its file runs, and its terminal prints what it shows."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from snips_cli.main import main
from snips_cli.study.spec import Spec, read_spec
from snips_cli.study.toml import fields
from test_docs import ROOT, blocks, pattern, ran, terminal

pytest.importorskip("pyarrow", reason="needs the extra study")

PAGE = ROOT / "docs" / "studies.md"


@pytest.mark.slow
def test_the_pages_study_runs_and_prints_what_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    ((_, text),) = blocks(PAGE, "toml")
    Path("first.toml").write_text(text, encoding="utf-8")
    for _, block in blocks(PAGE, "console"):
        for command, lines in terminal(block):
            words = shlex.split(command)
            if words[0] == "ls":
                printed = "".join(f"{name}\n" for name in sorted(os.listdir(words[1])) if not name.startswith("."))
            else:
                result = CliRunner().invoke(main, words[1:])
                assert result.exit_code == 0, result.output
                printed = re.sub(r"about .*", "about T", result.stderr) + result.stdout
            assert re.fullmatch(pattern(lines), printed), f"$ {command}\n{printed}"
    module = ran(PAGE, tmp_path, monkeypatch)
    assert set(module.table.index) == {"ncsnv2", "Gaussian field", "wavelet"}
    assert module.pictures["clean"].shape == (3, 32, 32)


def test_every_key_of_a_study_is_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    assert [f.name for f in fields(Spec) if f"`{f.name}`" not in text] == []


def test_the_pages_study_is_read_whole(tmp_path):
    ((_, text),) = blocks(PAGE, "toml")
    (tmp_path / "first.toml").write_text(text, encoding="utf-8")
    assert [prior.label for prior in read_spec(tmp_path / "first.toml").priors] == [
        "ncsnv2",
        "Gaussian field",
        "wavelet",
    ]
