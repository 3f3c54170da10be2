"""spandrel's networks with the σ of each row: as the official ones, as our own, and refusals of what is no denoiser."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("spandrel", reason="the extra spandrel is not installed")

from spandrel.architectures.Compact import Compact
from spandrel.architectures.RetinexFormer import RetinexFormer
from spandrel.architectures.SCUNet import SCUNet

import snips
from oracle import assert_agrees, filled, picture, reference
from shared import SHARED, needs_shared
from snips.errors import MissingExtra, MissingWeights, OptionError, WeightsError
from snips_plugins.kair.networks import DnCNN
from snips_plugins.stack import Layout


def saved(state: Any, path: Path) -> Path:
    torch.save(state, path)
    return path


def stack(depth: int, inputs: int = 1, outputs: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(depth)
    channels = [inputs, *[4] * (depth - 1), outputs]
    return DnCNN(Layout(tuple((cin, cout, 3) for cin, cout in pairwise(channels)))).state_dict()


@needs_shared
@pytest.mark.parametrize("kind", ["gray", "color"])
def test_drunet_is_told_our_sigma_and_is_the_official_one(tmp_path: Path, kind: str) -> None:
    card, outputs = reference(f"dpir_drunet_{kind}")
    denoiser = snips.load_denoiser("spandrel", weights=saved(filled(card), tmp_path / "drunet.pth"))
    (channels,) = denoiser.channels
    assert denoiser.noise_levels == snips.NoiseLevels(0, 50 / 255)
    x = picture(channels, 64, 64)
    both = snips.denoise(denoiser, x.expand(2, -1, -1, -1), torch.tensor([15, 50]) / 255)
    assert_agrees(both[:1], outputs["out_64x64_s15"])
    assert_agrees(both[1:], outputs["out_64x64_s50"])
    assert_agrees(snips.denoise(denoiser, picture(channels, 61, 77), 25 / 255), outputs["out_61x77_s25"])


@needs_shared
@pytest.mark.parametrize("kind", ["gray", "color"])
def test_fdncnn_is_the_official_one(tmp_path: Path, kind: str) -> None:
    card, outputs = reference(f"kair_fdncnn_{kind}")
    denoiser = snips.load_denoiser("spandrel", weights=saved({"params": filled(card)}, tmp_path / "fdncnn.pth"))
    assert denoiser.noise_levels == snips.NoiseLevels(0, 75 / 255)
    x = picture(denoiser.channels[0], 64, 64)
    assert_agrees(snips.denoise(denoiser, x, 25 / 255), outputs["out_64x64_s25"])


@needs_shared
@pytest.mark.weights
@pytest.mark.parametrize("file", ["kair_dncnn_gray_blind.pth", "kair_dncnn_color_blind.pth", "kair_dncnn_25.pth"])
def test_real_weights_are_as_in_our_own_network(file: str) -> None:
    assert SHARED
    path, options = SHARED / "weights" / file, {"sigma": "25/255"} if "25" in file else {}
    ours = snips.load_denoiser("dncnn", weights=path, **options)
    theirs = snips.load_denoiser("spandrel", weights=path, **options)
    assert theirs.noise_levels == ours.noise_levels
    x = picture(ours.channels[0], 37, 53) * 2 - 0.5
    torch.testing.assert_close(
        snips.denoise(theirs, x, 25 / 255), snips.denoise(ours, x, 25 / 255), rtol=1e-4, atol=1e-5
    )


def test_a_network_of_one_sigma_is_called_as_it_is_and_never_clipped(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = SCUNet(in_nc=3, config=[1] * 7, dim=64, drop_path_rate=0).eval()
    path = saved(network.state_dict(), tmp_path / "scunet.pth")
    with pytest.raises(OptionError, match="for which σ is this SCUNet"):
        snips.load_denoiser("spandrel", weights=path)
    denoiser = snips.load_denoiser("spandrel", weights=path, sigma="25/255")
    assert denoiser.noise_levels.only == (25 / 255,)
    x = 3 * picture(3, 40, 40) - 1
    answer = snips.denoise(denoiser, x, 25 / 255)
    with torch.inference_mode():
        torch.testing.assert_close(answer, network(x))
    assert answer.min() < 0 or answer.max() > 1
    assert snips.denoise(denoiser, picture(3, 5, 7), 25 / 255).shape == (1, 3, 5, 7)


def test_the_noise_levels_are_those_said(tmp_path: Path) -> None:
    blind = saved(stack(20), tmp_path / "blind.pth")
    told = saved(stack(20, inputs=2), tmp_path / "told.pth")
    assert snips.load_denoiser("spandrel", weights=blind).noise_levels == snips.NoiseLevels(0, 55 / 255, blind=True)
    wider = snips.load_denoiser("spandrel", weights=blind, sigma="5/255..0.5").noise_levels
    assert wider == snips.NoiseLevels(5 / 255, 0.5, blind=True)
    assert snips.load_denoiser("spandrel", weights=told, sigma="0..0.2").noise_levels == snips.NoiseLevels(0, 0.2)
    for sigma in ("high", "1/0", "0", "-0.1", "0.2..0.1", "0..", "nan", "0..inf"):
        with pytest.raises(OptionError, match="spandrel's sigma="):
            snips.load_denoiser("spandrel", weights=blind, sigma=sigma)


def test_what_is_no_denoiser_is_refused_in_one_line(tmp_path: Path) -> None:
    wrong: list[tuple[Any, str]] = [
        (stack(9, inputs=5, outputs=4), "FFDNet, which spandrel takes for FDnCNN; `--denoiser ffdnet` reads it"),
        (Compact(num_feat=8, num_conv=2, upscale=4).state_dict(), "which enlarges 4 times: no denoiser"),
        (RetinexFormer(n_feat=16, stage=1).state_dict(), "RetinexFormer, no denoiser of white noise"),
        (stack(20, inputs=4, outputs=2), "spandrel cannot read it|from 3 channels to 2"),
        (stack(17) | {"head": torch.ones(1)}, "spandrel cannot read it .*head"),
        ({k: v for k, v in stack(17).items() if k != "model.4.bias"}, "spandrel"),
        (stack(17) | {"model.4.bias": torch.full((4,), torch.nan)}, "model.4.bias has NaN"),
        ({"a": torch.ones(1), "b": torch.ones(1)}, "no network that spandrel knows; it has a, b"),
        ([1, 2], "holds no tensors"),
    ]
    for data, message in wrong:
        path = saved(data, tmp_path / "wrong.pth")
        with pytest.raises(WeightsError, match=message) as caught:
            snips.load_denoiser("spandrel", weights=path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
    with pytest.raises(MissingWeights, match="comes without weights: say weights=FILE"):
        snips.load_denoiser("spandrel")


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    path = saved(stack(20), tmp_path / "blind.pth")
    before = torch.get_rng_state()
    snips.load_denoiser("spandrel", weights=path)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_the_library_one_line_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    monkeypatch.delitem(sys.modules, "snips_plugins.spandrel.denoiser", raising=False)
    with pytest.raises(MissingExtra, match=r"pip install 'snips-toolkit\[spandrel\]'"):
        snips.load_denoiser("spandrel", weights="any.pth")
