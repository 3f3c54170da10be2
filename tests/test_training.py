"""What is learned from, what is minimised, and the loop: stopped, resumed, refused."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import snips
from snips.errors import CheckpointError, Diverged, ImageError, InvalidValue
from snips.training.corpora import Corpus, photographs
from snips.training.draws import draw_sigmas, to_clean
from snips.training.leaves import DeadLeaves
from snips.training.loop import Settings, Training
from snips.training.trainable import Trainable, error_of_clean, weight

pytest.importorskip("timm", reason="training needs the extra `train`")

LEAVES = Corpus([], leaves=1.0)
SMALL = Settings(steps=6, rows=4, patch=16, warmup=2)
RUN = {"steps": 6, "rate": 1e-3}


class Shrink(nn.Module):
    """D(x, σ) = m + a (x − m): two numbers to learn."""

    def __init__(self, answer: str = "clean") -> None:
        super().__init__()
        self.answer = answer
        self.m = nn.Parameter(torch.tensor(0.2))
        self.a = nn.Parameter(torch.tensor(0.5))

    def forward(self, x, sigma):
        clean = self.m + self.a * (x - self.m)
        if self.answer == "clean":
            return clean
        return x - clean if self.answer == "noise" else (clean - x) / sigma.square()[:, None, None, None]


def trainable(answer: str = "clean", **more) -> Trainable:
    return Trainable(Shrink(answer), answer, (3,), snips.NoiseLevels(0.05, 0.5), **more)


def test_dead_leaves_are_drawn_by_seed_and_index():
    law = DeadLeaves(24)
    first = law.draw(0, 5)
    assert first.shape == (24, 24, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, law.draw(0, 5))
    assert not np.array_equal(first, law.draw(0, 6))
    assert not np.array_equal(first, law.draw(1, 5))


def test_dead_leaves_have_edges_and_flat_parts():
    """Differences of neighbours have far heavier tails than a Gaussian's (kurtosis 3), as those of photographs do."""
    pictures = np.stack([DeadLeaves(64).draw(0, i) for i in range(40)]).astype(float)
    step = np.diff(pictures.mean(-1), axis=2).ravel()
    assert (step**4).mean() / (step**2).mean() ** 2 > 8
    assert 0.12 < pictures.std() / 255 < 0.4


def test_crops_depend_on_seed_and_step_alone(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)).save(tmp_path / "a.png")
    corpus = Corpus(photographs([tmp_path], 16), leaves=0.5)
    assert [scale.shape[:2] for scale in corpus.photographs[0]] == [(40, 60), (28, 42), (20, 30)]
    assert np.array_equal(corpus.crops(4, 16, 3, 7), corpus.crops(4, 16, 3, 7))
    assert not np.array_equal(corpus.crops(4, 16, 3, 7), corpus.crops(4, 16, 3, 8))


def test_folders_that_cannot_be_learned_from(tmp_path):
    with pytest.raises(ImageError, match="no such folder"):
        photographs([tmp_path / "none"], 16)
    with pytest.raises(ImageError, match="holds no pictures"):
        photographs([tmp_path], 16)
    with pytest.raises(ImageError, match="one of skimage:coffee"):
        photographs(["skimage:nothing"], 16)
    Image.new("RGB", (10, 30)).save(tmp_path / "small.png")
    with pytest.raises(ImageError, match=r"small.png: 10×30 pixels, below the crop of 16"):
        photographs([tmp_path], 16)
    (tmp_path / "small.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="small.png: cannot be read"):
        photographs([tmp_path], 16)
    with pytest.raises(InvalidValue, match="nothing to learn from"):
        Corpus([], leaves=0.5)
    with pytest.raises(InvalidValue, match=r"lies in \[0, 1\]"):
        Corpus([], leaves=2)


def test_gray_and_colour_pictures_together_are_learned_from(tmp_path):
    Image.new("L", (20, 20), 100).save(tmp_path / "gray.png")
    Image.new("RGBA", (20, 20), (1, 2, 3, 4)).save(tmp_path / "alpha.png")
    assert [scales[0].shape for scales in photographs([tmp_path], 16)] == [(20, 20, 3), (20, 20, 3)]


def test_gray_is_luma():
    red = np.zeros((1, 2, 2, 3), np.uint8)
    red[..., 0] = 255
    assert to_clean(torch.from_numpy(red), 1).allclose(torch.full((1, 1, 2, 2), 0.299))


@pytest.mark.parametrize("answer", ["clean", "noise", "score"])
def test_the_error_is_that_of_the_clean_picture_whatever_the_network_returns(answer):
    x0, n, σ = torch.rand(2, 3, 4, 4), torch.randn(2, 3, 4, 4), torch.tensor([0.1, 0.4])
    x = x0 + σ[:, None, None, None] * n
    expected = 0.2 + 0.5 * (x - 0.2) - x0
    assert error_of_clean(answer, Shrink(answer)(x, σ), x, σ, x0).allclose(expected, atol=1e-6)


def test_score_matching_weighs_by_the_inverse_variance():
    σ = torch.tensor([0.1, 0.5])
    assert weight(σ, score_matching=True).allclose(1 / σ**2)
    assert (weight(σ, score_matching=False) > 1 / σ**2).all()


def test_sigmas_lie_in_the_range_and_are_most_often_in_its_middle():
    σ = draw_sigmas(4000, 0.01, 1.0, np.random.default_rng(0))
    assert σ.min() >= 0.01
    assert σ.max() <= 1.0
    assert 0.09 < σ.median() < 0.14


def test_the_best_constants_are_found():
    """On pictures of independent N(.6, .1²) pixels at σ = .2, the MMSE denoiser has m = .6 and a = .1²/(.1² + .2²)."""
    rng = np.random.default_rng(0)
    pixels = np.clip(np.round(255 * rng.normal(0.6, 0.1, (64, 64, 3))), 0, 255).astype(np.uint8)
    subject = trainable()
    settings = Settings(400, 4, 16, rate=2e-2, warmup=10, sigma_min=0.1999, sigma_max=0.2001, decay=0.9)
    training = Training(subject, Corpus([[pixels]]), settings)
    losses = [loss for _, loss in training.steps()]
    assert np.mean(losses[-50:]) < np.mean(losses[:20])
    assert training.ema.module.m.item() == pytest.approx(0.6, abs=0.02)
    assert training.ema.module.a.item() == pytest.approx(0.2, abs=0.02)


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path):
    whole = Training(trainable(), LEAVES, SMALL)
    losses = [loss for _, loss in whole.steps()]
    half = Training(trainable(), LEAVES, SMALL)
    list(islice(half.steps(), 3))
    half.save(tmp_path / "state.pt", RUN)
    rest = Training(trainable(), LEAVES, SMALL)
    rest.resume(tmp_path / "state.pt", RUN)
    assert [loss for _, loss in rest.steps()] == losses[3:]
    for one, other in zip(whole.ema.module.parameters(), rest.ema.module.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_state_of_other_settings_is_refused(tmp_path):
    training = Training(trainable(), LEAVES, SMALL)
    list(islice(training.steps(), 4))
    training.save(tmp_path / "state.pt", RUN)
    with pytest.raises(CheckpointError, match=r"rate 0.001, not 0.002"):
        training.resume(tmp_path / "state.pt", RUN | {"rate": 2e-3})
    with pytest.raises(CheckpointError, match="its rate already falls towards step 6"):
        training.resume(tmp_path / "state.pt", RUN | {"steps": 60})
    (tmp_path / "state.pt").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="no state of a training"):
        training.resume(tmp_path / "state.pt", RUN)


def test_before_the_rate_falls_a_training_can_be_made_longer(tmp_path):
    settings = replace(SMALL, cooldown=0.5)
    training = Training(trainable(), LEAVES, settings)
    list(islice(training.steps(), 3))
    training.save(tmp_path / "state.pt", RUN)
    longer = Training(trainable(), LEAVES, replace(settings, steps=8))
    longer.resume(tmp_path / "state.pt", RUN | {"steps": 8})
    assert [step for step, _ in longer.steps()] == [4, 5, 6, 7, 8]


def test_the_rate_rises_stays_and_falls():
    settings = Settings(steps=100, warmup=10, cooldown=0.4)
    rates = [settings.rate_at(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == rates[60] == 1
    assert rates[80] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0, abs=1e-12)


def test_a_loss_that_is_no_number_stops_before_the_weights_change():
    subject = trainable()
    training = Training(subject, LEAVES, SMALL)
    with torch.no_grad():
        subject.network.a.fill_(float("nan"))
    before = subject.network.m.clone()
    with pytest.raises(Diverged, match="step 1 is nan"):
        next(training.steps())
    assert torch.equal(before, subject.network.m)


def test_settings_that_cannot_be():
    for wrong in ({"steps": 0}, {"cooldown": 0}, {"sigma_min": 2.0}, {"dtype": "float16"}, {"rate": -1}):
        with pytest.raises(InvalidValue):
            Settings(**wrong)
    with pytest.raises(InvalidValue, match="multiple of 5"):
        Training(trainable(multiple=5), LEAVES, SMALL)


def test_validation_is_in_decibels_of_the_moving_average():
    training = Training(trainable(), LEAVES, SMALL)
    x0 = torch.full((1, 3, 32, 32), 0.2)
    found = training.validate({3: x0}, (0.1,))
    assert found == {"25.5": pytest.approx(-10 * np.log10(0.25 * 0.01), abs=0.2)}  # D − x₀ = ½ σ n
    json.dumps(found)
