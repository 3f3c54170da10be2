"""`snips bench truth`: what it runs, what it prints and writes, and what it says of bad requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

import snips
from snips_cli import peers
from snips_cli.bench_truth import chosen_peers, chosen_problems
from snips_cli.main import main


def bench(*words: object) -> Result:
    return CliRunner().invoke(main, ["bench", "truth", *map(str, words)])


def results(*words: object) -> list[dict[str, Any]]:
    done = bench(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["results"]


def test_every_call_count_of_a_sampler_is_measured() -> None:
    found = results("--problem", "field-denoise-0.203", "--sampler", "reverse-sde", "--nfe", 5, "--nfe", 10)
    assert [(r["sampler"], r["nfe"], r["library"], r["exact"]) for r in found] == [
        ("reverse-sde", 5, "snips", True),
        ("reverse-sde", 10, "snips", True),
    ]
    assert all(r["figures"]["w2"][0] < 0.02 for r in found)


def test_options_of_the_sampler_are_kept() -> None:
    (found,) = results(
        "--problem", "field-denoise-1", "--sampler", "reverse-sde", "-s", "steps=4", "-s", "variant=euler"
    )
    assert found["nfe"] == 4
    assert found["figures"]["w2"][0] > 0.1


def test_a_sampler_is_not_run_where_it_has_no_step() -> None:
    assert results("--problem", "mixture-2d-inpaint", "--sampler", "reverse-sde") == []


def test_tables_and_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need the extra study")
    out = tmp_path / "bench"
    words = ("--problem", "mixture-2d-denoise", "--problem", "calibration-denoise", "--sampler", "reverse-sde")
    done = bench(*words, "--nfe", 5, "--samples", 100, "--out", out)
    assert done.exit_code == 0, done.output
    for heading in ("TV", "sliced W2", "MSE ratio", "TARP", "2-D mixture, denoising"):
        assert heading in done.output
    written = json.loads((out / "truth.json").read_text(encoding="utf-8"))
    mixture, card = written["results"]
    assert mixture["kind"] == "weights"
    assert len(mixture["figures"]["tv"]) == 2
    assert [gate["name"] for gate in card["card"]["gates"]][2] == "TARP"
    assert set(written["problems"]) == {"mixture-2d-denoise", "calibration-denoise"}
    with Image.open(out / "truth.png") as picture:
        assert min(picture.size) > 300
    assert "exists" in bench("--out", out).output


def test_names_beginnings_and_globs() -> None:
    def names(*patterns: str) -> list[str]:
        return [problem.name for problem in chosen_problems(patterns, full=False)]

    assert names("field-half") == ["field-half-0.05", "field-half-0.1", "field-half-0.2"]
    assert names("*-hard") == ["mixture-64d-hard"]
    assert names("calibration") == ["calibration-denoise", "calibration-half", "calibration-mixture"]
    quick, full = names(), [p.name for p in chosen_problems((), full=True)]
    assert set(quick) < set(full)
    assert {"field-denoise-0.203", "mixture-64d-hard", "calibration-half"} <= set(quick)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--problem", "mixture-64d-hardd"], "did you mean mixture-64d-hard"),
        (["--problem", "nothing"], "there are field-denoise-0.1"),
        (["--sampler", "reverse-sd"], "did you mean reverse-sde"),
        (["--problem", "field-denoise-1", "--sampler", "reverse-sde", "-s", "step=4"], "did you mean steps"),
        (["--problem", "field-denoise-1", "--sampler", "reverse-sde", "--nfe", "1"], "at least 2, not 1"),
        (["--samples", "3"], "--samples"),
    ],
)
def test_bad_requests_are_one_line(words: list[str], message: str) -> None:
    done = bench(*words)
    assert message in done.stderr
    assert done.stderr.strip().count("\n") == 0


def test_what_is_not_installed_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'snips-toolkit[study]'" in bench("--out", tmp_path / "x").stderr
    assert "pip install deepinv" in bench("--peers").stderr
    assert not (tmp_path / "x").exists()


def test_calls_and_gradients_are_counted() -> None:
    counted = peers.Counted(snips.analytic.GaussianPrior.power_law((1, 3, 3)))
    x = torch.rand(2, 1, 3, 3, dtype=torch.float64)
    with torch.no_grad():
        D = counted(x, 0.1)
    assert counted.calls == 1
    assert torch.allclose(D, counted.denoiser.denoise(x, torch.full((2,), 0.1, dtype=torch.float64)))
    _, pull = torch.func.vjp(lambda z: counted(z, torch.tensor([0.1, 0.2])), x)
    pull(torch.ones_like(x))
    pull(torch.ones_like(x))
    assert counted.calls == 4
    x = x.clone().requires_grad_()
    counted(x, 0.1).sum().backward()
    assert counted.calls == 6
    assert x.grad is not None


def test_deepinvs_samplers_run_on_our_prior() -> None:
    pytest.importorskip("deepinv", reason="deepinv is not installed")
    found = results("--problem", "mixture-64d-denoise", "--sampler", "deepinv", "--samples", 40)
    quick = {peer.name for peer in chosen_peers(True, (), full=False)}
    assert {r["sampler"] for r in found} == quick >= {"DDRM", "DiffPIR"}
    assert all(r["library"] == "deepinv" and r["nfe"] >= 100 for r in found)
    ddrm = next(r for r in found if r["sampler"] == "DDRM")
    assert max(ddrm["figures"]["std_observed"]) < 0.6  # its packaged noise is too small by √2
