"""How alike two pictures look, by measures that people's judgements were compared with, and by statistics of patches.

Pictures are (C, H, W), C 1 or 3, arrays or CPU tensors, and are clipped to [0, 1]: what is measured is what is seen. A
picture smaller than a measure needs has NaN. Most of this is by the libraries of the extra `study` (torchmetrics, piq),
and nothing is fetched behind the user's back. Importing this does not import torch.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snips.backbones import BACKBONES
from snips.errors import MissingExtra

if TYPE_CHECKING:
    from torch import Tensor

NAN = float("nan")

MS_SSIM_SIDE = 176
"""An 11×11 window after four halvings."""

PATCH = 7
"""Side of the patches whose statistics are compared."""

HAARPSI_SIDE, GMSD_SIDE, LPIPS_SIDE, BLUR_SIDE, SLICED_SIDE = 16, 8, 32, 16, 2 * PATCH

PROJECTIONS, PATCHES = 32, 2048
"""Directions, and patches a level, of the sliced Wasserstein distance."""


def ms_ssim(clean: ArrayLike, picture: ArrayLike) -> float:
    """The multi-scale structural similarity (Wang, Simoncelli and Bovik 2003), by torchmetrics; 1 if equal."""
    a, b = _batch(clean), _batch(picture)
    if _side(a) < MS_SSIM_SIDE:
        return NAN
    image = library("torchmetrics.functional.image")
    return float(image.multiscale_structural_similarity_index_measure(b, a, data_range=1.0))


def haarpsi(clean: ArrayLike, picture: ArrayLike) -> float:
    """The Haar wavelet-based perceptual similarity (Reisenhofer et al. 2018), by piq; 1 if equal."""
    a, b = _batch(clean), _batch(picture)
    return float(library("piq").haarpsi(b, a)) if _side(a) >= HAARPSI_SIDE else NAN


def gmsd(clean: ArrayLike, picture: ArrayLike) -> float:
    """The deviation of gradient magnitude similarity (Xue et al. 2014), by piq; 0 if equal."""
    a, b = _batch(clean), _batch(picture)
    return float(library("piq").gmsd(b, a)) if _side(a) >= GMSD_SIDE else NAN


def lpips(clean: ArrayLike, picture: ArrayLike, net: str = "alex") -> float:
    """The learned perceptual distance (Zhang et al. 2018) through an ImageNet network, by torchmetrics; 0 if equal.

    Args:
        net: "alex", "vgg" or "squeeze". A gray picture is shown to it as a colour one.

    Raises WeightsError if the network's weights are not stored, MissingExtra without torchmetrics and torchvision.
    """
    import torch

    a, b = (x.expand(-1, 3, -1, -1) for x in (_batch(clean), _batch(picture)))
    if _side(a) < LPIPS_SIDE:
        return NAN
    with torch.inference_mode():
        return float(_lpips_network(net)(b, a, normalize=True))


def features(picture: ArrayLike, net: str = "alex") -> Tensor | None:
    """(D,): what an ImageNet network sees in a picture, its last layer averaged over places; None for a small one.

    D is 256 ("alex") or 512 ("vgg", "squeeze"). Raises as `lpips`.
    """
    import torch

    x = _batch(picture).expand(-1, 3, -1, -1)
    if _side(x) < LPIPS_SIDE:
        return None
    network = _lpips_network(net)
    with torch.inference_mode():
        seen: Tensor = network.net(network.scaling_layer(2 * x - 1))[-1]
    return seen.mean((2, 3))[0].clone()


@cache
def _lpips_network(net: str) -> Any:
    """torchmetrics' LPIPS with its own heads and our stored file's features, which it would otherwise download."""
    import torch

    from snips.store import stored
    from snips.weights import as_state, check_finite, load_into, read_weights

    library("torchvision")
    path = stored(BACKBONES[net])
    with torch.random.fork_rng(devices=[]):  # it draws initial weights, which are then replaced
        network = library("torchmetrics.functional.image.lpips")._NoTrainLpips(net=net, pnet_rand=True)
    state = as_state(read_weights(path), str(path))
    check_finite(state, str(path))
    features = {name.removeprefix("features."): v for name, v in state.items() if name.startswith("features.")}
    own = {name: name.split(".", 2 if name.startswith("slices.") else 1)[-1] for name in network.net.state_dict()}
    load_into(network.net, {name: features[layer] for name, layer in own.items() if layer in features}, str(path))
    return network.eval()


def sliced_wasserstein(clean: ArrayLike, picture: ArrayLike) -> float:
    """How differently the two pictures' patches are distributed, wherever they lie: 0 if alike, 1 as far as a spread.

    The sliced Wasserstein-1 distance between the 7×7 patches of each level of the Laplacian pyramids (Rabin et al.
    2011; Karras et al. 2018), over the standard deviation of the clean picture's level, mean over levels. Blur, noise
    and ringing are seen, and a detail in the wrong place is not. The directions are the same at every call.
    """
    a, b = _batch(clean), _batch(picture)
    if _side(a) < SLICED_SIDE:
        return NAN
    distances = [_patch_distance(x, y) for x, y in zip(_laplacian(a), _laplacian(b), strict=True)]
    return float(np.mean(distances))


def _patch_distance(a: Tensor, b: Tensor) -> float:
    from torch.nn.functional import conv2d

    stride = max(math.ceil(math.sqrt(a.shape[2] * a.shape[3] / PATCHES)), 1)
    kernel = _directions(a.shape[1]).to(a)
    p, q = (np.sort(conv2d(x, kernel, stride=stride).flatten(2).numpy()) for x in (a, b))
    return float(np.abs(p - q).mean() / max(float(a.std(correction=0)), 1e-4))


@cache
def _directions(channels: int) -> Tensor:
    """(PROJECTIONS, channels, PATCH, PATCH), each of length 1."""
    z = np.random.default_rng(0).normal(size=(PROJECTIONS, channels, PATCH, PATCH))
    import torch

    return torch.from_numpy(z / np.sqrt((z**2).sum((1, 2, 3), keepdims=True))).float()


def _laplacian(x: Tensor) -> list[Tensor]:
    """What each halving of (1, C, H, W) blurs away, by Burt and Adelson's 5-tap kernel, and the last small picture."""
    levels = []
    while _side(x) >= 4 * PATCH:
        low = _blurred(x)
        levels.append(x - low)
        x = low[..., ::2, ::2]
    return [*levels, x]


def _blurred(x: Tensor) -> Tensor:
    import torch
    from torch.nn.functional import conv2d, pad

    tap = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = torch.outer(tap, tap).expand(x.shape[1], 1, 5, 5)
    return conv2d(pad(x, (2, 2, 2, 2), mode="reflect"), kernel, groups=x.shape[1])


def blur(picture: ArrayLike) -> float:
    """How blurred a picture is by itself, 0 sharp and 1 blurred (Crété-Roffet et al. 2007), by scikit-image."""
    from skimage.measure import blur_effect

    x = np.clip(_array(picture), 0, 1)
    return float(blur_effect(x.mean(0), h_size=11)) if min(x.shape[1:]) >= BLUR_SIDE else NAN


def _array(picture: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(picture, dtype=np.float64)


def _batch(picture: ArrayLike) -> Tensor:
    """(1, C, H, W) float32 in [0, 1]."""
    import torch

    return torch.from_numpy(np.clip(_array(picture), 0, 1)).float()[None]


def _side(x: Tensor) -> int:
    return min(x.shape[-2:])


def library(module: str) -> Any:
    """A module of the extra `study`. Raises MissingExtra."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise MissingExtra(f"{name} is not installed; pip install 'snips-toolkit[study]'") from error
