"""A checkpoint of any format that `read_weights` takes, as safetensors: tensors only, and nothing that could run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from snips.errors import OutputError, WeightsError
from snips.files import new_file
from snips.weights import as_state, file_sha256, read_weights


def convert(source: str | Path, target: str | Path, overwrite: bool = False) -> tuple[int, list[str]]:
    """Write the tensors of a checkpoint to a safetensors file, names kept, and the source's SHA-256 in its metadata.

    Tensors within nested lists and dicts are called by the way to them, as in "0.model.0.weight".

    Returns:
        How many tensors were written, and the names of what else the checkpoint held, which is left out.

    Raises WeightsError for a source that cannot be read or holds no tensors, OutputError for a target that cannot be
    written, exists, or is not called *.safetensors.
    """
    source, target = Path(source), Path(target)
    if target.suffix != ".safetensors":
        raise OutputError(f"{target}: the name of what is written ends in .safetensors")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists; choose another name, or overwrite it (--overwrite)")
    tensors, left_out = sorted_out(read_weights(source, safe_globals=[argparse.Namespace]), str(source))
    metadata = {"source": source.name, "source_sha256": file_sha256(source)}
    with new_file(target) as hidden:
        try:
            save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, hidden, metadata)
        except (ValueError, KeyError) as error:
            raise WeightsError(f"{source}: holds what safetensors cannot: {error}") from error
    return len(tensors), left_out


def sorted_out(data: Any, what: str) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors by name, and the names of the rest. Raises WeightsError naming `what` if there are no tensors."""
    try:
        return as_state(data, what), []
    except WeightsError:
        leaves = dict(_leaves(data))
    tensors = {name: value for name, value in leaves.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"{what}: holds no tensors, so there is nothing to convert")
    return tensors, [name for name in leaves if name not in tensors]


def _leaves(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    items = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, (list, tuple)) else None
    if items is None:
        yield path, data
        return
    for key, value in items:
        yield from _leaves(value, f"{path}.{key}" if path else str(key))
