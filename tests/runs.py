"""`snips run` in this process, with an exact denoiser and few steps, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from snips_cli.main import main

QUICK = ["run", "--denoiser", "gaussian-field", "--sampler", "langevin", "--device", "cpu", "-s", "ratio=0.7"]


SLOW = """
import sys, time
import snips.analytic
denoise = snips.analytic.PowerLawField.denoise
def slow(self, x, sigma):
    time.sleep(0.002)
    return denoise(self, x, sigma)
snips.analytic.PowerLawField.denoise = slow
from snips_cli.main import main
main(sys.argv[1:])
"""
"""The command line in a process of its own, with a denoiser that takes its time, so that it can be killed at work."""


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [*QUICK, *map(str, words)])


def done(*words: object) -> Result:
    """A run that must end well."""
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result


def record(folder: Path | str) -> dict:
    """run.json, which must be JSON in the strict sense."""
    return json.loads((Path(folder) / "run.json").read_text(), parse_constant=pytest.fail)


def everything(folder: Path) -> dict[str, bytes | None]:
    """All that is in a folder, hidden or not."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}
