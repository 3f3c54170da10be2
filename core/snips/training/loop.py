"""The training loop: any trainable as an MMSE denoiser over a range of σ, stopped and resumed to the same result.

What is drawn at a step (crops, σ, noise) is a function of the seed, the process and the step alone, and the state holds
the network, its moving average, the optimiser and the step: so a run that was stopped goes on to the same bits on the
same machine.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from snips import devices
from snips.errors import CheckpointError, Diverged, InvalidValue, did_you_mean
from snips.files import new_file
from snips.training.corpora import Corpus
from snips.training.draws import Draw, Draws, to_clean
from snips.training.trainable import Trainable, error_of_clean, weight

FORMAT = "snips training 1"

GRAY_EVERY = 4
"""Of a network for gray and colour pictures, every so many steps are gray."""


@dataclass(frozen=True)
class Settings:
    """How to train. Raises InvalidValue for what cannot be."""

    steps: int = 20_000
    rows: int = 8
    """Crops a step, over all processes."""
    patch: int = 96
    rate: float = 1e-3
    warmup: int = 200
    """Steps in which the rate rises to its full height."""
    cooldown: float = 1.0
    """The last share of the steps, in which the rate falls to 0 by a cosine; 1 is the plain cosine schedule. Before it,
    a run does not depend on `steps`: it can be made longer or shorter when it is resumed."""
    optimiser: str = "adamw"
    """Of timm's, by name."""
    decay: float = 0.999
    """Of the moving average of the weights, which is what is kept."""
    clip: float = 1.0
    sigma_min: float = 0.002
    sigma_max: float = 1.0
    dtype: str = "float32"
    """Or bfloat16, for the network's own arithmetic."""
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.rows, self.patch) < 1 or not self.rate > 0 or not 0 < self.cooldown <= 1:
            raise InvalidValue(f"training needs positive steps, rows, patch and rate, and a cooldown in (0, 1]: {self}")
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise InvalidValue(f"training needs 0 < sigma_min < sigma_max, not {self.sigma_min} and {self.sigma_max}")
        if self.dtype not in ("float32", "bfloat16"):
            raise InvalidValue(f"training in float32 or bfloat16, not {self.dtype}")

    def rate_at(self, step: int) -> float:
        """The share of `rate` at a step: up, level, and down by a cosine."""
        down = max(step - self.steps * (1 - self.cooldown), 0) / (self.steps * self.cooldown)
        return min((step + 1) / self.warmup, 1.0) * 0.5 * (1 + math.cos(math.pi * min(down, 1.0)))


class Training:
    """A run: `steps()` trains, and yields after each step its number and its loss.

    workers: processes that draw ahead, of which what is drawn does not depend. compiled: whether torch.compile makes
    the network's kernels.
    """

    def __init__(
        self,
        trainable: Trainable,
        corpus: Corpus,
        settings: Settings,
        device: torch.device | str = "cpu",
        workers: int = 0,
        compiled: bool = False,
    ) -> None:
        from timm.optim import create_optimizer_v2, list_optimizers
        from timm.utils import ModelEmaV3

        if settings.patch % trainable.multiple:
            raise InvalidValue(f"--patch {settings.patch}: this network needs a multiple of {trainable.multiple}")
        names = [str(name) for name in list_optimizers()]
        if settings.optimiser not in names:
            hint = did_you_mean(settings.optimiser, names) or "timm.optim.list_optimizers() lists them"
            raise InvalidValue(f"--optimiser {settings.optimiser}: not one of timm's; {hint}")
        self.rank, self.world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        if settings.rows % self.world:
            raise InvalidValue(f"--rows {settings.rows}: {self.world} processes need a multiple of {self.world}")
        self.trainable, self.settings, self.workers = trainable, settings, workers
        self.device = torch.device(device)
        self.draws = Draws(
            corpus,
            settings.rows // self.world,
            settings.patch,
            settings.sigma_min,
            settings.sigma_max,
            seed=settings.seed * self.world + self.rank,
            steps=settings.steps,
        )
        self.network = trainable.network.to(self.device).to(memory_format=torch.channels_last).train()
        several = len(trainable.channels) > 1
        self.model: nn.Module = (
            DistributedDataParallel(self.network, find_unused_parameters=several) if self.world > 1 else self.network
        )
        self.optimiser = create_optimizer_v2(
            self.network, opt=settings.optimiser, lr=settings.rate, weight_decay=0.0, filter_bias_and_bn=False
        )
        self.scales = [group.get("lr_scale", 1.0) for group in self.optimiser.param_groups]
        self.ema = ModelEmaV3(self.network, settings.decay, use_warmup=True)
        self.forward = devices.compiled(self.model, dynamic=False) if compiled else self.model
        self.step = 0

    def steps(self) -> Iterator[tuple[int, float]]:
        """Raises Diverged when the loss is no number; the last state saved is a good one."""
        for draw in self.draws.ahead(self.step, self.workers, self.device):
            loss = self._step(draw)
            self.step += 1
            yield self.step, loss

    def _step(self, draw: Draw) -> float:
        trainable, settings = self.trainable, self.settings
        pictures, σ = draw
        x0 = to_clean(pictures, self.channels_at(self.step))
        n = self.draws.noise(x0, self.step)
        x = x0 + σ[:, None, None, None] * n
        low = torch.autocast(self.device.type, torch.bfloat16) if settings.dtype == "bfloat16" else nullcontext()
        with low:
            output = self.forward(x, σ)
        error = error_of_clean(trainable.answer, output.float(), x, σ, x0)
        loss = (weight(σ, trainable.score_matching) * error.square().mean((1, 2, 3))).mean()
        self.optimiser.zero_grad()
        loss.backward()
        value = loss.item()
        if not math.isfinite(value):
            raise Diverged(
                f"the loss at step {self.step + 1} is {value}; the state of the last good step is kept: "
                "resume with a lower --rate"
            )
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        for group, scale in zip(self.optimiser.param_groups, self.scales, strict=True):
            group["lr"] = settings.rate * settings.rate_at(self.step) * scale
        self.optimiser.step()
        self.ema.update(self.network, step=self.step)
        return value

    def channels_at(self, step: int) -> int:
        """Of the pictures of a step: of a network for both, gray every fourth time."""
        channels = self.trainable.channels
        return min(channels) if len(channels) > 1 and step % GRAY_EVERY == GRAY_EVERY - 1 else max(channels)

    def save(self, path: Path, run: dict[str, Any]) -> None:
        """Everything needed to go on, whole or not at all. Raises OutputError."""
        state = {
            "format": FORMAT,
            "run": run,
            "step": self.step,
            "network": self.network.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        packed = io.BytesIO()  # torch does not say what went wrong when it writes to a full disk
        torch.save(state, packed)
        with new_file(path) as hidden:
            hidden.write_bytes(packed.getbuffer())

    def resume(self, path: Path, run: dict[str, Any]) -> None:
        """Go on from a saved state. Raises CheckpointError if it is none, or of a run with other settings."""
        try:
            saved = torch.load(path, map_location=self.device, weights_only=True)
            kind = saved["format"]
        except Exception as error:  # what reading a damaged file raises is anybody's guess
            raise CheckpointError(f"{path} is no state of a training; choose another --out") from error
        if kind != FORMAT:
            raise CheckpointError(f"{path} is no state of this version's trainings; choose another --out")
        changed = [key for key in run if key != "steps" and run[key] != saved["run"].get(key)]
        if changed:
            key = changed[0]
            raise CheckpointError(
                f"{path} is of a run with {key} {saved['run'].get(key)}, not {run[key]}; "
                "say the same, or choose another --out"
            )
        if run["steps"] != saved["run"]["steps"]:
            free = min(s * (1 - self.settings.cooldown) for s in (run["steps"], saved["run"]["steps"]))
            if saved["step"] > free:
                raise CheckpointError(
                    f"{path} is at step {saved['step']}, where its rate already falls towards step "
                    f"{saved['run']['steps']}; keep --steps {saved['run']['steps']}, or choose another --out"
                )
        self.network.load_state_dict(saved["network"])
        self.ema.module.load_state_dict(saved["ema"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.step = saved["step"]

    @torch.no_grad()
    def validate(self, clean: dict[int, Tensor], levels: tuple[float, ...]) -> dict[str, float]:
        """PSNR in dB of the moving average at a few σ, on pictures by number of channels, with fixed noise.

        The keys are as in "25" (of 255), with "gray " before them for gray pictures of a network for both.
        """
        figures = {}
        self.ema.module.eval()
        for channels, x0 in clean.items():
            n = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0)).to(x0)
            for level in levels:
                σ = torch.full((len(x0),), level, device=x0.device)
                x = x0 + level * n
                error = error_of_clean(self.trainable.answer, self.ema.module(x, σ), x, σ, x0)
                name = f"{'gray ' if channels == 1 and len(clean) > 1 else ''}{255 * level:.3g}"
                figures[name] = round(-10 * math.log10(error.square().mean().item()), 2)
        return figures
