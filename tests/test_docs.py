"""The pages do what they say: their Python runs, their terminals print what they show, nothing is left out."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import click
import pytest
import torch
from skimage.io import imsave

from snips import hookspecs
from snips.plugins import Plugin, build
from snips.testing import check_denoiser
from snips.testing.denoisers import DENOISER_CHECKS
from snips.testing.samplers import SAMPLER_CHECKS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PLUGINS = ROOT / "docs" / "plugins.md"


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """The fenced blocks of this language, each with the number of its first line."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [(text[: block.start(1)].count("\n"), block.group(1)) for block in found]


def ran(page: Path, folder: Path, monkeypatch) -> types.ModuleType:
    """All of a page's `python` blocks, run one after another in an empty folder, with torch imported."""
    monkeypatch.chdir(folder)
    module = types.ModuleType(f"page_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    module.torch = torch
    for line, code in blocks(page, "python"):
        exec(compile("\n" * line + code, str(page), "exec"), vars(module))
    return module


@pytest.mark.parametrize("page", [page for page in PAGES[1:] if page != PLUGINS], ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    ran(page, tmp_path, monkeypatch)


def test_the_python_of_the_page_on_plugins_is_a_plugin(tmp_path, monkeypatch):
    module = ran(PLUGINS, tmp_path, monkeypatch)
    registry = build([(Plugin("page", "docs", "1"), lambda: module)])
    group = click.Group()
    registry.add_commands(group)
    assert registry.problems == []
    assert [r.card.name for r in registry.registrations] == ["local-mean", "euler", "left-half", "one-layer"]
    assert list(group.commands) == ["hello"]
    assert registry.find("task", "left-half").load().operator((1, 4, 6), 0).mask.sum() == 12


def linked(page: Path) -> list[str]:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return [target.partition("#")[0] for target in targets if not re.match(r"https?:|#", target)]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page):
    assert [target for target in linked(page) if not (page.parent / target).exists()] == []


def terminal(block: str) -> list[tuple[str, list[str]]]:
    """Commands, and the lines that each is shown to print; … stands for any lines."""
    shown: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            shown.append((line[2:], []))
        else:
            shown[-1][1].append(line)
    return shown


def pattern(lines: list[str]) -> str:
    """Lines as a regular expression; spaces are as many as the table's other rows make them."""
    each = [r"(?:.*\n)*?" if line == "…" else " *" + " +".join(map(re.escape, line.split())) + " *\n" for line in lines]
    return "".join(each)


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Runs a line in the folder of the page's first plugin; what `pip install` installs goes to a folder of its own."""
    folder, site = tmp_path_factory.mktemp("plugin"), tmp_path_factory.mktemp("site")
    (folder / "local_mean.py").write_text(blocks(PLUGINS, "python")[0][1], encoding="utf-8")
    (folder / "pyproject.toml").write_text(blocks(PLUGINS, "toml")[0][1], encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SNIPS_", "PIP_"))} | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(site),
        "PIP_TARGET": str(site),
        "PIP_QUIET": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this one the other way round
        "COLUMNS": "120",
    }

    def call(command: str) -> str:
        done = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env=environment,
            text=True,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.stdout

    return call


@pytest.mark.slow
def test_the_terminal_prints_what_the_page_on_plugins_shows(shell):
    for _, block in blocks(PLUGINS, "console"):
        for command, lines in terminal(block):
            printed = shell(command)
            assert re.fullmatch(pattern(lines), printed), f"$ {command}\n{printed}"


def test_the_readmes_plugin_passes_the_kit(tmp_path, monkeypatch):
    module = ran(ROOT / "README.md", tmp_path, monkeypatch)
    registry = build([(Plugin("page", "docs", "1"), lambda: module)])
    assert registry.problems == []
    check_denoiser(registry.find("denoiser", "local-mean").load(device="cpu"))


@pytest.mark.slow
def test_the_readmes_commands_run(shell, tmp_path):
    picture = (torch.rand(20, 24, 3, generator=torch.Generator().manual_seed(0)) * 255).byte().numpy()
    commands = [command for _, block in blocks(ROOT / "README.md", "console") for command, _ in terminal(block)]
    assert len(commands) >= 7
    for name in ("noisy.png", "photo.png"):
        imsave(tmp_path / name, picture, check_contrast=False)
    for command in commands:
        printed = shell(f"cd {tmp_path} && {command} && echo ended well")
        assert printed.endswith("ended well\n"), f"$ {command}\n{printed}"
    assert {p.name for p in (tmp_path / "runs").iterdir()} == {"first", "second"}


def test_every_hook_is_on_the_page_with_its_exact_signature():
    text = PLUGINS.read_text(encoding="utf-8")
    hooks = [hook for name, hook in vars(hookspecs).items() if name.startswith("register_")]
    assert len(hooks) == 5
    for hook in hooks:
        assert f"{hook.__name__}{inspect.signature(hook)}".replace("'", "") in text


def test_every_check_is_on_the_page():
    text = PLUGINS.read_text(encoding="utf-8")
    for check in (*DENOISER_CHECKS, *SAMPLER_CHECKS):
        assert f"`{check.__name__}`" in text


def test_the_problem_on_the_page_is_what_is_printed():
    def load():
        raise ModuleNotFoundError("No module named 'torchx'")

    (problem,) = build([(Plugin("local-mean", "snips-local-mean", "0.1"), load)]).problems
    assert f"\n{problem}\n" in PLUGINS.read_text(encoding="utf-8")
