"""Small studies in this process, with an exact denoiser and few steps, and what they leave."""

from __future__ import annotations

from pathlib import Path

import pandas
from click.testing import CliRunner, Result

from snips_cli.main import main
from snips_cli.study.folder import StudyFolder
from snips_cli.study.merge import TIMES

STUDY = """
samples = 2
sigmas = [0.1, "51/255"]
priors = ["gaussian-field", { denoiser = "gaussian-field", options = { power = 1.0 }, label = "flat" }]
samplers = [{ sampler = "langevin", options = { ratio = 0.7 } }]
images = [{ from = ["gray.png", "colour.png"], crop = 12 }]
seeds = [0, 1]
metrics = ["psnr", "residual", "mse_ratio"]
"""
"""2 priors × 2 pictures × 2 noise levels × 2 seeds."""

CELLS = 16


def study(*words: object, text: str = STUDY) -> Result:
    """`snips study run study.toml …`, the file with this text."""
    Path("study.toml").write_text(text, encoding="utf-8")
    return CliRunner().invoke(main, ["study", "run", "study.toml", "--device", "cpu", *map(str, words)])


def done(*words: object, text: str = STUDY) -> Result:
    """A study that must end well."""
    result = study(*words, text=text)
    assert result.exit_code == 0, result.output
    return result


def tables(path: str | Path) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """cells.parquet and rows.parquet without what no two runs have in common."""
    folder = StudyFolder.open(path)
    cells, rows = folder.cells(), folder.rows()
    return cells.drop(columns=list(TIMES)), rows.drop(columns="seconds")


def assert_same(one: str | Path, two: str | Path) -> None:
    """Two folders hold the same tables, to the bit."""
    for first, second in zip(tables(one), tables(two), strict=True):
        pandas.testing.assert_frame_equal(first, second, check_exact=True)


def landed(folder: str | Path) -> dict[str, int]:
    """The cells that are there, and when each appeared."""
    files = Path(folder).glob("cells/??/*/cell.json")
    return {p.parent.name: p.stat().st_mtime_ns for p in files if not p.parent.name.startswith(".")}
