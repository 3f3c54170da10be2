"""Samples together: an exact posterior has the values that theory gives, and an overconfident one does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from snips import ensemble

SHAPE = (1, 120, 120)


def exact(count: int, spread: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """x ~ N(0, 1) seen as y = x + n: the clean picture, and samples of N(y/2, 1/2) with their spread scaled."""
    random = np.random.default_rng(seed)
    x = random.normal(size=SHAPE)
    best = (x + random.normal(size=SHAPE)) / 2
    return x, best + spread * math.sqrt(0.5) * random.normal(size=(count, *SHAPE))


def test_an_exact_sampler_has_spread_for_its_skill():
    for count in (2, 3, 20):
        clean, samples = exact(count)
        assert ensemble.spread_skill(clean, samples) == pytest.approx(1, abs=0.02)
        assert ensemble.diversity(samples) == pytest.approx(1, abs=0.02)  # √2 · √½
    clean, samples = exact(20, spread=0.5)
    assert ensemble.spread_skill(clean, samples) == pytest.approx(0.5, abs=0.02)


def test_diversity_by_arithmetic():
    samples = np.zeros((3, 1, 2, 2))
    samples[1] += 0.3
    samples[2] += 0.6
    assert ensemble.diversity(samples) == pytest.approx(math.sqrt((0.09 + 0.36 + 0.09) / 3))
    assert ensemble.diversity(samples[:2]) == pytest.approx(0.3)
    where = np.array([[True, False], [False, False]])
    samples[2, 0, 1] += 9
    assert ensemble.diversity(samples, where) == pytest.approx(math.sqrt((0.09 + 0.36 + 0.09) / 3))
    assert math.isnan(ensemble.diversity(samples[:1]))
    assert math.isnan(ensemble.diversity(samples[:0]))


@pytest.mark.parametrize("count", [1, 3, 8, 19])
def test_ranks_of_an_exact_sampler_are_uniform(count):
    shares = ensemble.rank_shares(*exact(count))
    assert shares.sum() == pytest.approx(1)
    assert shares == pytest.approx(np.full(count + 1, 1 / (count + 1)), abs=0.015)
    assert ensemble.pit_histogram(shares) == pytest.approx(np.full(10, 0.1), abs=0.01)


def test_coverage_of_an_exact_sampler_is_nominal():
    shares = ensemble.rank_shares(*exact(19))
    assert ensemble.coverage(shares, 0.5) == pytest.approx(0.5, abs=0.015)
    assert ensemble.coverage(shares, 0.9) == pytest.approx(0.9, abs=0.01)
    assert ensemble.coverage(ensemble.rank_shares(*exact(4)), 0.5) == pytest.approx(0.5, abs=0.015)


def test_overconfidence_is_seen_in_every_figure():
    narrow, wide = (ensemble.rank_shares(*exact(19, spread)) for spread in (0.5, 2))
    assert ensemble.coverage(narrow, 0.9) < 0.65
    assert ensemble.coverage(wide, 0.9) > 0.97
    assert ensemble.pit_histogram(narrow)[[0, 9]].min() > 0.2
    assert ensemble.pit_histogram(wide)[[0, 9]].max() < 0.05


def test_bands_that_so_few_samples_do_not_reach_are_unknown():
    assert ensemble.samples_for(0.5) == 3
    assert ensemble.samples_for(0.9) == 19
    for count, probability in ((2, 0.5), (18, 0.9)):
        assert math.isnan(ensemble.coverage(np.full(count + 1, 1 / (count + 1)), probability))
        assert not math.isnan(ensemble.coverage(np.full(count + 2, 1 / (count + 2)), probability))


def test_ties_count_for_every_rank_they_may_have():
    clean = np.zeros((1, 1, 2))
    samples = np.array([[[[0.0, -1]]], [[[0.0, 2]]], [[[5.0, 3]]]])  # the first ties twice, the second has rank 1
    assert ensemble.rank_shares(clean, samples) == pytest.approx([1 / 6, 1 / 6 + 1 / 2, 1 / 6, 0])
