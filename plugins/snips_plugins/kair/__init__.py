"""KAIR's pre-trained denoisers: DnCNN, FDnCNN, FFDNet, IRCNN and DRUNet."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from snips.cards import DenoiserCard, Option, WeightsFile
from snips.hookspecs import Register, hookimpl
from snips.interfaces import NoiseLevels

if TYPE_CHECKING:
    import torch

    from snips.interfaces import MMSEDenoiser

RELEASE = "https://github.com/cszn/KAIR/releases/download/v1.0"
LEVELS = {
    "dncnn": NoiseLevels(0.0, 55 / 255, blind=True),
    "fdncnn": NoiseLevels(0.0, 75 / 255),
    "ffdnet": NoiseLevels(0.0, 75 / 255),
    "ircnn": NoiseLevels(2 / 255, 50 / 255),
    "drunet": NoiseLevels(0.0, 50 / 255),
}

#: The official files of each denoiser in RELEASE, with their SHA-256 where one is published.
FILES: dict[str, dict[str, str]] = {
    "dncnn": {
        "dncnn_color_blind.pth": "dfe11a6b703304df82cdf236f431fc6492766c7b9119d97e943edeb392c710a3",
        "dncnn_gray_blind.pth": "",
        "dncnn_15.pth": "d1f48a581f42bd932de630a13e0b776ace33f6a24efa5572c112028f632a963f",
        "dncnn_25.pth": "0451a70de9b672ae037270498fbb1c17a1c1c4403785df586ff65df5b858e5b0",
        "dncnn_50.pth": "83c11202a88e7b238d08107060c909cb3e692f8177d3470d26d3f1a7b3475a83",
    },
    "fdncnn": {"fdncnn_color.pth": "", "fdncnn_gray.pth": ""},
    "ffdnet": {
        "ffdnet_color.pth": "",
        "ffdnet_gray.pth": "3c592bc022b4ec609e5e3b03776267c6297eba2714fd3c5f5dae62c12f7ac9c3",
    },
    "ircnn": {"ircnn_color.pth": "", "ircnn_gray.pth": ""},
    "drunet": {
        "drunet_color.pth": "479abe3c5327dfd10ff54a80ec7d4098ca80752a5c9492cdff31cee430bec4b4",
        "drunet_gray.pth": "",
    },
}

#: In bytes, where published.
SIZES = {"drunet_color.pth": 130_579_305}


def published(name: str) -> tuple[WeightsFile, ...]:
    """The official files of a denoiser, for its card."""
    return tuple(
        WeightsFile(file.removesuffix(".pth"), f"{RELEASE}/{file}", sha256, "MIT", SIZES.get(file), f"for {name}")
        for file, sha256 in FILES[name].items()
    )


WEIGHTS = Option("weights", str, None, "the checkpoint; gray or colour is seen from it")

DNCNN = DenoiserCard(
    name="dncnn",
    summary="plain CNN that predicts the noise: blind, or one network for each of a few σ",
    licence="MIT",
    citation="Zhang et al.: Beyond a Gaussian Denoiser, IEEE TIP 2017",
    url="https://github.com/cszn/KAIR",
    noise_levels=LEVELS["dncnn"],
    channels=(1, 3),
    weights=published("dncnn"),
    options=(
        Option("weights", str, None, "a checkpoint of 20 layers (blind) or 17 (one σ); several of 17 as a,b,c"),
        Option("sigma", str, None, "the σ of each network of 17 layers, as in 15/255,25/255; default: from file names"),
    ),
)

FDNCNN = DenoiserCard(
    name="fdncnn",
    summary="DnCNN that is told σ",
    licence="MIT",
    citation="Zhang, Zuo, Zhang: FFDNet: Toward a Fast and Flexible Solution for CNN-Based Denoising, IEEE TIP 2018",
    url="https://github.com/cszn/KAIR",
    noise_levels=LEVELS["fdncnn"],
    channels=(1, 3),
    weights=published("fdncnn"),
    options=(WEIGHTS,),
)

FFDNET = DenoiserCard(
    name="ffdnet",
    summary="CNN at half the resolution that is told σ: fast",
    licence="MIT",
    citation=FDNCNN.citation,
    url="https://github.com/cszn/KAIR",
    noise_levels=LEVELS["ffdnet"],
    channels=(1, 3),
    weights=published("ffdnet"),
    options=(WEIGHTS,),
)

IRCNN = DenoiserCard(
    name="ircnn",
    summary="25 small dilated CNNs, for σ from 2/255 to 50/255",
    licence="MIT",
    citation="Zhang et al.: Learning Deep CNN Denoiser Prior for Image Restoration, CVPR 2017",
    url="https://github.com/cszn/KAIR",
    noise_levels=LEVELS["ircnn"],
    channels=(1, 3),
    weights=published("ircnn"),
    options=(WEIGHTS,),
)

DRUNET = DenoiserCard(
    name="drunet",
    summary="residual U-Net that is told σ: the strongest of KAIR's, and the slowest",
    licence="MIT",
    citation="Zhang et al.: Plug-and-Play Image Restoration with Deep Denoiser Prior, IEEE TPAMI 2021",
    url="https://github.com/cszn/DPIR",
    noise_levels=LEVELS["drunet"],
    channels=(1, 3),
    weights=published("drunet"),
    options=(WEIGHTS,),
)


def load(name: str, device: str | torch.device = "cpu", **options: Any) -> MMSEDenoiser:
    from snips_plugins.kair.denoisers import LOADERS

    return LOADERS[name](device=device, **options)


@hookimpl
def register_denoisers(register: Register) -> None:
    for card in (DNCNN, FDNCNN, FFDNET, IRCNN, DRUNET):
        register(card, partial(load, card.name))
