"""`snips bench speed`: every way of calling a denoiser is timed, and what it loses is said."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

import snips
from snips_cli import bench_speed
from snips_cli.main import main
from snips_plugins.networks import NetworkDenoiser


class OneConv(nn.Module):
    """A Gaussian blur, and a note of the layouts and the format it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        nn.init.constant_(self.conv.weight, 1 / 9)
        nn.init.zeros_(self.conv.bias)
        self.seen: set[tuple[bool, torch.dtype]] = set()

    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        answer = self.conv(x)
        last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        self.seen.add((last, answer.dtype))
        return answer


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> OneConv:
    made = OneConv()
    levels = snips.NoiseLevels(0, 1)
    monkeypatch.setattr(snips, "load_denoiser", lambda name, **options: NetworkDenoiser(made, "clean", levels, (3,)))
    return made


def bench(*words: object) -> Result:
    return CliRunner().invoke(main, ["bench", "speed", "--rounds", "1", "--rows", "2", *map(str, words)])


def rows(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_way_is_what_it_says(network: OneConv) -> None:
    heading, *lines = rows(bench("--size", 16, "--size", 24, "--way", "float32", "--way", "bfloat16"))
    assert heading == ["denoiser", "way", "16²", "24²", "PSNR", "loss"]
    assert [line[1] for line in lines] == ["float32", "bfloat16"]
    assert all(float(cell) > 0 for line in lines for cell in line[2:5])
    assert float(lines[0][5]) == 0
    assert abs(float(lines[1][5])) < 0.1
    assert network.seen == {(True, torch.float32), (True, torch.bfloat16)}
    network.seen.clear()
    assert [line[1] for line in rows(bench("--size", 16, "--way", "contiguous"))[1:]] == ["contiguous"]
    assert network.seen == {(False, torch.float32)}


def test_compiled_it_is_compiled(network: OneConv, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function: compiled.append(function) or function)
    rows(bench("--size", 16, "--way", "compiled", "--way", "compiled-bfloat16"))
    assert len(compiled) == 2
    assert network.seen == {(True, torch.float32), (True, torch.bfloat16)}


def test_a_slower_denoiser_is_slower() -> None:
    class Slow:
        noise_levels = snips.NoiseLevels(0, 1)

        def __init__(self, seconds: float) -> None:
            self.seconds = seconds

        def denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            time.sleep(self.seconds)
            return x

    cases = [bench_speed.Case("", "float32", 3, Slow(seconds)) for seconds in (0.02, 0.2)]
    clean = {3: torch.zeros(3, 8, 8)}
    fast, slow = bench_speed.speed(cases, clean, 8, 3, 1, torch.device("cpu"), time.perf_counter)
    assert slow == pytest.approx(3 / 0.2, rel=0.3)
    assert fast > 2 * slow


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--denoiser", "tv", "--way", "contiguous"], "does not set the memory layout of Rows"),
        (["--way", "float8"], "'float8' is not one of"),
        (["--denoiser", "tvv"], "did you mean tv"),
        (["--size", "999"], "has only"),
    ],
)
def test_bad_input_is_one_line(words: list[str], message: str, tmp_path: Path) -> None:
    result = bench(*words)
    assert result.exit_code in (1, 2)
    assert message in result.output
    assert result.output.strip().count("\n") == 0
