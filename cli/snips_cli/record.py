"""run.json: all that is needed to repeat a run, and what came out of it."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, nn

from snips.interfaces import Level
from snips_cli.loading import Parts
from snips_cli.parts import as_dict
from snips_cli.request import Request

DISTRIBUTIONS = {"snips": "snips-toolkit"} | {name: name for name in ("torch", "numpy", "scipy", "scikit-image")}


def record(
    request: Request,
    parts: Parts,
    plans: Sequence[Sequence[Level]],
    entries: Sequence[Mapping[str, Any]],
    said: Mapping[str, Any],
) -> dict[str, Any]:
    """Plain data. `said` goes in as it is: command, request, warnings."""
    denoiser, sampler, task = (as_dict(registration) for registration in parts.registrations)
    return {
        "format": 1,
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        **said,
        "seed": request.seed,
        "device": device_name(parts.device),
        "dtype": request.dtype,
        "versions": versions(),
        "denoiser": {
            "card": denoiser,
            "options": dict(request.denoiser_options),
            "noise_levels": asdict(parts.denoiser.noise_levels),
            "weights_sha256": weights_hash(parts.denoiser),
        },
        "sampler": {"card": sampler, "options": dict(request.sampler_options), "object": repr(parts.sampler)},
        "task": {"card": task, "options": dict(request.task_options), "simulated": request.simulated},
        "images": [{**entry, "plan": plan_in_short(plan)} for entry, plan in zip(entries, plans, strict=True)],
    }


def versions() -> dict[str, str]:
    """Of what computes: the distributions, Python and the machine."""
    found = {name: metadata.version(distribution) for name, distribution in DISTRIBUTIONS.items()}
    return found | {"python": platform.python_version(), "platform": platform.platform()}


def device_name(device: torch.device) -> str:
    """As in "cpu", or "cuda:0 (NVIDIA …)"."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def plan_in_short(plan: Sequence[Level]) -> dict[str, Any]:
    """How many steps, and from which σ to which."""
    return {"steps": len(plan), "sigma_first": plan[0].sigma, "sigma_last": plan[-1].sigma}


def weights_hash(denoiser: object) -> str | None:
    """SHA-256 over names, shapes and values of all parameters and buffers in it; None if it has none.

    The same weights have the same hash, whichever file they came from.
    """
    digest, found = hashlib.sha256(), False
    for module in modules(denoiser):
        for name, value in sorted(module.state_dict().items()):
            if isinstance(value, Tensor):
                found = True
                digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest() if found else None


def modules(part: object, depth: int = 3) -> Iterator[nn.Module]:
    """The networks in an object, in its attributes, in theirs, and in lists and dicts of them."""
    if isinstance(part, nn.Module):
        yield part
    elif depth:
        inside = part.values() if isinstance(part, dict) else part if isinstance(part, (list, tuple)) else None
        for value in inside if inside is not None else getattr(part, "__dict__", {}).values():
            yield from modules(value, depth - 1)
