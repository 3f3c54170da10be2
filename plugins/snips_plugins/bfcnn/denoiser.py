"""Checkpoints of blind bias-free CNNs as MMSE denoisers."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import Any

import torch

from snips.errors import MissingWeights, OptionError, WeightsError
from snips.interfaces import NoiseLevels
from snips.weights import State, as_state, network_from, read_weights, strip_prefix
from snips_plugins.bfcnn.network import UNet
from snips_plugins.networks import NetworkDenoiser
from snips_plugins.stack import Stack, layout_of

SOURCES = "https://github.com/LabForComputationalVision (universal_inverse_problem, local-probability-models-of-images)"


def load_bfcnn(weights: str | None, device: str | torch.device, sigma_max: float | None = None) -> NetworkDenoiser:
    """A BF-CNN or a bias-free U-Net, as the file holds.

    Raises WeightsError if none is given or it cannot be used, OptionError for a sigma_max that is not positive.
    """
    if not weights:
        raise MissingWeights(f"bfcnn comes without weights: get a checkpoint from {SOURCES} and say weights=FILE")
    if sigma_max is not None and not sigma_max > 0:
        raise OptionError(f"bfcnn's sigma_max must be positive, not {sigma_max}")
    data = read_weights(weights, safe_globals=[argparse.Namespace])
    trained, args = as_trained(data)
    state = strip_prefix(as_state(trained, weights))
    if "conv_layers.0.weight" in state:
        # The later ones have BN_layers, no ReLU after their first layer, and were trained up to σ = 1.
        later = any(name.startswith("BN_layers.") for name in state)
        levels = NoiseLevels(0.0, sigma_max or (1.0 if later else 100 / 255), blind=True)
        merged = without_normalisation(state, weights)
        layout = layout_of(merged, weights)
        if layout.inputs != layout.outputs:
            raise WeightsError(f"{weights}: not a denoiser of pictures: {layout}")
        network = network_from(lambda: Stack(layout, linear_start=later), merged, weights)
        return NetworkDenoiser(network.to(device), "noise", levels, (layout.outputs,))
    last = state.get("conv9.weight")
    if last is None or last.ndim != 4:
        some = ", ".join(list(state)[:3])
        raise WeightsError(f"{weights}: neither a BF-CNN (conv_layers.0.weight) nor a bias-free U-Net; it has {some}")
    if getattr(args, "residual", False):
        raise WeightsError(f"{weights}: a U-Net trained to predict the noise; only those of the clean picture are read")
    levels = NoiseLevels(0.0, sigma_max or getattr(args, "max_noise", 100) / 255, blind=True)
    channels, bias = last.shape[0], "conv9.bias" in state
    unet = network_from(lambda: UNet(channels, bias), state, weights)
    return NetworkDenoiser(unet.to(device), "clean", levels, (channels,), multiple=2)


def as_trained(data: Any) -> tuple[Any, argparse.Namespace | None]:
    """The state dict, and the training program's arguments, of a checkpoint {"model": [state dict], "args": …}."""
    if isinstance(data, Mapping) and isinstance(data.get("model"), list) and data["model"]:
        return data["model"][0], data.get("args")
    return data, None


def without_normalisation(state: State, what: str) -> State:
    """A BF-CNN as a plain stack: a channel's factor γ/sd goes into the convolution before it.

    Bias-free batch normalisation divides by a running standard deviation, without ε, and multiplies by γ, between the
    first convolution and the last. It is written running_sd.N and gammas.N, or BN_layers.N.running_sd and so on.
    """
    named = {re.sub(r"BN_layers\.(\d+)\.(\w+)", r"\2.\1", name): tensor for name, tensor in state.items()}
    depth = sum(name.startswith("conv_layers.") for name in named)
    merged = {}
    for i in range(depth):
        try:
            kernel = named.pop(f"conv_layers.{i}.weight")
            if 0 < i < depth - 1:
                factor = named.pop(f"gammas.{i - 1}") / named.pop(f"running_sd.{i - 1}")
                kernel = kernel * factor.reshape(-1, 1, 1, 1)
        except (KeyError, RuntimeError) as error:
            raise WeightsError(f"{what}: not a BF-CNN of {depth} layers, at layer {i}: {error}") from error
        merged[f"model.{2 * i}.weight"] = kernel
    if named:
        raise WeightsError(f"{what}: not a BF-CNN, it has besides {', '.join(list(named)[:3])}")
    return merged
