"""A wider network that starts as the same function (after Net2Net: Chen, Goodfellow, Shlens, ICLR 2016)."""

from __future__ import annotations

import torch
from torch import Tensor

from snips.weights import State
from snips_plugins.drunet_small.network import SmallDRUNet


def widen(state: State, network: SmallDRUNet) -> State:
    """The weights of a narrower network, laid into those of a fresh wider one.

    Old features read nothing of the new ones, so the answer is the old network's; new features start from what the
    fresh network had, and learn from the first step on. What has no place in the wider network is returned as it was.
    """
    own = network.state_dict()
    return {name: _widened(name, old, own[name]) if name in own else old for name, old in state.items()}


def _widened(name: str, old: Tensor, fresh: Tensor) -> Tensor:
    if old.ndim != fresh.ndim or any(a > b for a, b in zip(old.shape, fresh.shape, strict=True)):
        return old
    if ".film." in name and old.shape[0] != fresh.shape[0]:  # scales of all features, then shifts of all
        halves = zip(old.chunk(2), fresh.chunk(2), strict=True)
        return torch.cat([_laid(half, into, 0) for half, into in halves])
    return _laid(old, fresh, 1 if name.startswith("up.") else 0)


def _laid(old: Tensor, fresh: Tensor, outputs: int) -> Tensor:
    """`old` in the corner of `fresh`, with zeros from new inputs to old outputs. `outputs` is the axis of outputs."""
    wide = fresh.clone()
    if old.ndim > 1:
        wide.narrow(outputs, 0, old.shape[outputs]).zero_()
    wide[tuple(slice(size) for size in old.shape)] = old
    return wide
