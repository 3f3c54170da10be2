"""Figures against cases whose answer is known: by arithmetic where exact, within standard errors where drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from snips import metrics
from snips.metrics import mse, mse_ratio, neighbour_correlation, normality_p_value, psnr, residual_tests, ssim

N = 3 * 64 * 64


@pytest.fixture
def clean() -> np.ndarray:
    return np.random.default_rng(1).random((3, 64, 64))


@pytest.fixture
def white() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (3, 64, 64))


def test_psnr_by_arithmetic(clean):
    assert psnr(clean, clean + 0.1) == pytest.approx(20)
    assert psnr(clean, clean) == math.inf
    assert mse(clean, clean - 0.5) == pytest.approx(0.25)
    assert psnr(torch.from_numpy(clean).float(), clean + 0.01) == pytest.approx(40, abs=1e-3)


def test_psnr_on_some_pixels_alone(clean):
    where = np.zeros((64, 64), dtype=bool)
    where[:5] = True
    off = clean + np.where(where, 0.1, 0.7)
    assert psnr(clean, off, where) == pytest.approx(20)
    assert psnr(clean, off, np.broadcast_to(where, clean.shape)) == pytest.approx(20)


def test_agreement_with_scikit_image(clean, white):
    assert psnr(clean, clean + white) == pytest.approx(peak_signal_noise_ratio(clean, clean + white, data_range=1))
    expected = structural_similarity(clean, clean + white, data_range=1, channel_axis=0)
    assert ssim(clean, clean + white) == pytest.approx(expected)


def test_ssim(clean, white):
    assert ssim(clean, clean) == pytest.approx(1)
    left = np.zeros((64, 64), dtype=bool)
    left[:, :32] = True
    half = clean + np.where(left, white, 0)
    assert ssim(clean, half, left) < ssim(clean, half) < ssim(clean, half, ~left)
    assert math.isnan(ssim(clean[:, :6], clean[:, :6]))


def test_mse_ratio_by_arithmetic(clean):
    samples = [clean + 0.1, clean - 0.3]
    assert mse_ratio(clean, samples, clean + 0.2) == pytest.approx((0.01 + 0.09) / 2 / 0.04)
    assert math.isnan(mse_ratio(clean, samples, clean))


def test_mse_ratio_is_2_for_an_exact_posterior():
    # x ~ N(0, 1), y = x + n: x | y is N(y/2, 1/2), and y/2 the MMSE estimate.
    random = np.random.default_rng(0)
    x = random.normal(size=(1, 200, 200))
    best = (x + random.normal(size=x.shape)) / 2
    samples = [best + math.sqrt(0.5) * random.normal(size=x.shape) for _ in range(8)]
    assert mse_ratio(x, samples, best) == pytest.approx(2, abs=0.04)


def test_white_gaussian_residual_passes(white):
    tests = residual_tests(white, 0.1)
    assert tests.std_over_sigma == pytest.approx(1, abs=4 / math.sqrt(2 * N))
    assert abs(tests.rho) < 5 / math.sqrt(N)
    assert tests.p_value > 0.001


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_wrong_std_is_seen(white, factor):
    assert residual_tests(factor * white, 0.1).std_over_sigma == pytest.approx(factor, abs=0.03)


def test_std_leaves_the_mean_out(white):
    assert residual_tests(white + 5, 0.1).std_over_sigma == pytest.approx(residual_tests(white, 0.1).std_over_sigma)


@pytest.mark.parametrize(("dy", "dx"), [(0, 1), (1, 0), (1, 1), (1, -1), (0, -1), (-1, 0), (-1, -1), (-1, 1)])
@pytest.mark.parametrize("sign", [1, -1])
def test_correlation_is_found_in_every_direction(white, dy, dx, sign):
    # (a_p ± a_{p+d})/√2 has ρ = ±1/2 in direction d and none in any other.
    correlated = (white + sign * np.roll(white, (dy, dx), (1, 2))) / math.sqrt(2)
    assert neighbour_correlation(correlated) == pytest.approx(sign / 2, abs=0.05)
    tests = residual_tests(correlated, 0.1)
    assert tests.std_over_sigma == pytest.approx(1, abs=0.05)  # which this one alone would have let through


def test_uniform_residual_is_not_normal():
    uniform = np.random.default_rng(0).uniform(-1, 1, (3, 64, 64)) * 0.1 * math.sqrt(3)
    tests = residual_tests(uniform, 0.1)
    assert tests.p_value < 1e-10
    assert tests.std_over_sigma == pytest.approx(1, abs=0.02)
    assert abs(tests.rho) < 5 / math.sqrt(N)


def test_p_values_of_gaussian_residuals_are_spread_over_0_to_1():
    random = np.random.default_rng(0)
    p = [normality_p_value(random.normal(size=4000)) for _ in range(200)]
    assert 0.4 < np.mean(p) < 0.6
    assert np.mean(np.array(p) < 0.1) < 0.2


def test_missing_pixels_count_nowhere(white):
    observed = np.random.default_rng(2).random((64, 64)) > 0.4
    spoiled = np.where(observed, white, 1e6)
    tests = residual_tests(spoiled, 0.1, observed)
    assert tests.std_over_sigma == pytest.approx(np.std(white[:, observed]) / 0.1)
    assert abs(tests.rho) < 6 / math.sqrt(N * 0.36)
    assert tests.p_value == normality_p_value(white[:, observed])


def test_pairs_need_both_pixels():
    # A checkerboard leaves no horizontal and no vertical pairs: only the diagonals count.
    a = np.random.default_rng(0).normal(size=(1, 40, 40))
    diagonal = a + np.roll(a, (1, 1), (1, 2))
    checkerboard = np.indices((40, 40)).sum(0) % 2 == 0
    rho = neighbour_correlation(np.where(checkerboard, diagonal, 99), checkerboard)
    assert rho == pytest.approx(0.5, abs=0.1)


def test_too_little_to_say():
    constant = np.ones((1, 4, 4))
    assert math.isnan(neighbour_correlation(constant))
    assert math.isnan(normality_p_value(np.arange(10.0)))
    assert metrics.residual_tests(constant, 0.1).std_over_sigma == 0
