"""A stopped run, in one safetensors file: which run it is, how far it came, and every tensor it needs to go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from snips.errors import CheckpointError
from snips.files import new_file

FORMAT = "snips checkpoint 1"


@dataclass(frozen=True)
class Checkpoint:
    """`run` says which run this is, `place` how far it came; plain data, and tensors by name."""

    run: Mapping[str, Any]
    place: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def save(self, path: str | Path) -> None:
        """Whole or not at all. Raises OutputError."""
        metadata = {"format": FORMAT, "run": json.dumps(self.run), "place": json.dumps(self.place)}
        with new_file(path) as hidden:
            save_file({name: t.detach().cpu().contiguous() for name, t in self.tensors.items()}, hidden, metadata)

    @classmethod
    def load(cls, path: str | Path) -> Checkpoint:
        """Raises CheckpointError if the file is none."""
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is no checkpoint ({error}); delete it to start afresh") from error
        if metadata.get("format") != FORMAT:
            raise CheckpointError(f"{path} is no checkpoint of this version; delete it to start afresh")
        return cls(json.loads(metadata["run"]), json.loads(metadata["place"]), tensors)

    def check(self, path: str | Path, run: Mapping[str, Any]) -> None:
        """Raises CheckpointError, naming what differs, if this is another run's."""
        here = json.loads(json.dumps(run))
        for key in {**here, **self.run}:  # in the order in which a run states them
            if here.get(key) != self.run.get(key):
                raise CheckpointError(
                    f"{path} belongs to another run: {key} was {self.run.get(key)}, now {here.get(key)}; "
                    "ask for the same run, or delete the file to start afresh"
                )


def digest(*tensors: Tensor) -> str:
    """A short fingerprint of tensors' values."""
    sha = hashlib.sha256()
    for t in tensors:
        sha.update(str((t.dtype, tuple(t.shape))).encode())
        sha.update(t.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:16]
