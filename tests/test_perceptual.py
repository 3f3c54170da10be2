"""Perceptual figures: best for equals, worse with noise and blur, unknown for small pictures, nothing downloaded."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from snips import perceptual
from snips.errors import WeightsError
from snips.images import bundled_picture


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return bundled_picture()[:, 20:84, 30:94].astype(np.float64)


@pytest.fixture(scope="module")
def blurred(picture) -> np.ndarray:
    from skimage.filters import gaussian

    return gaussian(picture, 2, channel_axis=0)


def noisy(picture: np.ndarray, sigma: float) -> np.ndarray:
    return picture + sigma * np.random.default_rng(0).normal(size=picture.shape)


LIBRARY = [
    (perceptual.haarpsi, 1.0, perceptual.HAARPSI_SIDE),
    (perceptual.gmsd, 0.0, perceptual.GMSD_SIDE),
    (perceptual.sliced_wasserstein, 0.0, perceptual.SLICED_SIDE),
]


@pytest.mark.parametrize(("figure", "best", "side"), LIBRARY, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("channels", [1, 3])
def test_a_perceptual_figure_is_best_for_equals_and_worse_with_noise_and_blur(
    picture, blurred, figure, best, side, channels
):
    x = picture[:channels]
    worse = [abs(figure(x, noisy(x, sigma)) - best) for sigma in (0, 0.02, 0.1, 0.3)]
    assert worse[0] == pytest.approx(0, abs=1e-5)
    assert worse == sorted(worse)
    assert abs(figure(x, blurred[:channels]) - best) > 0.05
    tiny = np.zeros((channels, side, side))
    assert not math.isnan(figure(tiny, tiny))
    assert math.isnan(figure(tiny[:, 1:], tiny[:, 1:]))


def test_patches_are_compared_wherever_they_lie(picture, blurred):
    moved = np.roll(picture, (3, 4), (1, 2))
    assert perceptual.haarpsi(picture, moved) < perceptual.haarpsi(picture, blurred)
    assert perceptual.sliced_wasserstein(picture, moved) < 0.4 * perceptual.sliced_wasserstein(picture, blurred)


def test_what_is_seen_is_measured(picture):
    beyond = np.where(picture > 0.9, picture + 3, picture)
    seen = np.where(picture > 0.9, 1, picture)
    assert perceptual.gmsd(picture, beyond) == perceptual.gmsd(picture, seen) > 0


def test_blur_needs_no_clean_picture(picture, blurred):
    assert 0 <= perceptual.blur(noisy(picture, 0.1)) < perceptual.blur(picture) < perceptual.blur(blurred) <= 1
    assert math.isnan(perceptual.blur(picture[:, :15]))


def test_ms_ssim_needs_176_pixels(picture):
    large = np.tile(picture, (1, 3, 3))[:, :176, :176]
    assert perceptual.ms_ssim(large, large) == pytest.approx(1)
    assert perceptual.ms_ssim(large, noisy(large, 0.2)) < 0.95
    assert math.isnan(perceptual.ms_ssim(large[:, 1:], large[:, 1:]))


@pytest.fixture
def squeeze(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Random weights where the store keeps those of SqueezeNet."""
    torchvision = pytest.importorskip("torchvision")
    monkeypatch.setenv("SNIPS_WEIGHTS_DIR", str(tmp_path))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = torchvision.models.squeezenet1_1().state_dict()
    torch.save(state, tmp_path / "lpips-squeeze.pth")
    perceptual._lpips_network.cache_clear()
    yield state
    perceptual._lpips_network.cache_clear()


def test_lpips_is_that_of_its_authors(squeeze, picture):
    theirs = pytest.importorskip("lpips").LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    theirs.net.load_state_dict(
        {name: squeeze[f"features.{name.partition('.')[2]}"] for name in theirs.net.state_dict()}
    )
    x, y = picture, noisy(picture, 0.05).clip(0, 1)
    expected = theirs(*(torch.from_numpy(p)[None].float() for p in (x, y)), normalize=True)
    before = torch.random.get_rng_state()
    assert perceptual.lpips(x, y, "squeeze") == pytest.approx(float(expected.detach()), rel=1e-4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert perceptual.lpips(x, x, "squeeze") == 0
    assert perceptual.lpips(x[:1], y[:1], "squeeze") == perceptual.lpips(
        *(np.repeat(p[:1], 3, 0) for p in (x, y)), "squeeze"
    )
    assert math.isnan(perceptual.lpips(x[:, :31], y[:, :31], "squeeze"))


def test_lpips_refuses_weights_of_another_network(squeeze, tmp_path):
    (tmp_path / "lpips-squeeze.pth").unlink()
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "lpips-squeeze.pth")
    with pytest.raises(WeightsError, match="not the weights of SqueezeNet"):
        perceptual.lpips(np.zeros((3, 40, 40)), np.zeros((3, 40, 40)), "squeeze")
