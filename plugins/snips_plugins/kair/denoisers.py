"""KAIR's checkpoints as MMSE denoisers: what a file holds is seen from its tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from snips.cards import number
from snips.errors import NoiseLevelError, OptionError, WeightsError
from snips.interfaces import NoiseLevels
from snips.store import locate
from snips.weights import as_state, network_from, read_weights, strip_prefix
from snips_plugins.kair import LEVELS, published
from snips_plugins.kair.networks import IRCNN, DnCNN, DRUNet, FDnCNN, FFDNet
from snips_plugins.networks import Bank, NetworkDenoiser
from snips_plugins.stack import Layout, Stack, layout_of

Device = str | torch.device

BLIND_DEPTH, SINGLE_DEPTH = 20, 17
"""Layers of DnCNN-B, which is blind, and of DnCNN-S, which is for one σ."""

IRCNN_DEPTH = 7


def dncnn(device: Device, weights: str | None = None, sigma: str | None = None) -> NetworkDenoiser:
    """A blind DnCNN, or a bank of those made for one σ each.

    Raises WeightsError for files that are not DnCNN or do not go together, OptionError for a sigma that does not fit.
    """
    several = weights is not None and not Path(weights).exists()
    paths = [required("dncnn", path) for path in (weights.split(",") if weights and several else [weights or None])]
    networks, layouts = zip(*(read_stack("dncnn", DnCNN, path) for path in paths), strict=True)
    for path, layout in zip(paths, layouts, strict=True):
        if layout.depth not in (SINGLE_DEPTH, BLIND_DEPTH):
            raise WeightsError(f"{path}: {layout}; DnCNN has {BLIND_DEPTH}, or {SINGLE_DEPTH} for one σ")
    channels = (layouts[0].outputs,)
    if len(paths) == 1 and layouts[0].depth == BLIND_DEPTH:
        if sigma is not None:
            raise OptionError(f"dncnn's sigma={sigma}: {weights} is blind and has no one σ")
        return NetworkDenoiser(networks[0].to(device), "noise", LEVELS["dncnn"], channels)
    if len({layout.outputs for layout in layouts}) > 1 or any(layout.depth == BLIND_DEPTH for layout in layouts):
        raise WeightsError(f"weights={weights}: to go together, all must be gray or all colour, and none blind")
    only = trained_levels(paths, sigma)
    bank = Bank(networks, lambda σ: nearest(σ, only))
    levels = NoiseLevels(min(only), max(only), only=tuple(sorted(only)))
    return NetworkDenoiser(bank.to(device), "noise", levels, channels)


def trained_levels(paths: list[str], sigma: str | None) -> list[float]:
    """The σ of each file: as said, or from the last number in its name, of 255."""
    if sigma is None:
        numbers = [re.findall(r"\d+", Path(path).stem) for path in paths]
        if not all(numbers):
            raise OptionError(f"dncnn: for which σ is {','.join(paths)}? Say so, as in sigma=25/255")
        said = [int(found[-1]) / 255 for found in numbers]
    else:
        try:
            said = [number(text) for text in sigma.split(",")]
        except (ValueError, ZeroDivisionError):
            raise OptionError(f"dncnn's sigma={sigma}: not numbers such as 15/255,25/255") from None
    if len(said) != len(paths) or len(set(said)) < len(said) or not all(0 < σ < math.inf for σ in said):
        raise OptionError(f"dncnn: {len(paths)} files and σ {', '.join(f'{σ:.4g}' for σ in said)}; give one σ each")
    return said


def nearest(sigma: float, only: list[float]) -> int:
    """The index of the network for this σ. Raises NoiseLevelError if there is none."""
    index = min(range(len(only)), key=lambda i: abs(only[i] - sigma))
    if not math.isclose(only[index], sigma, rel_tol=1e-3):
        raise NoiseLevelError(f"dncnn has networks for σ {', '.join(f'{σ:.4g}' for σ in only)}, not for {sigma:.4g}")
    return index


def fdncnn(device: Device, weights: str | None = None) -> NetworkDenoiser:
    """FDnCNN. Raises WeightsError, as the others do, if no file is given or it is of another network."""
    network, layout = read_stack("fdncnn", FDnCNN, required("fdncnn", weights))
    return NetworkDenoiser(network.to(device), "clean", LEVELS["fdncnn"], (layout.outputs,))


def ffdnet(device: Device, weights: str | None = None) -> NetworkDenoiser:
    """FFDNet, pictures padded to even sizes."""
    network, layout = read_stack("ffdnet", FFDNet, required("ffdnet", weights))
    return NetworkDenoiser(
        network.to(device), "clean", LEVELS["ffdnet"], (layout.outputs // 4,), multiple=2, padding="replicate"
    )


def ircnn(device: Device, weights: str | None = None) -> NetworkDenoiser:
    """The 25 networks of a file, under "0" for σ = 2/255 to "24" for 50/255."""
    path = required("ircnn", weights)
    data = read_weights(path)
    names = [str(index) for index in range(25)]
    if not isinstance(data, Mapping) or set(data) != set(names):
        raise WeightsError(f"{path}: not IRCNN, whose file holds 25 networks by the names 0 to 24")
    networks = [stack_from("ircnn", IRCNN, data[name], f"{path}[{name}]") for name in names]
    bank = Bank([network for network, _ in networks], ircnn_index)
    return NetworkDenoiser(bank.to(device), "noise", LEVELS["ircnn"], (networks[0][1].outputs,))


def ircnn_index(sigma: float) -> int:
    """The network for the next even σ of 255 (float32 rounding does not make 4/255 the next)."""
    return min(24, max(0, math.ceil(255 * sigma / 2 - 1e-4) - 1))


def drunet(device: Device, weights: str | None = None) -> NetworkDenoiser:
    """DRUNet, pictures padded to multiples of 8."""
    path = required("drunet", weights)
    state = strip_prefix(as_state(read_weights(path), path))
    tail = state.get("m_tail.weight")
    if tail is None or tail.ndim != 4:
        raise WeightsError(f"{path}: not DRUNet, which has a 4-d m_tail.weight; it has {', '.join(list(state)[:3])}")
    channels = tail.shape[0]
    network = network_from(lambda: DRUNet(channels), state, path)
    return NetworkDenoiser(network.to(device), "clean", LEVELS["drunet"], (channels,), multiple=8, padding="replicate")


LOADERS: dict[str, Callable[..., NetworkDenoiser]] = {
    "dncnn": dncnn,
    "fdncnn": fdncnn,
    "ffdnet": ffdnet,
    "ircnn": ircnn,
    "drunet": drunet,
}
"""By the names of the cards."""


def required(name: str, weights: str | None) -> str:
    """The file that the option `weights` means: a path, the name of a stored file, or None for the first stored one.

    Raises MissingWeights, which says what to fetch, if there is none.
    """
    return str(locate(weights, published(name), name))


def read_stack(name: str, network: type[Stack], path: str) -> tuple[Stack, Layout]:
    return stack_from(name, network, read_weights(path), path)


def stack_from(name: str, network: type[Stack], data: Any, what: str) -> tuple[Stack, Layout]:
    """The network of these weights. Raises WeightsError if they are of another one than `name`."""
    state = strip_prefix(as_state(data, what))
    layout = layout_of(state, what)
    kind = kind_of(layout)
    if kind != name:
        remedy = f"it fits {kind}" if kind else "it fits none of KAIR's denoisers"
        raise WeightsError(f"{what}: not {name}: {layout}; {remedy}")
    return network_from(lambda: network(layout), state, what), layout


def kind_of(layout: Layout) -> str:
    """Which of the stacks has this layout; empty if none."""
    if layout.inputs == layout.outputs:
        return "ircnn" if layout.depth == IRCNN_DEPTH else "dncnn"
    if layout.inputs == layout.outputs + 1:
        return "ffdnet" if layout.outputs % 4 == 0 else "fdncnn"
    return ""
