"""Classical denoisers as priors: they denoise, by the σ of each row, and keep what lies outside [0, 1]."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.linalg import helmert
from skimage import data
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

import snips
from snips.errors import InvalidValue, MissingExtra, WeightsError
from snips.testing import parametrize_with_checks
from snips_plugins.classical.filters import calibration, measured, nlm, rof
from snips_plugins.classical.gmm import PACKAGED, PatchDenoiser, PatchMixture, load_mixtures

NAMES = ("nlm", "wavelet", "tv", "gmm")
FILTERS = ("nlm", "wavelet", "tv")
GAINS = {"nlm": (6.6, 6.5), "wavelet": (7.4, 8.2), "tv": (6.9, 8.2), "gmm": (8.1, 8.6)}
"""In dB at σ = .1, gray and colour: .3 dB less than seen."""

pytest.importorskip("pywt", reason="the extra wavelet is not installed")


def picture(size: int = 48) -> Tensor:
    """(1, 3, size, size) of the astronaut, on which nothing is trained or measured."""
    return torch.from_numpy(data.astronaut()[60 : 60 + size, 180 : 180 + size]).permute(2, 0, 1)[None] / 255


def noisy(clean: Tensor, sigma: float, seed: int = 0) -> Tensor:
    return clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))


def psnr(seen: Tensor, clean: Tensor) -> float:
    return float(-10 * (seen - clean).square().mean().log10())


@parametrize_with_checks(list(NAMES))
def test_conformance(check: object) -> None:
    check()  # type: ignore[operator]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_it_denoises(name: str, channels: int) -> None:
    clean = picture()[:, :channels]
    x = noisy(clean, 0.1)
    gain = psnr(snips.denoise(snips.load_denoiser(name), x, 0.1), clean) - psnr(x, clean)
    assert gain > GAINS[name][channels == 3]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_is_clipped_or_scaled_an_offset_goes_through(name: str, channels: int) -> None:
    denoiser, x = snips.load_denoiser(name), noisy(picture(24)[:, :channels], 0.2).double()
    for offset in (2.0, -3.0):
        moved = snips.denoise(denoiser, x + offset, 0.2) - offset
        torch.testing.assert_close(moved, snips.denoise(denoiser, x, 0.2), rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_rows_together_are_those_one_by_one_each_with_its_sigma(name: str, channels: int) -> None:
    denoiser, sigma = snips.load_denoiser(name), torch.tensor([0.05, 0.3, 0.05])
    x = noisy(picture(20)[:, :channels].expand(3, -1, -1, -1), 0.1)
    together = denoiser.denoise(x, sigma)
    for row in range(3):
        assert torch.equal(together[row : row + 1], denoiser.denoise(x[row : row + 1], sigma[row : row + 1]))
    assert not torch.equal(together[1:2], denoiser.denoise(x[1:2], sigma[:1]))


@pytest.mark.parametrize("name", FILTERS)
def test_rows_in_threads_are_those_in_one(name: str) -> None:
    x = noisy(picture(20).expand(4, -1, -1, -1), 0.1)
    one, three = (snips.denoise(snips.load_denoiser(name, workers=count), x, 0.1) for count in (1, 3))
    assert torch.equal(one, three)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 20), (17, 19)])
def test_small_and_odd_pictures(name: str, size: tuple[int, int]) -> None:
    for channels in (1, 3):
        x = noisy(torch.full((2, channels, *size), 0.5), 0.1)
        answer = snips.denoise(snips.load_denoiser(name), x, 0.1)
        assert answer.shape == x.shape
        assert answer.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_and_wrong_channels(name: str) -> None:
    denoiser = snips.load_denoiser(name)
    assert snips.denoise(denoiser, torch.empty(0, 3, 8, 8), 0.1).shape == (0, 3, 8, 8)
    with pytest.raises(InvalidValue, match=f"{name} denoises pictures of 1 or 3 channels, not of 2"):
        snips.denoise(denoiser, torch.rand(1, 2, 8, 8), 0.1)


def test_wrong_options() -> None:
    for name in FILTERS:
        with pytest.raises(InvalidValue, match=f"{name}'s workers must be at least 1, not 0"):
            snips.load_denoiser(name, workers=0)
    with pytest.raises(InvalidValue, match="wavelet's shifts must be at least 1, not 0"):
        snips.load_denoiser("wavelet", shifts=0)


def test_without_pywavelets_one_line_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pywt", None)
    with pytest.raises(MissingExtra, match=r"wavelet needs pywt: pip install 'snips-toolkit\[wavelet\]'"):
        snips.load_denoiser("wavelet")
    assert snips.load_denoiser("tv")


def test_shifts_pay() -> None:
    clean = picture()
    x = noisy(clean, 0.1)
    one, four = (psnr(snips.denoise(snips.load_denoiser("wavelet", shifts=n), x, 0.1), clean) for n in (1, 4))
    assert four > one + 0.7


@pytest.mark.parametrize("function", [nlm, rof])
@pytest.mark.parametrize("sigma", [10 / 255, 50 / 255])
def test_the_measured_strength_is_about_the_best_on_a_picture_it_was_not_measured_on(function, sigma) -> None:  # type: ignore[no-untyped-def]
    clean = data.astronaut()[60:156, 180:276].mean(2) / 255
    x = clean + sigma * np.random.default_rng(0).standard_normal(clean.shape)
    best = measured("nlm" if function is nlm else "tv", "gray", sigma)
    less, right, more = (np.mean((function(x, sigma, factor * best) - clean) ** 2) for factor in (0.5, 1, 2))
    assert right < less
    assert right < more


def test_strengths_between_and_beyond_the_levels_measured() -> None:
    levels, strengths = calibration()["sigma"], calibration()["tv.gray"]
    assert measured("tv", "gray", levels[3]) == pytest.approx(strengths[3])
    assert min(strengths[3:5]) < measured("tv", "gray", (levels[3] * levels[4]) ** 0.5) < max(strengths[3:5])
    assert measured("tv", "gray", 0.0) == pytest.approx(strengths[0])
    assert measured("tv", "gray", 9.0) == pytest.approx(strengths[-1])


def random_mixture(count: int, d: int) -> tuple[Tensor, Tensor, Tensor]:
    """π, μ and Cholesky factors of a mixture in d dimensions."""
    random = torch.Generator().manual_seed(0)
    factors = 0.2 * torch.randn(count, d, d, dtype=torch.float64, generator=random).tril()
    means = 0.3 * torch.randn(count, d, dtype=torch.float64, generator=random)
    return torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64), means, factors


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sigma", [0.02, 0.2, 2.0])
def test_a_patch_is_its_posterior_mean(channels: int, sigma: float) -> None:
    """A picture of one patch: Tweedie's formula, y + σ² ∇ log p(y), p by torch's own distributions."""
    d = 4 * channels - 1
    weights, means, factors = random_mixture(3, d)
    lower = factors[(slice(None), *torch.tril_indices(d, d))]
    denoiser = PatchDenoiser({channels: PatchMixture.learned(weights, means, lower, channels)})
    noise = sigma**2 * torch.eye(d, dtype=torch.float64)
    density = MixtureSameFamily(Categorical(weights), MultivariateNormal(means, factors @ factors.mT + noise))
    y = noisy(torch.full((1, channels, 2, 2), 0.5), 0.3).double().requires_grad_()
    (gradient,) = torch.autograd.grad(density.log_prob(torch.from_numpy(helmert(d + 1)) @ y.flatten()), y)
    exact = y.detach() + sigma**2 * gradient
    torch.testing.assert_close(snips.denoise(denoiser, y.detach(), sigma), exact, rtol=0, atol=1e-5)


def test_mixtures_say_where_they_come_from_and_are_small() -> None:
    card = snips.weights.read_metadata(PACKAGED)
    assert "Unsplash" in card["data"]
    assert PACKAGED.stat().st_size < 1.5e6


def test_weights_of_one_kind_only(tmp_path: Path) -> None:
    path = tmp_path / "gray.safetensors"
    save_file({name: t for name, t in load_file(PACKAGED).items() if name.startswith("gray")}, path)
    assert load_mixtures(path, "cpu").channels == (1,)


def test_weights_that_are_none(tmp_path: Path) -> None:
    path, good = tmp_path / "bad.safetensors", load_file(PACKAGED)
    bad = {
        "no patch mixtures": {"conv.weight": torch.zeros(3)},
        "gray.factors of shape": good | {"gray.factors": good["gray.factors"][:, 1:].contiguous()},
        "gray.weights of shape": {name: t for name, t in good.items() if name != "gray.weights"},
        "colour.means of shape": good | {"colour.means": good["colour.means"] * torch.nan},
    }
    for message, state in bad.items():
        save_file(state, path)
        with pytest.raises(WeightsError, match=message):
            snips.load_denoiser("gmm", weights=path)
