"""Blind bias-free CNNs: exactly the official BF-CNN, and the PSNR of real weights of all three layouts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import snips
from evaluation import excess, pictures, psnr, reference_psnr
from oracle import assert_agrees, filled, picture, reference
from shared import SHARED, needs_shared
from snips.errors import OptionError, WeightsError
from snips_plugins.bfcnn.network import UNet


def saved(data: Any, path: Path) -> Path:
    torch.save(data, path)
    return path


def bf_cnn(depth: int = 5, channels: int = 1, width: int = 6) -> dict[str, Tensor]:
    torch.manual_seed(0)
    widths = [channels, *[width] * (depth - 1), channels]
    state = {f"conv_layers.{i}.weight": torch.randn(widths[i + 1], widths[i], 3, 3) / 6 for i in range(depth)}
    for i in range(depth - 2):
        state[f"running_sd.{i}"] = 0.5 + torch.rand(1, width, 1, 1)
        state[f"gammas.{i}"] = torch.randn(1, width, 1, 1)
    return state


def later(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under the names of the later layout."""
    names = {key: ".".join(["BN_layers", *key.split(".")[::-1]]) for key in state if not key.startswith("conv")}
    return {f"module.{names.get(key, key)}": tensor for key, tensor in state.items()}


def unet(**options: Any) -> UNet:
    torch.manual_seed(0)
    return UNet(**options)


@needs_shared
@pytest.mark.parametrize("kind", ["gray", "color"])
def test_bf_cnn(tmp_path: Path, kind: str) -> None:
    card, outputs = reference(f"uip_bfcnn_{kind}")
    channels = 1 if kind == "gray" else 3
    state = {f"module.{key}": tensor for key, tensor in filled(card).items()}
    denoiser = snips.load_denoiser("bfcnn", weights=saved(state, tmp_path / "model.pt"))
    assert denoiser.channels == (channels,)
    assert denoiser.noise_levels == snips.NoiseLevels(0, 100 / 255, blind=True)
    for name, (height, width) in {"residual_64x64": (64, 64), "residual_37x53": (37, 53)}.items():
        x = picture(channels, height, width)
        assert_agrees(x - snips.denoise(denoiser, x, 0.1), outputs.pop(name))
    assert not outputs


@needs_shared
@pytest.mark.weights
@pytest.mark.parametrize(
    ("file", "source", "name", "sigma"),
    [
        ("bfd_unet_biasfree_0-100.pt", "eval_bfd.json", "bfd/unet/bias_free/0-100", 25),
        ("lcv_celeba160_gray_flat_RF13.pt", "eval_local.json", "localprob/flat RF13", 25),
        ("lcv_celeba160_gray_flat_RF43.pt", "eval_local.json", "localprob/flat RF43", 25),
    ],
)
def test_the_real_weights_pass_the_kit_and_have_the_known_psnr(file: str, source: str, name: str, sigma: int) -> None:
    assert SHARED
    denoiser = snips.load_denoiser("bfcnn", weights=SHARED / "weights" / file)
    assert denoiser.noise_levels.blind
    assert denoiser.noise_levels.high == (1.0 if "lcv" in file else 100 / 255)
    snips.testing.check_denoiser(denoiser)
    assert abs(excess(denoiser, 1, reference_psnr(source, name, sigma), sigma, seeds=4)) < 0.1


@needs_shared
@pytest.mark.weights
def test_psnr_of_the_real_faces_of_40_pixels() -> None:
    """How the reference reduced its picture and which noise it had is not known, and of 40×40 pixels it matters."""
    assert SHARED
    denoiser = snips.load_denoiser("bfcnn", weights=SHARED / "weights" / "lcv_celeba40_low_BFCNN.pt")
    camera = F.interpolate(pictures(1)["camera"], size=(40, 40), mode="area")
    for sigma in (25, 100):
        known = reference_psnr("eval_local.json", "localprob/low40 160x160 scale1", sigma)["camera"]
        seen = sum(psnr(denoiser, camera, sigma, seed) for seed in range(8)) / 8
        assert abs(seen - known) < 0.5


def test_the_later_layout_has_no_relu_after_its_first_layer(tmp_path: Path) -> None:
    state = bf_cnn(depth=3)
    x = picture(1, 9, 9)
    first, middle, last = (state[f"conv_layers.{i}.weight"] for i in range(3))
    factor = state["gammas.0"] / state["running_sd.0"]
    for early, weights in ((True, state), (False, later(state))):
        denoiser = snips.load_denoiser("bfcnn", weights=saved(weights, tmp_path / "model.pt"))
        h = F.conv2d(x, first, padding=1)
        h = F.relu(F.conv2d(F.relu(h) if early else h, middle, padding=1) * factor)
        torch.testing.assert_close(snips.denoise(denoiser, x, 0.1), x - F.conv2d(h, last, padding=1))
        assert denoiser.noise_levels.high == (100 / 255 if early else 1.0)


def test_it_is_blind_and_scales(tmp_path: Path) -> None:
    denoiser = snips.load_denoiser("bfcnn", weights=saved(bf_cnn(), tmp_path / "model.pt"), sigma_max=0.5)
    assert denoiser.noise_levels == snips.NoiseLevels(0, 0.5, blind=True)
    x = picture(1, 17, 13) - 0.3
    assert torch.equal(snips.denoise(denoiser, x, 0.1), snips.denoise(denoiser, x, 0.4))
    torch.testing.assert_close(snips.denoise(denoiser, 3 * x, 0.1), 3 * snips.denoise(denoiser, x, 0.1))


def test_unet_checkpoint_of_a_training_program(tmp_path: Path) -> None:
    checkpoint = {"model": [unet().state_dict()], "args": argparse.Namespace(max_noise=51.0, residual=False)}
    denoiser = snips.load_denoiser("bfcnn", weights=saved(checkpoint, tmp_path / "checkpoint.pt"))
    assert denoiser.noise_levels == snips.NoiseLevels(0, 0.2, blind=True)
    checkpoint["args"].residual = True
    with pytest.raises(WeightsError, match="trained to predict the noise"):
        snips.load_denoiser("bfcnn", weights=saved(checkpoint, tmp_path / "checkpoint.pt"))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_unet_of_any_size_in_any_batch(tmp_path: Path, channels: int, bias: bool, one_thread: None) -> None:
    network = unet(channels=channels, bias=bias)
    denoiser = snips.load_denoiser("bfcnn", weights=saved(network.state_dict(), tmp_path / "model.pt"))
    assert denoiser.channels == (channels,)
    for height, width in ((1, 1), (7, 5), (21, 30)):
        x, sigma = picture(channels, height, width, rows=3), torch.full((3,), 0.1)
        together = denoiser.denoise(x, sigma)
        for rows in ([0], [2], [0, 1]):
            assert torch.equal(denoiser.denoise(x[rows], sigma[rows]), together[rows])
    padded = F.pad(x, (0, 0, 0, 1), "reflect")
    torch.testing.assert_close(together, network(padded, sigma)[..., :21, :].detach())


def test_wrong_files(tmp_path: Path) -> None:
    good = bf_cnn()
    wrong: list[tuple[Any, str]] = [
        ({"model.0.weight": torch.ones(1)}, "neither a BF-CNN"),
        ({"conv9.weight": torch.ones(1)}, "neither a BF-CNN"),
        ({k: v for k, v in good.items() if k != "gammas.1"}, "at layer 2: 'gammas.1'"),
        ({k: v for k, v in good.items() if k != "conv_layers.3.weight"}, "not a BF-CNN of 4 layers"),
        (good | {"gammas.1": torch.ones(1, 5, 1, 1)}, "at layer 2"),
        (good | {"head": torch.ones(1)}, "has besides head"),
        (good | {"running_sd.1": torch.zeros(1, 6, 1, 1)}, "has NaN or infinite"),
        (bf_cnn() | {"conv_layers.0.weight": torch.ones(6, 4, 3, 3)}, "not a denoiser of pictures: .* from 4 to 1"),
        ({k: v for k, v in unet().state_dict().items() if k != "conv4.weight"}, "misses conv4.weight"),
        ({"model": []}, "holds no tensors"),
    ]
    for data, message in wrong:
        with pytest.raises(WeightsError, match=message) as caught:
            snips.load_denoiser("bfcnn", weights=saved(data, tmp_path / "model.pt"))
        assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match="comes without weights: get a checkpoint from https://github.com"):
        snips.load_denoiser("bfcnn")
    with pytest.raises(OptionError, match="sigma_max must be positive"):
        snips.load_denoiser("bfcnn", weights=tmp_path / "model.pt", sigma_max=-1)
