"""Devices by name, kernels compiled for them, and a clear line where either is not to be had."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

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


def compiled(call: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """The same by torch.compile, with its options; kernels are made when it is first called.

    That call raises DeviceError where they cannot be made: for want of a C++ compiler, say.
    """
    from torch._dynamo.exc import BackendCompilerFailed

    made = torch.compile(call, **options)

    def compiled_call(*given: Any) -> Any:
        try:
            return made(*given)
        except BackendCompilerFailed as error:
            reason = str(error.inner_exception).strip().splitlines()[0].rstrip(".")
            raise DeviceError(f"torch.compile does not work here ({reason}); it goes without --compile too") from error

    return compiled_call


def usable_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
