"""σ estimated from a picture alone."""

from __future__ import annotations

import numpy as np
import pytest

from snips.errors import ImageError
from snips.images import bundled_picture
from snips.masks import parse_mask
from snips.noise_level import estimate_sigma


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.5])
def test_pure_noise(sigma):
    noise = np.random.default_rng(0).normal(0.5, sigma, (3, 96, 96))
    assert estimate_sigma(noise) == pytest.approx(sigma, rel=0.03)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("mask", [None, "text", "random:0.5"])
def test_a_photograph_with_missing_pixels(sigma, mask):
    y = bundled_picture() + np.random.default_rng(0).normal(0, sigma, (3, 128, 128))
    seen = parse_mask(mask)(128, 128, 0) if mask else None
    spoiled = y if seen is None else np.where(seen, y, 1e6)
    # What there is of fine texture counts as noise, .007 in this picture.
    assert estimate_sigma(spoiled, seen) == pytest.approx(sigma, abs=0.01)


def test_ramps_are_no_noise():
    y, x = np.mgrid[:20, :30] / 30
    assert estimate_sigma((0.2 * y + 0.7 * x)[None]) == pytest.approx(0, abs=1e-12)


def test_too_few_neighbours():
    with pytest.raises(ImageError, match="--sigma"):
        estimate_sigma(np.zeros((1, 8, 8)), np.indices((8, 8)).sum(0) % 2 == 0)
    with pytest.raises(ImageError):
        estimate_sigma(np.zeros((1, 1, 8)))
