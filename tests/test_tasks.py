"""Masks hide what they say, for every size; what hides nothing or everything, or is no mask, is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import snips
from snips.errors import ImageError, InvalidValue
from snips.images import write_png
from snips.masks import parse_mask
from snips.tasks import Denoise, Inpaint, Task, simulate

SIZES = [(32, 32), (64, 64), (96, 200), (128, 128), (300, 120), (512, 768)]


def mask(description: str, height: int = 64, width: int = 48, seed: int = 0) -> np.ndarray:
    return parse_mask(description)(height, width, seed)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_text_hides_a_tenth_to_a_fifth_all_over_the_picture(height, width):
    hidden = ~mask("text", height, width)
    assert 0.1 <= hidden.mean() <= 0.2
    for half in (hidden[: height // 2], hidden[height // 2 :], hidden[:, : width // 2], hidden[:, width // 2 :]):
        assert half.mean() > 0.06


def test_rows_hide_a_band_of_whole_rows():
    hidden = ~mask("rows:10")
    assert (hidden.all(1) == hidden.any(1)).all()
    assert np.flatnonzero(hidden.all(1)).tolist() == list(range(27, 37))
    assert (~mask("rows", 120, 50)).all(1).sum() == 10


def test_box_hides_a_square_in_the_middle():
    hidden = ~mask("box:20")
    assert hidden.sum() == 400
    assert hidden[22:42, 14:34].all()
    assert (~mask("box", 90, 60)).sum() == 20 * 20


def test_eye_hides_one_eye_of_an_aligned_face():
    hidden = ~mask("eye", 100, 100)
    assert hidden[50, 36]
    assert not hidden[50, 64]  # the other one
    assert hidden.sum() == 18 * 28


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_random_hides_the_share_exactly_and_from_the_seed(share):
    first = mask(f"random:{share}")
    assert (~first).sum() == round(share * 64 * 48)
    assert (first == mask(f"random:{share}")).all()
    assert (first != mask(f"random:{share}", seed=1)).any()
    assert abs((~first[:32]).mean() - share) < 0.05


def test_random_hides_half_by_default():
    assert mask("random").mean() == 0.5


def test_a_file_is_observed_where_it_is_bright(tmp_path):
    seen = np.random.default_rng(0).random((64, 48)) > 0.3
    write_png(tmp_path / "mask.png", seen.astype(float))
    np.save(tmp_path / "mask.npy", seen)
    assert (mask(f"{tmp_path}/mask.png") == seen).all()
    assert (mask(f"{tmp_path}/mask.npy") == seen).all()
    with pytest.raises(InvalidValue, match="is 48×64 pixels, the picture 64×64"):
        mask(f"{tmp_path}/mask.png", 64, 64)


@pytest.mark.parametrize("description", ["rows:64", "rows:100", "box:64", "random:1", "dark.png"])
def test_masks_that_hide_everything(tmp_path, monkeypatch, description):
    monkeypatch.chdir(tmp_path)
    write_png("dark.png", np.zeros((64, 48)))
    with pytest.raises(InvalidValue, match="hides all 3072 pixels"):
        mask(description)


@pytest.mark.parametrize("description", ["random:0", "bright.png"])
def test_masks_that_hide_nothing(tmp_path, monkeypatch, description):
    monkeypatch.chdir(tmp_path)
    write_png("bright.png", np.ones((64, 48)))
    with pytest.raises(InvalidValue, match="hides no pixel"):
        mask(description)


@pytest.mark.parametrize(
    "description",
    [
        "txt",
        "text:3",
        "rows:",
        "rows:0",
        "rows:-2",
        "rows:2.5",
        "rows:ten",
        "box:nan",
        "box:inf",
        "box:1e999",
        "random:1.5",
        "random:-1",
        "random:half",
        "random:1/0",
        "eye:left",
        "no-such-mask.png",
        ".",
    ],
)
def test_what_is_no_mask_is_refused_when_the_task_is_made(description):
    with pytest.raises(InvalidValue) as caught:
        Inpaint(mask=description)
    assert f"mask={description}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mask_file_that_is_no_picture(tmp_path):
    (tmp_path / "mask.png").write_text("nothing of the kind")
    with pytest.raises(ImageError, match="cannot be read"):
        mask(f"{tmp_path}/mask.png")


def test_tasks_make_operators_and_come_through_the_door():
    assert isinstance(Denoise(), Task)
    assert isinstance(snips.load_task("denoise").operator((3, 8, 8), 0), snips.Identity)
    operator = snips.load_task("inpaint", mask="rows:2").operator((3, 8, 9), 0)
    assert operator.mask.shape == (8, 9)
    assert operator.mask.sum() == 54


def test_simulated_noise_is_white_and_from_the_seed():
    clean = torch.full((3, 64, 64), 0.5)
    first = simulate(clean, snips.Identity(), 0.2, seed=3)
    noise = (first.y - clean) / 0.2
    assert abs(float(noise.mean())) < 4 / 64 / 3**0.5
    assert abs(float(noise.std()) - 1) < 4 / (2 * 3 * 64 * 64) ** 0.5
    assert first.sigma == 0.2
    torch.testing.assert_close(simulate(clean, snips.Identity(), 0.2, seed=3).y, first.y, rtol=0, atol=0)
    assert not torch.equal(simulate(clean, snips.Identity(), 0.2, seed=4).y, first.y)


def test_simulated_noise_is_none_of_the_samplers():
    clean = torch.zeros(1, 16, 16)
    noise = simulate(clean, snips.Identity(), 1.0, seed=0).y.flatten()
    stream = snips.Noise(0, [(0, s) for s in range(4)], (1, 16, 16))
    for step in range(20):
        for row in stream.at(step).normal():
            assert abs(float(torch.corrcoef(torch.stack([noise, row.flatten()]))[0, 1])) < 0.3
