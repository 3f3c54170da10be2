"""snips run: bad input is one line, the right exit code, no call of the denoiser, and nothing written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import snips
from runs import done, everything, record, run
from snips.analytic import PowerLawField
from snips.images import write_png

CLEAN = ["gray.png", "--simulate"]
BAD: dict[str, tuple[list[object], int, str]] = {
    "no such picture": (["absent.png", "--sigma", "0.1"], 1, "absent.png: no such file"),
    "empty picture": (["empty.png", "--sigma", "0.1"], 1, "empty.png: the file is empty"),
    "corrupt picture": (["corrupt.png", "--sigma", "0.1"], 1, "corrupt.png: cannot be read"),
    "wrong channels": (["five.npy", "--sigma", "0.1"], 1, "five.npy: shape"),
    "NaN": (["nan.npy", "--sigma", "0.1"], 1, "nan.npy: 1 values are NaN"),
    "0..255": (["big.npy", "--sigma", "0.1"], 1, "divide by 255"),
    "second picture bad": (["gray.png", "nan.npy", "--sigma", "0.1"], 1, "nan.npy"),
    "sigma missing": (["gray.png"], 2, "needs --sigma"),
    "sigma over 1": ([*CLEAN, "--sigma", "25"], 2, "did you mean 25/255?"),
    "sigma negative": ([*CLEAN, "--sigma", "-0.1"], 2, "positive"),
    "sigma zero": ([*CLEAN, "--sigma", "0"], 2, "positive"),
    "sigma NaN": ([*CLEAN, "--sigma", "nan"], 2, "positive"),
    "sigma text": ([*CLEAN, "--sigma", "loud"], 2, "not a number"),
    "sigma over nothing": ([*CLEAN, "--sigma", "1/0"], 2, "not a number"),
    "sigma auto of a clean picture": ([*CLEAN, "--sigma", "auto"], 2, "simulated"),
    "sigma auto of no noise": (["flat.npy", "--sigma", "auto"], 2, "no noise"),
    "sigma below all levels": ([*CLEAN, "--sigma", "0.001"], 2, "σ0 = 0.001"),
    "unknown denoiser": ([*CLEAN, "--denoiser", "gausian-field"], 2, "did you mean gaussian-field"),
    "unknown sampler": ([*CLEAN, "--sampler", "langvin"], 2, "did you mean langevin?"),
    "unknown task": ([*CLEAN, "--task", "paint"], 2, "did you mean inpaint?"),
    "unknown option": ([*CLEAN, "-s", "epsilom=1"], 2, "did you mean epsilon?"),
    "unknown option of a task": ([*CLEAN, "-t", "mask=text"], 2, "task denoise has no option mask"),
    "option of the wrong type": ([*CLEAN, "-s", "steps_per_level=some"], 2, "not of type int"),
    "option out of bounds": ([*CLEAN, "-s", "epsilon=-1"], 2, "positive"),
    "no samples": ([*CLEAN, "--samples", "0"], 2, "--samples"),
    "negative seed": ([*CLEAN, "--seed", "-1"], 2, "--seed"),
    "no dtype": ([*CLEAN, "--dtype", "float7"], 2, "float7"),
    "no device": ([*CLEAN, "--device", "abacus"], 1, "abacus"),
    "mask missing": (["gray.png", "--sigma", "0.1", "--task", "inpaint"], 2, "-t mask="),
    "mask of another size": ([*CLEAN, "--task", "inpaint", "-t", "mask=small.png"], 2, "small.png is 4×4 pixels"),
    "mask hides everything": ([*CLEAN, "--task", "inpaint", "-t", "mask=rows:18"], 2, "hides all"),
    "mask hides nothing": ([*CLEAN, "--task", "inpaint", "-t", "mask=random:0"], 2, "hides no pixel"),
    "mask unknown": ([*CLEAN, "--task", "inpaint", "-t", "mask=txt"], 2, "mask=txt"),
    "crop too large": ([*CLEAN, "--crop", "17"], 2, "has only 16 pixels"),
    "size of an observed picture": (["gray.png", "--sigma", "0.1", "--size", "8"], 2, "--size"),
    "out exists": ([*CLEAN, "--out", "there"], 1, "there exists"),
    "out is a file": ([*CLEAN, "--out", "gray.png", "--overwrite"], 1, "no run's folder"),
    "out is not a run's": ([*CLEAN, "--out", "there", "--overwrite"], 1, "no run's folder"),
    "out under a file": ([*CLEAN, "--out", "gray.png/first"], 1, "gray.png is no folder"),
    "out cannot be made": ([*CLEAN, "--out", "/proc/first"], 1, "/proc"),
    "out is here": ([*CLEAN, "--out", "."], 1, "--out"),
    "weights absent": ([*CLEAN, "--denoiser", "ncsnv2", "-d", "weights=none.pth"], 1, "none.pth"),
    "weights truncated": ([*CLEAN, "--denoiser", "ncsnv2", "-d", "weights=cut.pth"], 1, "cut.pth"),
    "weights hostile": ([*CLEAN, "--denoiser", "ncsnv2", "-d", "weights=evil.pth"], 1, "evil.pth"),
    "resume of nothing named": ([*CLEAN, "--resume"], 2, "--out"),
}


class Hostile:
    """Unpickled, it writes a file."""

    def __reduce__(self):
        return Path.write_text, (Path("stolen"), "everything")


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_writes_nothing(here, monkeypatch, case):
    Path("empty.png").touch()
    Path("corrupt.png").write_bytes(Path("gray.png").read_bytes()[:100])
    np.save("five.npy", np.zeros((6, 6, 5)))
    np.save("nan.npy", np.where(np.indices((18, 16)).sum(0) == 3, np.nan, 0.5)[:1, :4])
    np.save("big.npy", np.full((18, 16), 200.0))
    np.save("flat.npy", np.full((18, 16), 0.5))
    write_png("small.png", np.eye(4))
    torch.save([{"module.begin_conv.weight": torch.zeros(128, 3, 3, 3)}], "whole.pth")
    Path("cut.pth").write_bytes(Path("whole.pth").read_bytes()[:2000])
    torch.save([Hostile()], "evil.pth")
    Path("there").mkdir()
    Path("there/thesis.txt").write_text("precious")
    called: list[int] = []
    monkeypatch.setattr(PowerLawField, "denoise", lambda *_: called.append(1))
    before = everything(here)

    words, code, says = BAD[case]
    result = run(*words)
    assert says in result.stderr
    assert result.stderr.startswith("snips: ")
    assert result.stderr.count("\n") == 1
    assert result.exit_code == code
    assert result.stdout == ""
    assert everything(here) == before
    assert called == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_no_gpu(here):
    result = run(*CLEAN, "--device", "cuda")
    assert result.exit_code == 1
    assert "device cuda cannot be used here" in result.stderr


class TestNarrow:
    """A denoiser for some σ and gray pictures only."""

    @pytest.fixture(autouse=True)
    def narrow(self, monkeypatch):
        monkeypatch.setattr(PowerLawField, "noise_levels", snips.NoiseLevels(0.05, 0.06), raising=True)
        monkeypatch.setattr(PowerLawField, "channels", (1,), raising=False)

    def test_sigma_outside_its_range(self, here):
        before = everything(here)
        result = run(*CLEAN)
        assert result.exit_code == 2
        assert "[0.05, 0.06]" in result.stderr
        assert result.stderr.count("\n") == 1
        assert everything(here) == before

    @pytest.mark.parametrize("policy", ["clamp", "scale"])
    def test_a_policy_is_stated_and_recorded(self, here, policy):
        result = done(*CLEAN, "--samples", 1, "--out", "first", "--out-of-range", policy)
        data = record("first")
        assert data["request"]["out_of_range"] == policy
        (warning,) = data["warnings"]
        assert policy in warning
        assert warning in result.stderr
        assert data["images"][0]["mmse"]["psnr"] is not None

    def test_colour_is_refused_and_gray_is_the_remedy(self, here):
        words = ["colour.png", "--simulate", "--sigma", "0.061", "-s", "sigma_min=0.05", "--samples", 1]
        result = run(*words, "--out", "first")
        assert result.exit_code == 1
        assert "--gray" in result.stderr
        result = done(*words, "--gray", "--out", "first")
        assert "no MMSE estimate" in result.stderr  # σ0 itself lies outside
        assert record("first")["images"][0]["mmse"] is None

    def test_the_bundled_picture_is_made_gray(self, here):
        done("--size", 16, "--sigma", "0.06", "-s", "sigma_min=0.05", "--samples", 1, "--out", "first")
        assert record("first")["images"][0]["shape"] == [1, 16, 16]
