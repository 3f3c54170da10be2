"""BM3D as a denoiser of batches. Skipped where the non-commercial `bm3d` package is not installed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

import snips
from snips.errors import InvalidValue, MissingExtra
from snips.testing.bench import smooth_pictures
from snips_plugins.bm3d import BM3D

bm3d = pytest.importorskip("bm3d", reason="the extra bm3d is not installed")


def colour(size: int = 40) -> Tensor:
    return torch.from_numpy(data.astronaut()[60 : 60 + size, 180 : 180 + size]).permute(2, 0, 1)[None] / 255


def noisy(clean: Tensor, sigma: float, seed: int = 0) -> Tensor:
    return clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))


def psnr(seen: Tensor, clean: Tensor) -> float:
    return float(-10 * (seen - clean).square().mean().log10())


@pytest.fixture(scope="module")
def denoiser() -> snips.MMSEDenoiser:
    return snips.load_denoiser("bm3d", workers=2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("sigma", "gain"), [(0.1, 7.0), (0.3, 9.0)])
def test_it_denoises(denoiser: snips.MMSEDenoiser, channels: int, sigma: float, gain: float) -> None:
    clean = colour()[:, :channels]
    x = noisy(clean, sigma)
    assert psnr(snips.denoise(denoiser, x, sigma), clean) > psnr(x, clean) + gain


@pytest.mark.slow
def test_it_passes_the_kit(denoiser: snips.MMSEDenoiser) -> None:
    """On few and small pictures: the kit's own take `snips check bm3d` minutes."""
    snips.testing.check_denoiser(denoiser, pictures=smooth_pictures(8, 1, 24, 24))


def test_it_is_the_packages_own_estimate(denoiser: snips.MMSEDenoiser) -> None:
    profile = bm3d.BM3DProfile()
    profile.num_threads = 1
    x = noisy(colour(24), 0.1).double()
    seen = snips.denoise(denoiser, x, 0.1)[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(seen, bm3d.bm3d_rgb(x[0].permute(1, 2, 0).numpy(), 0.1, profile))
    gray = snips.denoise(denoiser, x[:, :1], 0.1)[0, 0].numpy()
    np.testing.assert_array_equal(gray, bm3d.bm3d(x[0, 0].numpy(), 0.1, profile))


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_in_parallel_are_those_one_by_one_each_with_its_sigma(channels: int) -> None:
    one, many = (snips.load_denoiser("bm3d", workers=count) for count in (1, 2))
    sigma = torch.tensor([0.1, 0.3, 0.1])
    x = noisy(colour(16)[:, :channels].expand(3, -1, -1, -1), 0.1)
    together = many.denoise(x, sigma)
    assert torch.equal(together, one.denoise(x, sigma))
    assert torch.equal(together[1:2], one.denoise(x[1:2], sigma[1:2]))
    assert not torch.equal(together[1:2], one.denoise(x[1:2], sigma[:1]))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (3, 20), (17, 19)])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_and_odd_pictures(denoiser: snips.MMSEDenoiser, size: tuple[int, int], channels: int) -> None:
    x = noisy(torch.full((1, channels, *size), 0.5), 0.1)
    answer = snips.denoise(denoiser, x, 0.1)
    assert answer.shape == x.shape
    assert answer.isfinite().all()


def test_colour_pictures_without_colour(denoiser: snips.MMSEDenoiser) -> None:
    gray = noisy(colour(16)[:, :1], 0.1).double()
    three = snips.denoise(denoiser, gray.expand(-1, 3, -1, -1), 0.1)
    assert torch.equal(three, snips.denoise(denoiser, gray, 0.1).expand(-1, 3, -1, -1))
    assert snips.denoise(denoiser, torch.full((1, 3, 16, 16), 0.5), 0.1).isfinite().all()


def test_nothing_is_clipped(denoiser: snips.MMSEDenoiser) -> None:
    x = 3 * noisy(colour(24), 0.02) - 1
    answer = snips.denoise(denoiser, x, 0.06)
    assert answer.min() < -0.3
    assert answer.max() > 1.3


def test_dtype_and_nan(denoiser: snips.MMSEDenoiser) -> None:
    x = noisy(colour(16)[:, :1], 0.1).expand(2, -1, -1, -1).clone()
    assert snips.denoise(denoiser, x, 0.1).dtype == torch.float32
    x[1, 0, 3, 3] = float("nan")
    answer = snips.denoise(denoiser, x, 0.1)
    assert answer[0].isfinite().all()
    assert answer[1].isnan().any()


def test_wrong_channels_and_workers(denoiser: snips.MMSEDenoiser) -> None:
    with pytest.raises(InvalidValue, match="1 or 3 channels, not of 4"):
        snips.denoise(denoiser, torch.rand(1, 4, 20, 20), 0.1)
    with pytest.raises(InvalidValue, match="workers must be at least 1, not 0"):
        snips.load_denoiser("bm3d", workers=0)


def test_the_card_states_the_licence_and_the_levels(denoiser: snips.MMSEDenoiser) -> None:
    assert "non-commercial" in BM3D.licence
    assert denoiser.noise_levels == BM3D.noise_levels


def test_without_the_package_one_line_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    monkeypatch.delitem(sys.modules, "snips_plugins.bm3d.denoiser", raising=False)
    with pytest.raises(MissingExtra, match=r"pip install 'snips-toolkit\[bm3d\]' \(licence: .*non-commercial"):
        snips.load_denoiser("bm3d")


INTERRUPTED = """
import _thread, threading, time, torch, snips
denoiser = snips.load_denoiser("bm3d", workers=2)
x = torch.rand(500, 1, 32, 32)
threading.Timer(1, _thread.interrupt_main).start()
try:
    snips.denoise(denoiser, x, 0.1)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_ends_it_without_the_rows_that_are_left() -> None:
    seen = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60, check=True)
    assert seen.stdout.strip() == "interrupted"
