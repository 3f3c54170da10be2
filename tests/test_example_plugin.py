"""Somebody else's package: both wheels are built and installed apart from this checkout, and used by command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "plugins" / "example"

pytestmark = pytest.mark.slow


def run(*command: object, **options) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> list[Path]:
    out = tmp_path_factory.mktemp("wheels")
    for source in (ROOT, EXAMPLE):
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source)
    return sorted(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheels, tmp_path_factory):
    """Runs a command with the wheels' packages before everything else, this checkout's among them."""
    site = tmp_path_factory.mktemp("site")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile")
    run(*pip, "--target", site, *wheels)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SNIPS_")} | {"PYTHONPATH": str(site)}

    def call(*command: object) -> str:
        program = {"snips": site / "bin" / "snips", "python": sys.executable}[str(command[0])]
        return run(program, *command[1:], cwd=site.parent, env=environment)

    call.site = site
    return call


def test_the_wheels_hold_what_they_should(wheels):
    example, ours = (set(zipfile.ZipFile(wheel).namelist()) for wheel in wheels)
    packages = {name.split("/")[0] for name in ours if ".dist-info" not in name}
    assert packages == {"snips", "snips_plugins", "snips_cli"}
    data = {
        path.relative_to(ROOT / "plugins").as_posix() for path in ROOT.glob("plugins/snips_plugins/**/*.safetensors")
    }
    assert data
    assert data <= ours
    assert {f"{package}/py.typed" for package in packages} <= ours
    assert [name for name in example if ".dist-info" not in name] == ["snips_example.py"]


def test_it_is_found_without_importing_torch(installed):
    code = (
        "import sys, snips, snips_cli, snips_plugins, snips_example\n"
        "for module in (snips, snips_cli, snips_plugins, snips_example): print(module.__file__)\n"
        "assert 'local-wiener' in [card.name for card in snips.denoisers()]\n"
        "assert 'torch' not in sys.modules"
    )
    assert all(line.startswith(str(installed.site)) for line in installed("python", "-c", code).splitlines())
    assert "local-wiener" in installed("snips", "denoisers")
    assert "snips-example 0.1.0" in installed("snips", "plugins")


def test_it_runs_by_command_line(installed, tmp_path):
    noisy = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)
    imageio.imwrite(tmp_path / "noisy.png", noisy)
    out = tmp_path / "out"
    installed(
        *("snips", "run", tmp_path / "noisy.png", "--denoiser", "snips-example:local-wiener", "-d", "window=5"),
        *("--task", "denoise", "--sigma", "25/255", "--samples", 2, "--out", out),
    )
    assert {path.name for path in out.glob("*.png")} >= {"sample-000.png", "sample-001.png", "mean.png"}
    record = json.loads((out / "run.json").read_text())
    assert record["denoiser"]["card"]["name"] == "local-wiener"
    assert record["request"]["denoiser_options"] == {"window": "5"}


def test_its_own_test_passes(installed):
    out = installed("python", "-m", "pytest", "-p", "no:cacheprovider", EXAMPLE)
    assert "16 passed" in out
