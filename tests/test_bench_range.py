"""`snips bench range`: PSNR beyond a denoiser's range under each policy."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from snips.images import write_png
from snips_cli.main import main


def bench(*words: object) -> Result:
    return CliRunner().invoke(main, ["bench", "range", "--denoiser", *map(str, words)])


def rows(result: Result) -> list[list[float]]:
    """σ · 255, σ, then PSNR: noisy, clamped, scaled."""
    assert result.exit_code == 0, result.output
    lines = [re.findall(r"-?\d+\.?\d*", line) for line in result.output.splitlines() if line.startswith("│")]
    return [[float(number) for number in line] for line in lines]


def test_scaling_is_better_above_and_both_are_the_denoiser_at_the_end(here: Path) -> None:
    seen = rows(bench("tv", "gray.png", "colour.png", "--sigma", "1", "--sigma", "2", "--sigma", "1020/255"))
    assert [row[1] for row in seen] == [1, 2, 4]
    for times, (_, _, noisy, clamp, scale) in zip((1, 2, 4), seen, strict=True):
        assert noisy == pytest.approx(-20 * np.log10(times), abs=0.5)
        assert scale == pytest.approx(clamp, abs=0.01) if times == 1 else scale > clamp + 1


def test_by_default_both_ends_of_the_range(here: Path) -> None:
    levels = [row[1] for row in rows(bench("tv", "gray.png"))]
    assert levels == sorted(levels)
    assert levels[0] < 1 / 255 < 1 < levels[-1]
    assert pytest.approx(1 / 255, rel=0.01) in levels


def test_crop_and_gray(here: Path) -> None:
    write_png("wide.png", np.random.default_rng(0).random((3, 12, 30)))
    assert rows(bench("tv", "wide.png", "--crop", 8, "--gray", "--sigma", "2"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tv", "gray.png", "--sigma", "0"], "--sigma 0: not a positive number"),
        (["tv", "gray.png", "--sigma", "1/0"], "--sigma 1/0: not a positive number"),
        (["tv", "gray.png", "--crop", 99], "--crop 99: gray.png has only 16 pixels"),
        (["gaussian-field", "gray.png"], "made for every σ"),
        (["tv", "none.png"], "none.png: no such file"),
        (["tvv", "gray.png"], "did you mean tv"),
    ],
)
def test_bad_input_is_one_line(here: Path, words: list[object], message: str) -> None:
    result = bench(*words)
    assert result.exit_code in (1, 2)
    assert message in result.output
    assert result.output.strip().count("\n") == 0
