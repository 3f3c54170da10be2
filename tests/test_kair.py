"""KAIR's denoisers: exactly the official networks, through files as they come, and the PSNR of the real ones."""

from __future__ import annotations

import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snips
from evaluation import excess, reference_psnr
from oracle import assert_agrees, filled, picture, reference
from shared import SHARED, needs_shared
from snips.errors import NoiseLevelError, OptionError, SnipsError, WeightsError
from snips_plugins import kair
from snips_plugins.kair.denoisers import ircnn_index
from snips_plugins.kair.networks import IRCNN, DnCNN, DRUNet, FDnCNN, FFDNet
from snips_plugins.networks import NetworkDenoiser
from snips_plugins.stack import Layout

LEVELS = snips.NoiseLevels(0, 1)


def channels_of(card: dict[str, Any]) -> int:
    return 3 if "color" in card["name"] else 1


def saved(state: Any, path: Path) -> Path:
    torch.save(state, path)
    return path


def layout(*channels: int, norm: bool = False) -> Layout:
    return Layout(tuple((cin, cout, 3) for cin, cout in pairwise(channels)), norm=norm)


def plain(depth: int, channels: int = 1, width: int = 4, extra: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(depth + channels)
    return DnCNN(layout(channels + extra, *[width] * (depth - 1), channels)).state_dict()


@needs_shared
@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("kair_dncnn_gray_nb17", snips.NoiseLevels(25 / 255, 25 / 255, only=(25 / 255,))),
        ("kair_dncnn_gray_nb17_BN", snips.NoiseLevels(25 / 255, 25 / 255, only=(25 / 255,))),
        ("kair_dncnn_gray_blind_nb20", snips.NoiseLevels(0, 55 / 255, blind=True)),
        ("kair_dncnn_color_blind_nb20", snips.NoiseLevels(0, 55 / 255, blind=True)),
    ],
)
def test_dncnn(tmp_path: Path, name: str, levels: snips.NoiseLevels) -> None:
    card, outputs = reference(name)
    channels = channels_of(card)
    denoiser = snips.load_denoiser("dncnn", weights=saved(filled(card), tmp_path / "dncnn_25.pth"))
    assert denoiser.noise_levels == levels
    assert denoiser.channels == (channels,)
    for run, expected in outputs.items():
        height, width = (37, 53) if "37x53" in run else (64, 64)
        assert_agrees(snips.denoise(denoiser, picture(channels, height, width), 25 / 255), expected)


@needs_shared
@pytest.mark.parametrize("kind", ["gray", "color"])
def test_fdncnn_and_ffdnet(tmp_path: Path, kind: str) -> None:
    for name in ("fdncnn", "ffdnet"):
        card, outputs = reference(f"kair_{name}_{kind}")
        channels = channels_of(card)
        denoiser = snips.load_denoiser(name, weights=saved(filled(card), tmp_path / "state.pth"))
        assert denoiser.channels == (channels,)
        assert_agrees(snips.denoise(denoiser, picture(channels, 64, 64), 25 / 255), outputs.pop("out_64x64_s25"))
        if name == "ffdnet":
            assert_agrees(snips.denoise(denoiser, picture(channels, 37, 53), 50 / 255), outputs.pop("out_37x53_s50"))
        assert not outputs


@needs_shared
@pytest.mark.parametrize("kind", ["gray", "color"])
def test_ircnn(tmp_path: Path, kind: str) -> None:
    card, outputs = reference(f"kair_ircnn_{kind}")
    channels, state = channels_of(card), filled(card)
    silent = {key: torch.zeros(()).expand(tensor.shape) for key, tensor in state.items()}
    bank = {str(index): state if index == 12 else silent for index in range(25)}
    denoiser = snips.load_denoiser("ircnn", weights=saved(bank, tmp_path / "state.pth"))
    assert denoiser.channels == (channels,)
    x = picture(channels, 64, 64)
    assert_agrees(snips.denoise(denoiser, x, 26 / 255), outputs["out_64x64"])
    assert_agrees(snips.denoise(denoiser, picture(channels, 37, 53), 25 / 255), outputs["out_37x53"])
    mixed = snips.denoise(denoiser, x.expand(3, -1, -1, -1), torch.tensor([24, 26, 28]) / 255)
    assert torch.equal(mixed[[0, 2]], x.expand(2, -1, -1, -1))
    assert_agrees(mixed[1:2], outputs["out_64x64"])


@needs_shared
@pytest.mark.parametrize("kind", ["gray", "color"])
def test_drunet(tmp_path: Path, kind: str) -> None:
    card, outputs = reference(f"dpir_drunet_{kind}")
    channels = channels_of(card)
    path = saved(filled(card), tmp_path / "state.pth")
    denoiser = snips.load_denoiser("drunet", weights=path)
    path.unlink()
    assert denoiser.channels == (channels,)
    assert_agrees(snips.denoise(denoiser, picture(channels, 64, 64), 15 / 255), outputs["out_64x64_s15"])
    assert_agrees(snips.denoise(denoiser, picture(channels, 64, 64), 50 / 255), outputs["out_64x64_s50"])
    assert_agrees(snips.denoise(denoiser, picture(channels, 61, 77), 25 / 255), outputs["out_61x77_s25"])


@needs_shared
@pytest.mark.weights
@pytest.mark.parametrize(
    ("denoiser", "file", "name", "sigma"),
    [
        ("dncnn", "kair_dncnn_25.pth", "KAIR/dncnn_25", 25),
        ("dncnn", "kair_dncnn_gray_blind.pth", "dncnn_gray_blind", 50),
        ("dncnn", "kair_dncnn_color_blind.pth", "dncnn_color_blind", 25),
        ("ffdnet", "kair_ffdnet_gray.pth", "ffdnet_gray", 15),
        ("ffdnet", "kair_ffdnet_gray.pth", "ffdnet_gray", 75),
        ("ffdnet", "kair_ffdnet_color.pth", "ffdnet_color", 25),
    ],
)
def test_the_real_weights_pass_the_kit_and_have_the_known_psnr(denoiser: str, file: str, name: str, sigma: int) -> None:
    assert SHARED
    loaded = snips.load_denoiser(denoiser, weights=SHARED / "weights" / file)
    snips.testing.check_denoiser(loaded)
    known = reference_psnr("eval_kair.json", name, sigma)
    assert abs(excess(loaded, 3 if "color" in name else 1, known, sigma)) < 0.1


def test_a_bank_of_dncnn_chooses_by_sigma(tmp_path: Path) -> None:
    states = {level: plain(17, width=level // 5) for level in (50, 15, 25)}
    paths = [saved(state, tmp_path / f"dncnn_{level}.pth") for level, state in states.items()]
    bank = snips.load_denoiser("dncnn", weights=",".join(map(str, paths)))
    assert bank.noise_levels == snips.NoiseLevels(15 / 255, 50 / 255, only=(15 / 255, 25 / 255, 50 / 255))
    x, sigma = picture(1, 12, 12, rows=4), torch.tensor([50, 15, 25, 15]) / 255
    together = bank.denoise(x, sigma)
    for row, level in enumerate((50, 15, 25, 15)):
        single = snips.load_denoiser("dncnn", weights=tmp_path / f"dncnn_{level}.pth")
        assert torch.equal(together[row], snips.denoise(single, x[row], level / 255))
    with pytest.raises(NoiseLevelError, match="not for 0.07843"):
        snips.denoise(bank, x, 20 / 255)


def test_the_sigma_of_a_dncnn_is_said_or_in_its_name(tmp_path: Path) -> None:
    path = saved(plain(17), tmp_path / "network.pth")
    with pytest.raises(OptionError, match="Say so, as in sigma=25/255"):
        snips.load_denoiser("dncnn", weights=path)
    assert snips.load_denoiser("dncnn", weights=path, sigma="25/255").noise_levels.only == (25 / 255,)
    pair = f"{path},{saved(plain(17, width=5), tmp_path / 'other.pth')}"
    assert snips.load_denoiser("dncnn", weights=pair, sigma="0.2,0.1").noise_levels.only == (0.1, 0.2)
    for sigma in ("0.1", "0.1,0.1", "0.1,0.2,0.3", "-1,0.1", "high,low", "0.1,inf", "0.1,1/0"):
        with pytest.raises(OptionError):
            snips.load_denoiser("dncnn", weights=pair, sigma=sigma)
    blind = saved(plain(20), tmp_path / "blind.pth")
    with pytest.raises(OptionError, match="is blind"):
        snips.load_denoiser("dncnn", weights=blind, sigma="0.1")
    with pytest.raises(WeightsError, match="none blind"):
        snips.load_denoiser("dncnn", weights=f"{path},{blind}", sigma="0.1,0.2")
    colour = saved(plain(17, channels=3), tmp_path / "colour.pth")
    with pytest.raises(WeightsError, match="all gray or all colour|all must be gray or all colour"):
        snips.load_denoiser("dncnn", weights=f"{path},{colour}", sigma="0.1,0.2")


def test_ircnn_index() -> None:
    """The network of an even σ is that σ's own, in float32 too."""
    for index in range(25):
        even = torch.tensor(2 * (index + 1)) / 255
        assert ircnn_index(float(even)) == index
        assert ircnn_index(float(even - 0.9 / 255)) == index
    assert ircnn_index(0.0) == 0
    assert ircnn_index(1.0) == 24


def test_a_file_for_another_network_says_which(tmp_path: Path) -> None:
    files = {
        "dncnn": plain(20),
        "ircnn": plain(7),
        "fdncnn": plain(20, extra=1),
        "ffdnet": plain(15, channels=4, extra=1),
    }
    for wanted in ("dncnn", "fdncnn", "ffdnet"):
        for kind, state in files.items():
            path = saved(state, tmp_path / "a_25.pth")
            if kind == wanted:
                snips.load_denoiser(wanted, weights=path)
                continue
            with pytest.raises(WeightsError, match=f"not {wanted}: .* channels; it fits {kind}$"):
                snips.load_denoiser(wanted, weights=path)


def test_wrong_files(tmp_path: Path) -> None:
    unet = DRUNet(1, blocks=1).state_dict()
    bank = {str(i): IRCNN(layout(1, *[4] * 6, 1)).state_dict() for i in range(25)}
    good = plain(20)
    wrong: list[tuple[str, Any, str]] = [
        ("dncnn", plain(12), "12 convolutions .* DnCNN has 20, or 17"),
        ("dncnn", unet, "not a stack of convolutions .* it has m_head"),
        ("dncnn", good | {"model.38.bias": torch.full((1,), torch.nan)}, "model.38.bias has NaN"),
        ("dncnn", {k: v for k, v in good.items() if k != "model.4.bias"}, "misses model.4.bias"),
        ("ffdnet", plain(20, channels=5, extra=4), "it fits none of KAIR's denoisers"),
        ("ircnn", plain(7), "not IRCNN, whose file holds 25 networks"),
        ("ircnn", bank | {"7": plain(20)}, r"\[7\]: not ircnn: 20 convolutions"),
        ("drunet", good, "not DRUNet"),
        ("drunet", unet, "misses m_down1.1.res.0.weight"),
        ("drunet", {"m_tail.weight": torch.ones(3)}, "not DRUNet"),
    ]
    for name, data, message in wrong:
        path = saved(data, tmp_path / "wrong_25.pth")
        with pytest.raises(WeightsError, match=message) as caught:
            snips.load_denoiser(name, weights=path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", kair.FILES)
def test_without_weights_it_says_what_to_fetch(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNIPS_WEIGHTS_DIR", str(tmp_path))
    (card,) = snips.denoisers(name)
    assert card.licence == "MIT"
    with pytest.raises(SnipsError) as caught:
        snips.load_denoiser(name)
    assert f"`snips weights get {card.weights[0].name}`" in str(caught.value)


@needs_shared
@pytest.mark.weights
def test_a_stored_file_is_found_by_its_name_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNIPS_WEIGHTS_DIR", str(tmp_path))
    assert SHARED is not None
    shutil.copy(SHARED / "weights" / "kair_dncnn_25.pth", tmp_path / "dncnn_25.pth")
    by_name = snips.load_denoiser("dncnn", weights="dncnn_25")
    assert by_name.noise_levels == snips.load_denoiser("dncnn").noise_levels
    assert by_name.noise_levels.only == (25 / 255,)


NETWORKS = {
    "dncnn": lambda c: (DnCNN(layout(c, 64, 64, c)), "noise", 1),
    "dncnn-bn": lambda c: (DnCNN(layout(c, 16, 16, 16, c, norm=True)), "noise", 1),
    "ircnn": lambda c: (IRCNN(layout(c, *[16] * 6, c)), "noise", 1),
    "fdncnn": lambda c: (FDnCNN(layout(c + 1, 64, 64, c)), "clean", 1),
    "ffdnet": lambda c: (FFDNet(layout(4 * c + 1, 64, 64, 4 * c)), "clean", 2),
    "drunet": lambda c: (DRUNet(c, widths=(8, 16, 32, 64), blocks=1), "clean", 8),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_row_is_the_same_in_any_batch_bit_for_bit_and_at_any_size(name: str, channels: int) -> None:
    torch.manual_seed(0)
    network, answer, multiple = NETWORKS[name](channels)
    denoiser = NetworkDenoiser(network, answer, LEVELS, (channels,), multiple)
    for size in ((1, 1), (3, 5), (16, 16), (37, 53)):
        x, sigma = picture(channels, *size, rows=4), torch.linspace(0.1, 0.7, 4)
        kept = x.clone()
        together = denoiser.denoise(x, sigma)
        assert together.shape == x.shape
        for rows in ([0], [3], [1, 2]):
            assert torch.equal(denoiser.denoise(x[rows], sigma[rows]), together[rows]), (size, rows)
        double = denoiser.denoise(x.double(), sigma.double())
        assert double.dtype == torch.float64
        torch.testing.assert_close(double, together.double(), rtol=0, atol=1e-5)
        assert torch.equal(x, kept)


def test_the_network_is_made_ready() -> None:
    network = DnCNN(layout(1, 4, 4, 1, norm=True)).train()
    denoiser = NetworkDenoiser(network, "noise", LEVELS, (1,))
    assert not any(isinstance(m, nn.Module) and m.training for m in network.modules())
    assert not any(p.requires_grad for p in network.parameters())
    assert denoiser.device == torch.device("cpu")
    x = picture(1, 8, 8).requires_grad_()
    (gradient,) = torch.autograd.grad(denoiser.denoise(x, torch.tensor([0.1])).sum(), x)
    assert gradient.isfinite().all()


def test_the_cards_are_read_without_torch() -> None:
    program = "import sys, snips; print({c.name for c in snips.denoisers()}, 'torch' in sys.modules)"
    seen = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "False" in seen
    assert all(f"'{name}'" in seen for name in [*kair.FILES, "bfcnn", "bm3d", "ncsnv2"])
