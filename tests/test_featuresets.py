"""Distances between sets of features: by their definitions, and unbiased."""

from __future__ import annotations

import math

import numpy as np
import pytest

from snips.featuresets import frechet_distance, kernel_distance


def test_kernel_distance_is_unbiased_and_that_of_its_definition():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 5)), random.normal(size=(3, 5))
    k = lambda x, y: (x @ y / 5 + 1) ** 3  # noqa: E731
    within_a = k(a[0], a[1])
    within_b = np.mean([k(b[i], b[j]) for i in range(3) for j in range(3) if i != j])
    across = np.mean([k(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(within_a + within_b - 2 * across)
    same = [kernel_distance(*random.normal(size=(2, 20, 5))) for _ in range(300)]
    assert np.mean(same) == pytest.approx(0, abs=4 * np.std(same) / math.sqrt(300))
    pairs = [kernel_distance(x, x) for x in random.normal(size=(50, 20, 5))]
    assert pairs == pytest.approx([0] * 50, abs=1e-9)  # the same pictures in both: the pairs do not count
    other = [kernel_distance(x, 1 + y) for x, y in random.normal(size=(50, 2, 20, 5))]
    assert min(other) > 0
    assert math.isnan(kernel_distance(a[:1], b))


def test_frechet_distance_by_arithmetic():
    a = np.random.default_rng(0).normal(size=(50, 4))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + [3, 0, 4, 0]) == pytest.approx(25)
    cov, mean = np.cov(a, rowvar=False), a.mean(0)
    assert frechet_distance(a, 2 * a) == pytest.approx(np.trace(cov) + mean @ mean)  # Σ + 4Σ − 2·2Σ
    assert math.isnan(frechet_distance(a[:7], a))
