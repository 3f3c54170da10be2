"""deepinv's samplers on our denoisers and problems, beside ours, where deepinv is installed.

Each with the settings of the package where it has some. ULA is tuned by hand: step .2/(1/σ² + 1/σ0²) at σ = .02, 3000
steps. Moment matching runs on the package's variance-preserving diffusion, with its DDPM solver. deepinv draws from
torch's global generator, which is seeded for the purpose.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snips.interfaces import MMSEDenoiser
from snips.observation import Identity, Mask, Observation
from snips.testing.bench import seeded_globally


def installed() -> bool:
    return importlib.util.find_spec("deepinv") is not None


def version() -> str:
    from importlib.metadata import version

    return version("deepinv")


class CountedGradient(torch.autograd.Function):
    """The identity; counts how often a gradient passes back through it."""

    @staticmethod
    def forward(x: Tensor, counter: Counted) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.counter = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        ctx.counter.calls += 1
        return gradients[0], None


class Counted(torch.nn.Module):
    """Our denoiser as deepinv calls one: D(x, σ), σ a number or a tensor. A gradient through it counts as a call."""

    def __init__(self, denoiser: MMSEDenoiser) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.calls = 0

    def forward(self, x: Tensor, sigma: float | Tensor, *_: Any, **__: Any) -> Tensor:
        self.calls += 1
        levels = torch.as_tensor(sigma, dtype=x.dtype).flatten().expand(len(x))
        clean = self.denoiser.denoise(x, levels)
        return CountedGradient.apply(clean, self)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Peer:
    """One of deepinv's samplers: `run(denoiser, y (N, C, H, W), physics, σ0)` returns samples."""

    name: str
    run: Callable[[Counted, Tensor, Any, float], Tensor]
    slow: bool = False
    """More than 100 calls."""

    def draw(self, denoiser: MMSEDenoiser, observation: Observation, samples: int, seed: int) -> tuple[Tensor, int]:
        """As snips.truth.measuring.Draw."""
        observed, counted = observation.to(torch.device("cpu"), torch.float32), Counted(denoiser)
        y = observed.batch.repeat(samples, 1, 1, 1)
        with seeded_globally(seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            drawn = self.run(counted, y, physics(observed), observed.sigma)
        return drawn.detach().reshape(samples, *observed.y.shape), counted.calls


def supports(observation: Observation) -> bool:
    """Denoising and inpainting are what is run there."""
    return isinstance(observation.operator, Identity | Mask)


def physics(observation: Observation) -> Any:
    import deepinv

    noise, operator = deepinv.physics.GaussianNoise(observation.sigma), observation.operator
    if isinstance(operator, Mask):
        mask = operator.mask.expand(observation.image_shape).float()
        return deepinv.physics.Inpainting(img_size=observation.image_shape, mask=mask, noise_model=noise)
    return deepinv.physics.Denoising(noise_model=noise)


def peers() -> list[Peer]:
    return [
        Peer("DDRM", ddrm),
        Peer("DiffPIR", diffpir),
        Peer("DPS 100", lambda *given: dps(100, *given)),
        Peer("DPS", lambda *given: dps(1000, *given), slow=True),
        Peer("moment matching 100", lambda *given: moment_matching(100, *given)),
        Peer("moment matching", lambda *given: moment_matching(1000, *given), slow=True),
        Peer("ULA", ula, slow=True),
    ]


def ddrm(denoiser: Counted, y: Tensor, physics: Any, sigma: float) -> Tensor:
    from deepinv.sampling import DDRM

    return DDRM(denoiser)(y, physics)  # type: ignore[no-any-return]


def diffpir(denoiser: Counted, y: Tensor, physics: Any, sigma: float) -> Tensor:
    from deepinv.optim import L2
    from deepinv.sampling import DiffPIR

    return DiffPIR(denoiser, L2())(y, physics)  # type: ignore[no-any-return]


def dps(steps: int, denoiser: Counted, y: Tensor, physics: Any, sigma: float) -> Tensor:
    from deepinv.sampling import DPS

    return DPS(denoiser, num_steps=steps)(y, physics)  # type: ignore[no-any-return]


def moment_matching(steps: int, denoiser: Counted, y: Tensor, physics: Any, sigma: float) -> Tensor:
    from deepinv.sampling import DDPMSolver, MomentMatchingDataFidelity, PosteriorDiffusion, VariancePreservingDiffusion

    solver = DDPMSolver(timesteps=torch.linspace(1, 0, steps, dtype=torch.float64))
    sampler = PosteriorDiffusion(
        MomentMatchingDataFidelity(denoiser), denoiser, VariancePreservingDiffusion(alpha=1.0), solver
    )
    return sampler(y, physics)  # type: ignore[no-any-return]


def ula(denoiser: Counted, y: Tensor, physics: Any, sigma: float) -> Tensor:
    """As many chains as samples, of which the last states are taken."""
    from deepinv.optim import L2, ScorePrior
    from deepinv.sampling import BaseSampling, ULAIterator

    level = 0.02
    step = 0.2 / (1 / level**2 + 1 / sigma**2)
    iterator = ULAIterator({"step_size": step, "alpha": 1.0, "sigma": level}, clip=(-1.0, 2.0))
    options = {"max_iter": 3000, "thinning": 1, "burnin_ratio": 0.0, "history_size": 1}
    chains = BaseSampling(iterator, L2(sigma), ScorePrior(denoiser), **options)
    chains.sample(y, physics)
    return chains.get_chain()[-1]["x"]  # type: ignore[no-any-return]
