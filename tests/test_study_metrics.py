"""A study's figures: exact posteriors have the values that theory gives, and what cannot be known is None."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import snips
from snips import perceptual
from snips.errors import InvalidValue, WeightsError
from snips.images import bundled_picture
from snips_cli.study import metrics
from snips_cli.study.metrics import DEFAULT, NAMES, check, measure


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return bundled_picture()[:, 20:84, 30:94].astype(np.float64)


def test_lpips_without_weights_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setenv("SNIPS_WEIGHTS_DIR", str(tmp_path))
    for name, weights in (("lpips", "lpips-alex"), ("lpips_vgg", "lpips-vgg")):
        with pytest.raises(WeightsError, match=f"`snips weights get {weights}`"):
            check([name])


def test_features_are_kept_for_sets(tmp_path, monkeypatch, picture):
    torchvision = pytest.importorskip("torchvision")
    monkeypatch.setenv("SNIPS_WEIGHTS_DIR", str(tmp_path))
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = torchvision.models.alexnet(weights=None).features.state_dict()
    state = {f"features.{n}": 0.05 * torch.randn(x.shape, generator=generator) for n, x in shapes.items()}
    torch.save(state, tmp_path / "lpips-alex.pth")
    perceptual._lpips_network.cache_clear()
    clean = torch.from_numpy(picture).float()
    y = observed(clean)
    check(["kid", "lpips"])
    got = measure(clean, y, clean, torch.stack([y.y, clean]), ["kid"])
    assert {n: tuple(x.shape) for n, x in got.tensors.items()} == {
        "feature.alex.clean": (1, 256),
        "feature.alex.mmse": (1, 256),
        "feature.alex.samples": (2, 256),
    }
    assert torch.equal(got.tensors["feature.alex.samples"][1], got.tensors["feature.alex.clean"][0])
    assert not torch.equal(got.tensors["feature.alex.samples"][0], got.tensors["feature.alex.clean"][0])
    small = measure(clean[:, :20, :20], observed(clean[:, :20, :20]), None, clean[None, :, :20, :20], ["kid"])
    assert small.tensors == small.per_cell == small.per_sample == {}
    perceptual._lpips_network.cache_clear()


def observed(clean: torch.Tensor, mask: torch.Tensor | None = None) -> snips.Observation:
    y = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    return snips.Observation(y, 0.1, snips.Identity() if mask is None else snips.Mask(mask))


def test_columns_follow_from_the_names_alone(picture):
    clean = torch.from_numpy(picture).float()
    y = observed(clean)
    samples = y.y + 0.05 * torch.randn(3, *clean.shape, generator=torch.Generator().manual_seed(2))
    names = [name for name in NAMES if not metrics.BY_NAME[name].weights]
    mask = torch.ones(clean.shape[1:], dtype=torch.bool)
    mask[:8] = False
    cases = [
        (clean, y, clean + 0.01, samples),
        (clean, y, clean + 0.01, samples[:0]),
        (clean, observed(clean, mask), None, samples[:1]),
        (clean[:1, :6, :6], observed(clean[:1, :6, :6]), None, samples[:, :1, :6, :6]),
    ]
    measured = [measure(*case, names) for case in cases]
    for case, one in zip(cases, measured, strict=True):
        assert set(one.per_cell) == set(measured[0].per_cell)
        assert {name: len(values) for name, values in one.per_sample.items()} == dict.fromkeys(
            measured[0].per_sample, len(case[3])
        )
        values = [*one.per_cell.values(), *(v for column in one.per_sample.values() for v in column)]
        assert all(value is None or not math.isnan(value) for value in values)


def test_the_figures_of_denoising(picture):
    clean = torch.from_numpy(picture).float()
    y = observed(clean)
    got = measure(clean, y, clean + 0.1, torch.stack([clean - 0.1, clean + 0.3]), DEFAULT)
    assert got.per_cell["mmse_psnr"] == pytest.approx(20, abs=1e-3)
    assert got.per_cell["mean_psnr"] == pytest.approx(20, abs=1e-3)
    assert got.per_sample["psnr"] == pytest.approx([20, -10 * math.log10(0.09)], abs=1e-3)
    assert got.per_cell["mse_ratio"] == pytest.approx(5, rel=1e-4)
    assert got.per_cell["diversity"] == pytest.approx(0.4, rel=1e-4)
    assert got.per_sample["residual_std"] == pytest.approx([1, 1], abs=0.03)
    assert got.per_cell["mmse_residual_std"] == pytest.approx(1, abs=0.03)
    assert got.per_cell["coverage_50"] is None
    assert got.per_cell["pit_0"] is not None
    assert got.per_sample["hole_psnr"] == [None, None]
    assert got.per_cell["hole_diversity"] is None


def test_the_figures_of_inpainting_are_also_of_the_hole(picture):
    clean = torch.from_numpy(picture).float()
    mask = torch.ones(clean.shape[1:], dtype=torch.bool)
    mask[:8] = False
    samples = torch.stack([torch.where(mask, clean + 0.01, clean + off) for off in (0.1, 0.3)])
    got = measure(clean, observed(clean, mask), None, samples, DEFAULT)
    assert got.per_sample["hole_psnr"] == pytest.approx([20, -20 * math.log10(0.3)], abs=1e-3)
    assert got.per_cell["mean_hole_psnr"] == pytest.approx(-20 * math.log10(0.2), abs=1e-3)
    assert got.per_cell["hole_diversity"] == pytest.approx(0.2, rel=1e-4)
    assert got.per_cell["mse_ratio"] is None
    assert got.per_cell["mmse_psnr"] is None
    assert got.per_sample["residual_std"] == pytest.approx([1, 1], abs=0.05)


def test_what_cannot_be_known_has_a_reason():
    named = metrics.BY_NAME
    assert named["ms_ssim"].unknown(64, 4) == "MS-SSIM needs pictures of 176 pixels a side, and these have 64"
    assert named["diversity"].unknown(64, 1) == "diversity needs 2 samples, and there are 1"
    assert named["mse_ratio"].unknown(64, 4, denoising=False) == "MSE ratio is of denoising alone"
    assert named["psnr"].unknown(1, 0) == ""


def test_every_metric_is_declared():
    assert len(NAMES) == len(set(NAMES)) == len(metrics.METRICS)
    assert set(DEFAULT) < set(NAMES)
    for metric in metrics.METRICS:
        assert metric.says.endswith(".")
        assert (
            metric.better in ("higher", "lower")
            or metric.target is not None
            or metric.name in ("diversity", "calibration")
        )


def test_every_metric_is_on_the_page():
    text = (Path(__file__).resolve().parents[1] / "docs" / "report.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}`" not in text] == []


def test_an_unknown_metric_is_named():
    with pytest.raises(InvalidValue, match="unknown metric pnsr; did you mean psnr"):
        check(["ssim", "pnsr"])
    check(DEFAULT)
