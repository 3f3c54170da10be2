"""Everything about a run that is settled before its first step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snips.checkpoint import digest
from snips.devices import compiled, resolve_device
from snips.errors import DeviceError, InvalidValue
from snips.interfaces import Level, MMSEDenoiser, NoiseLevels, PosteriorSampler
from snips.observation import Observation
from snips.plugins import load_denoiser, load_sampler
from snips.ranges import Policy, WithinRange, check_plan
from snips.tweedie import levels_like

Row = tuple[int, int]
"""(image index, sample index)."""

BATCH_VALUES = 4_000_000
"""Values of the state that run at once if no batch size is given."""

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class Called:
    """The denoiser as the engine calls it: in its number format, its answer checked and of the state's dtype."""

    denoiser: MMSEDenoiser
    autocast: torch.dtype | None = None

    @property
    def noise_levels(self) -> NoiseLevels:
        return self.denoiser.noise_levels

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        with torch.autocast(x.device.type, self.autocast, enabled=self.autocast is not None):
            clean = self.denoiser.denoise(x, sigma)
        if clean.shape != x.shape:
            name = type(self.denoiser).__name__
            raise InvalidValue(f"denoiser {name} answered {tuple(clean.shape)} to x {tuple(x.shape)}; `snips check` it")
        return clean.to(x.dtype)


@dataclass(frozen=True, eq=False)
class InParts:
    """A denoiser that is called with no more than `rows` rows at once."""

    denoiser: MMSEDenoiser
    rows: int

    @property
    def noise_levels(self) -> NoiseLevels:
        return self.denoiser.noise_levels

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        parts = zip(x.split(self.rows), sigma.split(self.rows), strict=True)
        return torch.cat([self.denoiser.denoise(*part) for part in parts])


@dataclass(frozen=True, eq=False)
class Job:
    """A validated run: what to sample, from what, with what, in which rows."""

    observation: Observation
    denoiser: MMSEDenoiser
    original: MMSEDenoiser
    sampler: PosteriorSampler
    plan: Sequence[Level]
    rows: Sequence[Row]
    images: int
    batch: int
    """Rows that run together: all of a picture, and no others, where the sampler couples them."""
    seed: int
    device: torch.device
    dtype: torch.dtype
    out_of_range: Policy
    outside: int
    """Steps at a σ that the denoiser is not made for."""

    def identity(self) -> dict[str, Any]:
        """What makes this run this run and no other, as plain data."""
        observed, sampler = self.observation, self.sampler
        texture = torch.linspace(0, 1, observed.image_shape[0] * observed.image_shape[1] * observed.image_shape[2])
        seen = observed.operator.forward(texture.reshape(1, *observed.image_shape).to(self.device, self.dtype))
        return {
            "y": digest(observed.operator.adjoint(observed.batch)),
            "sigma": observed.sigma,
            "operator": f"{type(observed.operator).__name__} {digest(seen)}",
            "denoiser": f"{type(self.original).__name__} {self.original.noise_levels}",
            "sampler": type(sampler).__name__,
            "plan": f"{len(self.plan)} steps {hashlib.sha256(repr(list(self.plan)).encode()).hexdigest()[:16]}",
            "samples": len(self.rows) // self.images,
            "seed": self.seed,
            "dtype": str(self.dtype),
            "out_of_range": self.out_of_range,
        }

    @torch.inference_mode()
    def probe(self) -> Tensor:
        """The denoiser's answer to the observation, thinned out: tells one denoiser from another of the same kind."""
        x = self.observation.operator.adjoint(self.observation.batch)[:1]
        clean = self.denoiser.denoise(x, levels_like(x, self.plan[-1].sigma)).flatten()
        return clean[:: max(len(clean) // 1024, 1)].cpu()


def prepare(
    observation: Observation,
    denoiser: MMSEDenoiser | str,
    sampler: PosteriorSampler | str,
    *,
    samples: int = 1,
    seed: int = 0,
    batch: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    compile: bool = False,
    out_of_range: Policy = "error",
) -> Job:
    """Check everything, and make the plan. Raises as `sample`."""
    for name, value in (("samples", samples), ("batch", 1 if batch is None else batch)):
        if int(value) != value or value < 1:
            raise InvalidValue(f"{name} must be a whole number from 1 on, not {value}")
    if int(seed) != seed or seed < 0:
        raise InvalidValue(f"seed must be a whole number from 0 on, not {seed}")
    if isinstance(sampler, str):
        sampler = load_sampler(sampler)
    if isinstance(denoiser, str):
        denoiser = load_denoiser(denoiser, device="cpu" if device is None else device)
    where = _place(denoiser, observation, device)
    state, autocast = _formats(dtype)
    plan = sampler.plan(observation, denoiser.noise_levels)
    outside = check_plan(plan, denoiser.noise_levels, out_of_range)
    observation = observation.to(where, state)
    images = len(observation.batch)
    at_once = batch or max(BATCH_VALUES // torch.Size(observation.image_shape).numel(), 1)
    called = _called(denoiser, autocast, compile, out_of_range if outside else "error")
    rows = [(image, sample) for sample in range(samples) for image in range(images)]
    if getattr(sampler, "couples_rows", False):
        rows, called, at_once = sorted(rows), InParts(called, at_once), samples
    return Job(
        observation=observation,
        denoiser=called,
        original=denoiser,
        sampler=sampler,
        plan=plan,
        rows=rows,
        images=images,
        batch=at_once,
        seed=seed,
        device=where,
        dtype=state,
        out_of_range=out_of_range,
        outside=outside,
    )


def _called(denoiser: MMSEDenoiser, autocast: torch.dtype | None, compile: bool, policy: Policy) -> MMSEDenoiser:
    called = Called(Compiled(denoiser) if compile else denoiser, autocast)
    return called if policy == "error" else WithinRange(called, policy)


class Compiled:
    """The denoiser, compiled when it is first called."""

    def __init__(self, denoiser: MMSEDenoiser) -> None:
        self.noise_levels = denoiser.noise_levels
        self.denoise = compiled(denoiser.denoise)


def _formats(dtype: str | torch.dtype | None) -> tuple[torch.dtype, torch.dtype | None]:
    """The state's dtype, and that of autocast for the denoiser, if any."""
    wanted = DTYPES.get(dtype) if isinstance(dtype, str) else dtype or torch.float32
    if wanted not in DTYPES.values():
        raise InvalidValue(f"dtype must be one of {', '.join(DTYPES)}, not {dtype}")
    if wanted in (torch.float32, torch.float64):
        return wanted, None
    return torch.float32, wanted


def _place(denoiser: MMSEDenoiser, observation: Observation, device: str | torch.device | None) -> torch.device:
    """Where to compute: as asked, else where the denoiser is, else where y is."""
    lives = getattr(denoiser, "device", None)
    if lives is None and isinstance(denoiser, torch.nn.Module):
        lives = next((p.device for p in denoiser.parameters()), None)
    if device is None:
        return torch.device(lives) if lives is not None else observation.y.device
    where = resolve_device(device)
    if lives is not None and torch.device(lives).type != where.type:
        if not isinstance(denoiser, torch.nn.Module):
            raise DeviceError(f"the denoiser is on {lives}, not on {where}; load it with device={str(where)!r}")
        denoiser.to(where)
    return where
