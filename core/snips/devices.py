"""Devices by name, and a clear line where one is not there."""

from __future__ import annotations

import os

import torch

from snips.errors import DeviceError


def resolve_device(device: str | torch.device) -> torch.device:
    """ "cpu", "cuda", "cuda:1", "mps" or "auto" (a GPU if there is one). Raises DeviceError if it cannot be used."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(1, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DeviceError(f"device {device} cannot be used here ({reason}); --device cpu always works") from error
    return resolved


def usable_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
