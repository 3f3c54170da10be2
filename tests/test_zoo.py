"""Every real network there is here, run as a user would run it: `snips run`, denoising and inpainting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from shared import SHARED, needs_shared
from snips_cli.main import main

pytestmark = [needs_shared, pytest.mark.weights]

NETWORKS = {
    "kair_dncnn_25.pth": ["dncnn", "Set12/01.png", "--out-of-range", "clamp"],  # made for σ0 alone
    "kair_dncnn_gray_blind.pth": ["dncnn", "Set12/01.png"],
    "kair_dncnn_color_blind.pth": ["dncnn", "CBSD68/148089.webp"],
    "kair_ffdnet_gray.pth": ["ffdnet", "Set12/01.png"],
    "kair_ffdnet_color.pth": ["ffdnet", "CBSD68/148089.webp"],
    "bfd_unet_biasfree_0-100.pt": ["bfcnn", "Set12/01.png"],
    "lcv_celeba160_gray_flat_RF13.pt": ["bfcnn", "faces", "--gray"],
    "lcv_celeba160_gray_flat_RF43.pt": ["bfcnn", "faces", "--gray"],
    "lcv_celeba40_low_BFCNN.pt": ["bfcnn", "faces", "--gray", "--size", "40"],
}
"""Its denoiser, a picture of its kind, and what more to say."""

NOISY = 20.17
"""PSNR of the noisy picture at σ = 25/255, in dB."""

STEPS = {"denoise": "steps=6", "inpaint": "steps=12"}


def test_no_network_is_left_out() -> None:
    assert SHARED
    assert {path.name for path in (SHARED / "weights").glob("*.pt*")} == set(NETWORKS)


@pytest.mark.parametrize("task", STEPS)
@pytest.mark.parametrize("file", NETWORKS)
@pytest.mark.filterwarnings("ignore::snips.errors.SnipsWarning")
def test_it_runs_on_pictures_of_its_kind(file: str, task: str, tmp_path: Path) -> None:
    assert SHARED
    denoiser, name, *more = NETWORKS[file]
    picture = SHARED / "images" / name
    picture = sorted(picture.iterdir())[0] if picture.is_dir() else picture
    words = ["run", str(picture), "--simulate", "--crop", "40", "--denoiser", denoiser, *more, "--task", task]
    words += ["-d", f"weights={SHARED / 'weights' / file}", "-s", STEPS[task], "--sigma", "25/255", "--samples", "2"]
    result = CliRunner().invoke(main, [*words, "--device", "cpu", "--out", str(tmp_path / "out"), "-q"])
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    (entry,) = record["images"]
    alone = file == "kair_dncnn_25.pth"
    assert any("steps at a σ outside {0.09804}: clamp" in line for line in record["warnings"]) == alone
    if task == "denoise":
        assert entry["mmse"]["psnr"] > NOISY + 5
        assert alone or entry["posterior_mean"]["psnr"] > NOISY + 4
    else:
        assert alone or entry["hole"]["posterior_mean"]["psnr"] > entry["hole"]["fill"]["psnr"]
    assert alone or entry["residual"]["std_over_sigma"][0] == pytest.approx(1, abs=0.25)


def test_a_network_of_one_level_is_refused_unless_a_policy_is_asked_for(tmp_path: Path) -> None:
    assert SHARED
    words = ["run", str(SHARED / "images" / "Set12/01.png"), "--simulate", "--crop", "40", "--sigma", "25/255"]
    words += ["--denoiser", "dncnn", "-d", f"weights={SHARED / 'weights' / 'kair_dncnn_25.pth'}"]
    result = CliRunner().invoke(main, [*words, "--device", "cpu", "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "19 of 20 steps lie outside it" in result.output
    assert not (tmp_path / "out").exists()
