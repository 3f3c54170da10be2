"""The reference outputs of ../shared/oracle: official networks, their parameters filled by a rule (RULE.txt there)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shared import SHARED


def reference(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What the json says, and the official network's outputs by name."""
    assert SHARED
    card = json.loads((SHARED / "oracle" / f"{name}.json").read_text())
    with np.load(SHARED / "oracle" / f"{name}.npz") as arrays:
        return card, {run["name"]: torch.from_numpy(arrays[run["name"]]) for run in card["runs"]}


def filled(card: Mapping[str, Any], kept: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The state dict that the rule makes. `kept`: the values of tensors that it leaves as they are.

    The first values are compared with those written down, so that other random numbers are not taken for another
    network.
    """
    state = {}
    for tensor in card["state_dict"]:
        key, shape = tensor["key"], tensor["shape"]
        value = (kept or {}).get(key, torch.zeros(shape, dtype=getattr(torch, tensor["dtype"])))
        if tensor["kind"] != "kept":
            value = _draw(tensor["kind"], shape, card["gain"], torch.Generator().manual_seed(tensor["k"]))
        first = torch.tensor(tensor["first3"], dtype=value.dtype)
        torch.testing.assert_close(value.flatten()[:3], first, msg=f"{key} is not filled as in the oracle")
        state[key] = value
    return state


def _draw(kind: str, shape: list[int], gain: float, generator: torch.Generator) -> Tensor:
    if kind == "0.5+rand":
        return 0.5 + torch.rand(shape, generator=generator)
    normal = torch.randn(shape, generator=generator)
    if kind == "1+0.1*randn":
        return 1 + 0.1 * normal
    if kind == "0.1*randn":
        return 0.1 * normal
    assert kind == "randn*gain/sqrt(numel/shape[0])", kind
    return normal * gain / np.sqrt(prod(shape) // shape[0])


def picture(channels: int, height: int, width: int, seed: int = 0, rows: int = 1) -> Tensor:
    """The oracle's input X: uniform in [0, 1]."""
    return torch.rand(rows, channels, height, width, generator=torch.Generator().manual_seed(seed))


def assert_agrees(seen: Tensor, expected: Tensor) -> None:
    """Within rtol 1e-4 and atol 1e-4 of the largest value."""
    torch.testing.assert_close(seen.to(expected), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
