"""Files of weights: read without running code from them, checked, and put into a network.

safetensors, and what `torch.save` writes as far as `torch.load(weights_only=True)` takes it. Every failure is a
WeightsError of one line.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from snips.errors import WeightsError

State = dict[str, Tensor]
"""Tensors by name, as `Module.state_dict` gives them."""

Network = TypeVar("Network", bound=nn.Module)

WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "model", "net")
"""Keys under which training programs put a state dict inside a larger dict, the averaged weights (EMA) first."""


def read_weights(path: str | Path, safe_globals: Sequence[Callable[..., Any]] = ()) -> Any:
    """What a file of weights holds, on the CPU.

    Args:
        path: a safetensors file or one of `torch.save`; told apart by what is in it.
        safe_globals: harmless classes that the file needs besides tensors and plain data (argparse.Namespace, say).

    Returns:
        The tensors by name, or the nested lists and dicts of tensors and plain data that were saved.

    Raises WeightsError if the file is missing, empty, cut short or not one of weights, if it does not fit into memory,
    or if reading it would run code.
    """
    path = checked_file(path)
    size, memory = path.stat().st_size, physical_memory()
    if size > memory:
        raise WeightsError(f"{path}: {size / 1e9:.1f} GB, and this machine has {memory / 1e9:.1f} GB of memory")
    try:
        if is_safetensors(path):
            return load_file(path, device="cpu")
        with torch.serialization.safe_globals(list(safe_globals)), warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what reading a damaged or hostile file raises is anybody's guess
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise WeightsError(f"{path}: {size / 1e9:.1f} GB, for which there is not enough memory left") from error
        forbidden = re.search(r"(?:GLOBAL|function) ([\w.]+)", str(error))
        if forbidden:
            raise WeightsError(
                f"{path}: refused, reading it would run code ({forbidden[1]}); ask for it as safetensors"
            ) from error
        raise WeightsError(f"{path}: not a file of weights, or cut short; download it again") from error


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a safetensors file; empty for any other. Raises WeightsError as `read_weights`."""
    path = checked_file(path)
    if not is_safetensors(path):
        return {}
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except Exception as error:
        raise WeightsError(f"{path}: not a file of weights, or cut short; download it again") from error


def lineage(path: str | Path) -> dict[str, str]:
    """For the card of weights that are trained on from these: what made these, and to which step."""
    card = read_metadata(path)
    if "made" not in card:
        return {}
    made = f"{card['made']} (step {card.get('step', 'unknown')})"
    return {"start": f"{card['start']}; {made}" if "start" in card else made}


def physical_memory() -> float:
    """Of this machine, in bytes; infinite where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return float("inf")


def checked_file(path: str | Path) -> Path:
    """The path of a file that is there, can be read, and holds something. Raises WeightsError."""
    path = Path(path).expanduser()
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise WeightsError(
            f"{path}: {error.strerror or 'cannot be read'}; give the path of a file of weights"
        ) from error
    if empty:
        raise WeightsError(f"{path}: is empty; download it again")
    return path


def is_safetensors(path: Path) -> bool:
    """A safetensors file begins with the length of its header (8 bytes), and its header with a brace."""
    with path.open("rb") as file:
        return path.suffix == ".safetensors" or file.read(9)[8:] == b"{"


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file in hexadecimal. Raises WeightsError if it cannot be read."""
    with checked_file(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def as_state(data: Any, what: str) -> State:
    """The tensors by name in what was read, also from within a dict that holds them as `state_dict` or `params`.

    Raises WeightsError, which calls the data `what`, if there are none.
    """
    if isinstance(data, Mapping):
        for wrapper in WRAPPERS:
            if isinstance(data.get(wrapper), Mapping):
                return as_state(data[wrapper], what)
        state = {name: value for name, value in data.items() if isinstance(name, str) and isinstance(value, Tensor)}
        if state and len(state) == len(data):
            return state
    raise WeightsError(f"{what}: holds no tensors by name, so it is not a network's weights")


def strip_prefix(state: Mapping[str, Tensor], prefix: str = "module.") -> State:
    """The same tensors without a prefix of their names; DataParallel puts `module.` there."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def check_finite(state: Mapping[str, Tensor], what: str) -> None:
    """Raises WeightsError naming the first tensor that has NaN or infinite values."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise WeightsError(f"{what}: {name} has NaN or infinite values; download it again or train anew")


def load_into(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Put weights into a network of exactly these names and shapes.

    Counters of batch normalisation may be missing. Raises WeightsError, which calls the weights `what` and names a few
    tensors that do not fit, or one that is not finite.
    """
    own = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    problems = [
        _some("misses", [name for name in own if name not in state and not name.endswith("num_batches_tracked")]),
        _some("has besides", [name for name in state if name not in own]),
        _some(
            "has other shapes",
            [
                f"{name} {tuple(tensor.shape)} for {own[name]}"
                for name, tensor in state.items()
                if name in own and tuple(tensor.shape) != own[name]
            ],
        ),
    ]
    if any(problems):
        raise WeightsError(f"{what}: not the weights of {type(module).__name__}: {'; '.join(filter(None, problems))}")
    check_finite(state, what)
    module.load_state_dict(state, strict=False)


def network_from(make: Callable[[], Network], state: Mapping[str, Tensor], what: str) -> Network:
    """A network that holds these weights, ready for use: no gradients for its parameters, evaluation mode.

    It is made without initial weights, so that no random numbers are drawn. Raises WeightsError as `load_into`.
    """
    with torch.device("meta"):
        network = make()
    network = network.to_empty(device="cpu").requires_grad_(False).eval()
    load_into(network, state, what)
    return network


def _some(verb: str, names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{verb} {', '.join(names[:most])}{more}" if names else ""
