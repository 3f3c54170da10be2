"""A study's figures: exact posteriors have the values that theory gives, and what cannot be known is None."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import snips
from snips import ensemble, perceptual
from snips.errors import InvalidValue, WeightsError
from snips.featuresets import frechet_distance, kernel_distance
from snips.images import bundled_picture
from snips_cli.study import metrics
from snips_cli.study.metrics import DEFAULT, NAMES, check, measure

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


def test_lpips_without_weights_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setenv("SNIPS_WEIGHTS_DIR", str(tmp_path))
    for name, weights in (("lpips", "lpips-alex"), ("lpips_vgg", "lpips-vgg")):
        with pytest.raises(WeightsError, match=f"`snips weights get {weights}`"):
            check([name])


def test_lpips_refuses_weights_of_another_network(squeeze, tmp_path):
    (tmp_path / "lpips-squeeze.pth").unlink()
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "lpips-squeeze.pth")
    with pytest.raises(WeightsError, match="not the weights of SqueezeNet"):
        perceptual.lpips(np.zeros((3, 40, 40)), np.zeros((3, 40, 40)), "squeeze")


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
