"""Backbones of timm as encoders: any family, any size, one row as in a batch, files that say what they hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from skimage import data

pytest.importorskip("timm", reason="the extra timm is not installed")

import snips
from oracle import picture
from snips.errors import InvalidValue, MissingExtra, MissingWeights, OptionError, UnknownName, WeightsError
from snips_cli.main import main
from snips_plugins.timm.denoiser import timm_trainable
from snips_plugins.timm.network import SIGMA_DATA, TimmUNet, build

CHANNELS = {1: "gray", 3: "colour"}
SMALL: dict[str, Any] = {"backbone": "mobilenetv3_small_050", "width": 8}


def shaken(**options: Any) -> TimmUNet:
    """A network whose last layer is not zero, so that all of it counts."""
    torch.manual_seed(0)
    network = build(**(SMALL | options))
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    return network


def saved(network: TimmUNet, path: Path, **other: str) -> Path:
    return written(network.state_dict(), path, **({"channels": CHANNELS[network.channels]} | other))


def written(state: dict[str, torch.Tensor], path: Path, **other: str) -> Path:
    """A file as `snips train` writes it, but for what else is said."""
    said = {**timm_trainable(**SMALL).metadata, "sigma": "0.01 1.0"} | other
    save_file({k: v.contiguous() for k, v in state.items()}, path, {k: v for k, v in said.items() if v})
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_untrained_it_is_the_best_affine_denoiser_of_a_pixel(channels: int) -> None:
    denoiser = snips.load_denoiser("timm", untrained=True, channels=CHANNELS[channels], **SMALL)
    assert denoiser.channels == (channels,)
    x, sigma = picture(channels, 21, 40, rows=2), torch.tensor([0.1, 0.6])
    share = (SIGMA_DATA**2 / (SIGMA_DATA**2 + sigma**2))[:, None, None, None]
    torch.testing.assert_close(denoiser.denoise(x, sigma), 0.5 + share * (x - 0.5))


@pytest.mark.parametrize(
    ("backbone", "multiple"),
    [
        ("convnext_atto", 32),
        ("resnet18", 32),
        ("vit_tiny_patch16_224", 16),
        ("swin_tiny_patch4_window7_224", 32),
        ("vgg11", 32),
    ],
)
def test_backbones_of_every_kind_learn(backbone: str, multiple: int) -> None:
    """Features at 1/2 to 1/32, of one size only, channels first and last: the gradient reaches the first layer."""
    network = shaken(backbone=backbone, channels="gray").eval()
    assert network.multiple == multiple
    x = picture(1, multiple, 2 * multiple, rows=2)
    answer = network(x, torch.tensor([0.1, 0.6]))
    assert answer.shape == x.shape
    answer.square().mean().backward()
    first = next(iter(network.encoder.parameters()))
    assert first.grad is not None
    assert first.grad.abs().sum() > 0


def test_it_uses_sigma_beyond_the_preconditioning() -> None:
    network = shaken().eval()
    x = picture(3, 32, 32)
    levels = torch.tensor([0.1, 0.3])
    with torch.inference_mode():
        features = network.features(x.expand(2, -1, -1, -1), levels.log() / 4)
    assert (features[0] - features[1]).abs().max() > 1e-3


@pytest.mark.parametrize("backbone", ["convnext_atto", "mobilenetv3_small_050"])
def test_a_row_is_the_same_in_any_batch_and_at_any_size(tmp_path: Path, backbone: str) -> None:
    path = saved(shaken(backbone=backbone), tmp_path / "net.safetensors", backbone=backbone)
    denoiser = snips.load_denoiser("timm", weights=path)
    for height, width in ((1, 1), (7, 33)):
        x, sigma = picture(3, height, width, rows=3), torch.tensor([0.1, 0.5, 0.3])
        together = denoiser.denoise(x, sigma)
        assert together.shape == x.shape
        for row in range(3):
            alone = denoiser.denoise(x[row : row + 1], sigma[row : row + 1])
            torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_says_what_it_holds(tmp_path: Path, channels: int) -> None:
    network = shaken(channels=CHANNELS[channels])
    path = saved(network, tmp_path / "net.safetensors", sigma="0.02 0.5")
    before = torch.get_rng_state()
    denoiser = snips.load_denoiser("timm", weights=path)
    assert torch.equal(torch.get_rng_state(), before)
    assert denoiser.noise_levels == snips.NoiseLevels(0.02, 0.5)
    assert denoiser.channels == (channels,)
    x, sigma = picture(channels, 32, 64), torch.tensor([0.1])
    with torch.inference_mode():
        torch.testing.assert_close(denoiser.denoise(x, sigma), network.eval()(x, sigma))
    with pytest.raises(OptionError, match="timm's backbone=resnet18: .* is for backbone=mobilenetv3_small_050"):
        snips.load_denoiser("timm", weights=path, backbone="resnet18")


def test_wrong_files(tmp_path: Path) -> None:
    network = shaken()
    path = tmp_path / "net.safetensors"
    state = network.state_dict()
    wrong: list[tuple[dict[str, str], dict[str, torch.Tensor], str]] = [
        ({"backbone": ""}, state, "does not say which backbone"),
        ({"backbone": "no_such_net"}, state, "metadata cannot be used .*no backbone no_such_net"),
        ({"backbone": "resnet18"}, state, "not the weights of TimmUNet: misses encoder"),
        ({"channels": "gray"}, state, "has other shapes"),
        ({"channels": "3"}, state, "metadata cannot be used"),
        ({"width": "0"}, state, "metadata cannot be used .*width must be at least 1"),
        ({"sigma": "0.5"}, state, "metadata cannot be used"),
        ({"sigma": "0.5 0.1"}, state, "metadata cannot be used"),
        ({"sigma": ""}, state, "metadata cannot be used"),
        ({}, state | {"tail.bias": torch.full((12,), torch.nan)}, "tail.bias has NaN"),
        ({}, {k: v for k, v in state.items() if k != "tail.bias"}, "misses tail.bias"),
        ({}, state | {"more": torch.ones(1)}, "has besides more"),
    ]
    for other, tensors, message in wrong:
        written(tensors, path, **other)
        with pytest.raises(WeightsError, match=message) as caught:
            snips.load_denoiser("timm", weights=path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


def test_it_learns_by_the_training_command_and_is_loaded_from_what_that_writes(tmp_path: Path) -> None:
    network = {"backbone": "convnext_atto", "width": 8}
    words = ["train", "timm", "--images", "skimage:coffee", "--out", str(tmp_path / "out"), "--steps", "60"]
    words += ["--rows", "4", "--patch", "32", "--every", "60", "--device", "cpu", "--decay", "0.8", "--rate", "0.004"]
    words += [word for key, value in network.items() for word in ("-n", f"{key}={value}")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    trained = snips.load_denoiser("timm", weights=tmp_path / "out" / "weights.safetensors")
    fresh = snips.load_denoiser("timm", untrained=True, **network)
    x = torch.from_numpy(data.astronaut()[:96, 200:328]).permute(2, 0, 1)[None] / 255
    noisy = x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    before, after = ((snips.denoise(d, noisy, 0.2) - x).square().mean() for d in (fresh, trained))
    assert after < 0.8 * before


def test_without_weights_it_says_how_to_train() -> None:
    with pytest.raises(MissingWeights, match=r"`snips train timm -n backbone=resnet18 --images FOLDER.*untrained=true"):
        snips.load_denoiser("timm", backbone="resnet18")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"backbone": "convnext_atom"}, UnknownName, "did you mean convnext_atto"),
        ({"backbone": "eva02_tiny_patch14_224"}, InvalidValue, "1/14, not powers of two"),
        ({"backbone": "hiera_tiny_224"}, InvalidValue, "cannot encode pictures of any size"),
        ({"channels": "rgb"}, OptionError, "channels=rgb: one of gray, colour"),
        ({"width": 0}, InvalidValue, "width must be at least 1"),
    ],
)
def test_wrong_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        snips.load_denoiser("timm", untrained=True, **options)
    assert "\n" not in str(caught.value)


def test_pretrained_weights_that_cannot_be_fetched_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingWeights, match="pretrained weights of resnet18 cannot be fetched") as caught:
        snips.load_denoiser("timm", untrained=True, pretrained=True, backbone="resnet18")
    assert "\n" not in str(caught.value)


def test_without_the_library_one_line_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("snips_plugins.timm.denoiser", "snips_plugins.timm.network"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra, match=r"pip install 'snips-toolkit\[timm\]'"):
        snips.load_denoiser("timm", untrained=True)
