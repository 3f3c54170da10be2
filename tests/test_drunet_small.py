"""drunet-small: what it takes, that it denoises, and the files it refuses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage import data

import snips
from snips.errors import OptionError, WeightsError
from snips_plugins.drunet_small.denoiser import drunet_small_trainable, load_drunet_small
from snips_plugins.drunet_small.network import SmallDRUNet


@pytest.fixture(scope="module")
def packaged():
    return snips.load_denoiser("drunet-small")


def cat(channels: int) -> torch.Tensor:
    """Chelsea, never trained on: (1, C, 96, 112)."""
    x = torch.from_numpy(data.chelsea()[60:156, 120:232].copy()).permute(2, 0, 1)[None].float() / 255
    return x if channels == 3 else x.mean(1, keepdim=True)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("sigma", "gain"), [(15 / 255, 6.0), (50 / 255, 11.0), (1.0, 18.0)])
def test_it_removes_noise(packaged, channels, sigma, gain):
    """By so many decibels at least, on a picture that it never saw."""
    x = cat(channels)
    y = x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    left = (snips.denoise(packaged, y, sigma) - x).square().mean().item()
    assert -10 * math.log10(left / sigma**2) > gain


def test_a_picture_nearly_without_noise_stays_as_it_is(packaged):
    x = cat(3)
    assert (snips.denoise(packaged, x, 0.002) - x).abs().max() < 0.02


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (33, 16)])
def test_any_size(packaged, size):
    assert snips.denoise(packaged, torch.rand(2, 3, *size), 0.1).shape == (2, 3, *size)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_whose_sides_are_padded_is_denoised_as_well(packaged, channels):
    """To sides of 97 and 113, 15 rows and columns are made up: beside them the error is that of sides 96 and 112."""
    x = torch.from_numpy(data.chelsea()[60:157, 120:233].copy()).permute(2, 0, 1)[None, :channels].float() / 255
    y = x + 0.4 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    beside = (..., slice(80, 96), slice(112))
    padded = (snips.denoise(packaged, y, 0.4) - x)[beside].square().mean()
    alone = (snips.denoise(packaged, y[..., :96, :112], 0.4) - x[..., :96, :112])[beside].square().mean()
    assert padded < 1.15 * alone


@pytest.mark.parametrize("channels", [1, 3])
def test_a_row_is_the_same_in_any_batch_bit_for_bit(packaged, channels, one_thread):
    x = torch.rand(19, channels, 40, 24, generator=torch.Generator().manual_seed(1))
    σ = torch.linspace(0.01, 1, 19)
    together = packaged.denoise(x, σ)
    for row in (0, 1, 18):
        assert torch.equal(packaged.denoise(x[row : row + 1], σ[row : row + 1])[0], together[row])


def test_the_preconditioning_is_that_of_karras_et_al():
    """With F = 0 the answer is c_skip x about ½: the best linear guess for pixels of standard deviation ¼."""
    network = SmallDRUNet((3,), (8, 8), 1)
    with torch.no_grad():
        network.tails["3"].weight.zero_()
        network.tails["3"].bias.zero_()
    x = torch.rand(2, 3, 8, 8)
    σ = torch.tensor([0.25, 1.0])
    expected = 0.5 + torch.tensor([0.5, 1 / 17])[:, None, None, None] * (x - 0.5)
    assert torch.allclose(network(x, σ), expected, atol=1e-6)


def test_the_packaged_weights_say_how_they_were_made():
    from safetensors import safe_open

    import snips_plugins.drunet_small as home

    for path in Path(home.__file__).parent.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            card = file.metadata()
        assert card.get("start", card["made"]).startswith("snips train drunet-small --images photos_free ")
        assert card["made"].startswith("snips train drunet-small ")
        assert card["licence"] == "MIT"
        assert card["data"]
        assert card["psnr"]


def test_files_of_another_network(tmp_path):
    save_file({"head.weight": torch.zeros(1)}, tmp_path / "other.safetensors", {"sigma": "0.01 1"})
    with pytest.raises(WeightsError, match="not the weights of drunet-small"):
        load_drunet_small(str(tmp_path / "other.safetensors"), "cpu")
    state = {k: v.contiguous() for k, v in SmallDRUNet((3,), (8, 8), 1).state_dict().items()}
    save_file(state, tmp_path / "silent.safetensors")
    with pytest.raises(WeightsError, match="does not say which σ"):
        load_drunet_small(str(tmp_path / "silent.safetensors"), "cpu")
    state["tails.3.bias"] = torch.full((12,), np.nan)
    save_file(state, tmp_path / "nan.safetensors", {"sigma": "0.01 1"})
    with pytest.raises(WeightsError, match=r"tails.3.bias has NaN"):
        load_drunet_small(str(tmp_path / "nan.safetensors"), "cpu")
    with pytest.raises(WeightsError, match="No such file"):
        load_drunet_small("nowhere", "cpu")
    with pytest.raises(WeightsError, match="did you mean dead-leaves"):
        load_drunet_small("dead-leafs", "cpu")
    with pytest.raises(OptionError, match="widths=8,x"):
        drunet_small_trainable(widths="8,x")


def test_a_training_can_start_from_the_packaged_weights(packaged):
    start = drunet_small_trainable(weights="photographs")
    x, σ = torch.rand(1, 3, 32, 32), torch.tensor([0.1])
    with torch.no_grad():
        assert torch.allclose(start.network(x, σ), packaged.denoise(x, σ), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_wider_network_starts_as_the_same_function_and_learns_with_all_of_it(channels, tmp_path):
    torch.manual_seed(0)
    narrow = SmallDRUNet((1, 3), (8, 12, 16), 2)
    for tensor in narrow.parameters():
        tensor.data.add_(0.05 * torch.randn_like(tensor))
    file = str(tmp_path / "narrow.safetensors")
    state = {name: tensor.contiguous() for name, tensor in narrow.state_dict().items()}
    save_file(state, file, {"made": "snips train two", "step": "9", "start": "snips train one (step 5)"})
    wide = drunet_small_trainable(widths="10,12,20", weights=file)
    assert wide.metadata == {"start": "snips train one (step 5); snips train two (step 9)"}
    x, σ = torch.rand(2, channels, 16, 24), torch.tensor([0.05, 0.4])
    assert torch.allclose(wide.network(x, σ), narrow(x, σ), atol=1e-6)
    wide.network(x, σ).square().mean().backward()
    read = wide.network.get_parameter("tails." + str(channels) + ".weight")
    assert read.grad[:, 8:].abs().min() > 0  # what is new is not read yet, and would be after one step


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"widths": "8,16,24,32"}, "has other shapes"),
        ({"blocks": 1}, r"has besides \w+\.0\.blocks\.1"),
        ({"blocks": 3}, r"misses \w+\.0\.blocks\.2"),
        ({"channels": "gray"}, r"has besides heads\.3"),
    ],
)
def test_another_network_that_is_no_wider_one_cannot_start_from_it(options, said):
    with pytest.raises(WeightsError, match=said):
        drunet_small_trainable(weights="photographs", **options)
