"""A training from beginning to end: its folder, its log, what stops it, and the weights with their card."""

from __future__ import annotations

import atexit
import gc
import json
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file
from torch import Tensor

from snips.devices import resolve_device, usable_cpus
from snips.errors import MissingExtra, OutputError
from snips.files import cannot_write, new_file
from snips.plugins import load_trainable, registry
from snips.runs import held_back
from snips.training.corpora import Corpus, photographs
from snips.training.draws import to_clean
from snips.training.loop import Settings, Training
from snips_cli.messages import say

LEVELS = (5 / 255, 15 / 255, 25 / 255, 50 / 255, 100 / 255, 1.0)
"""σ at which the validation is done, as far as they are trained for."""

ENOUGH = 16
"""Processes that cut crops for one GPU."""

SAVE_EVERY = 60.0
"""Seconds between two saved states."""


def execute(
    name: str,
    network_options: Mapping[str, str],
    images: Sequence[str],
    scales: Sequence[float],
    leaves: float,
    out: Path,
    device: str,
    origin: str,
    licence: str,
    every: int,
    resume: bool,
    compiled: bool,
    workers: int | None,
    typed: Sequence[str],
    **asked: Any,
) -> Path | None:
    """Train, and return the path of the weights, in the process that writes them.

    Raises SnipsError of many kinds, each of one line.
    """
    registry().find("trainable", name)
    require_extra()
    with processes(resolve_device(device)) as where:
        torch.manual_seed(asked["seed"])
        trainable = load_trainable(name, **network_options)
        limits = {"sigma_min": trainable.noise_levels.low, "sigma_max": trainable.noise_levels.high}
        given = {key: value for key, value in asked.items() if value is not None}
        settings = Settings(**{**limits, **given})
        state = out / "state.pt"
        if state.exists() and not resume:
            raise OutputError(f"{out} holds a training; add --resume to go on with it, or choose another folder")
        corpus = Corpus(photographs(images, settings.patch, scales), leaves)
        training = Training(trainable, corpus, settings, where, crop_workers(workers, where), compiled)
        run = {"name": name, "network": dict(network_options), "images": list(images), "leaves": leaves}
        run |= {"scales": list(scales), "pictures": len(corpus.photographs)} | asdict(settings)
        make_folder(out)
        if state.exists():
            training.resume(state, run)
        card = {
            "title": f"{name} trained by snips {version('snips-toolkit')}",
            "licence": licence,
            "data": origin,
            "made": shlex.join([*launcher(training.world), *portable(typed)]),
            "seed": str(settings.seed),
            "sigma": f"{settings.sigma_min:g} {settings.sigma_max:g}",
            **trainable.metadata,
        }
        return carry_out(training, run, card, out, every)


def carry_out(training: Training, run: dict[str, Any], card: dict[str, str], out: Path, every: int) -> Path | None:
    """All steps that are left, with a line of the log every so many; the state is saved now and then, and at a stop."""
    settings, state, weights = training.settings, out / "state.pt", out / "weights.safetensors"
    levels = tuple(σ for σ in LEVELS if settings.sigma_min <= σ <= settings.sigma_max)
    clean = {c: validation(c).to(training.device) for c in sorted(training.trainable.channels, reverse=True)}
    first, losses, begun, saved = training.rank == 0, [], time.monotonic(), time.monotonic()
    log = Log(out, training.step) if first else None
    with held_back() as stop, progress(settings.steps, training.step, first) as tell:
        for step, loss in training.steps():
            losses.append(loss)
            tell(step, loss)
            due = step % every == 0 or step == settings.steps
            if log is not None and due:
                figures = training.validate(clean, levels)
                log.write(step, sum(losses) / len(losses), settings.rate_at(step), time.monotonic() - begun, figures)
                losses.clear()
                write_weights(training, weights, card | {"step": str(step), "psnr": json.dumps(figures)})
            if log is not None and (due or stop.signal is not None or time.monotonic() - saved > SAVE_EVERY):
                training.save(state, run)
                saved = time.monotonic()
            if stop.signal is not None:
                stop.obey()
    return weights if first else None


def crop_workers(asked: int | None, device: torch.device) -> int:
    """Of each process: what was asked for, or enough to feed a GPU."""
    if asked is not None or device.type != "cuda":
        return asked or 0
    world = dist.get_world_size() if dist.is_initialized() else 1
    return min(max(usable_cpus() // world - 1, 0), ENOUGH)


def require_extra() -> None:
    """Raises MissingExtra.

    Before `processes`: parts of torch that timm imports keep the group that there is when they are imported, for good.
    """
    try:
        import timm.optim
        import timm.utils  # noqa: F401
    except ImportError as error:
        raise MissingExtra(f"training needs {error.name}: pip install 'snips-toolkit[train]'") from error


def launcher(processes: int) -> list[str]:
    """How the command line begins."""
    return ["snips"] if processes == 1 else ["torchrun", "--nproc-per-node", str(processes), "-m", "snips_cli"]


def portable(typed: Sequence[str]) -> list[str]:
    """The command without the path to this machine's folders: of those that are absolute, the last part remains."""
    return [Path(word).name if os.path.isabs(word) else word for word in typed]


def make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error


def write_weights(training: Training, path: Path, card: dict[str, str]) -> None:
    """The moving average of the weights, in half precision, with their card."""
    half = {k: v.half() if v.is_floating_point() else v for k, v in training.ema.module.state_dict().items()}
    with new_file(path) as hidden:
        save_file({k: v.cpu().contiguous() for k, v in half.items()}, hidden, card)


def validation(channels: int) -> Tensor:
    """Crops of two pictures that are never learned from, (2, C, 192, 192)."""
    from skimage import data

    pictures = [data.astronaut()[::2, ::2][32:224, 32:224], data.chelsea()[60:252, 130:322]]
    return to_clean(torch.from_numpy(np.stack(pictures)), channels)


class Log:
    """Lines of JSON, and TensorBoard's events where it is installed."""

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / "log.jsonl"
        self.board: Any = None
        with suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, loss: float, rate: float, seconds: float, psnr: dict[str, float]) -> None:
        line = {"step": step, "loss": round(loss, 4), "rate": round(rate, 4), "seconds": round(seconds), "psnr": psnr}
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise cannot_write(self.path, error) from error
        if self.board is not None:
            self.board.add_scalar("loss", loss, step)
            for level, figure in psnr.items():
                self.board.add_scalar(f"PSNR/{level}", figure, step)
            self.board.flush()
        say(f"step {step}: loss {loss:.4f}, PSNR " + ", ".join(f"{k}: {v:.2f}" for k, v in psnr.items()))


@contextmanager
def progress(total: int, done: int, shown: bool) -> Iterator[Any]:
    """A bar on stderr; a function to call with each step and its loss."""
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        TextColumn("training"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}  loss {task.fields[loss]:.3f}"),
    )
    with Progress(
        *columns,
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not (shown and console.is_terminal),
    ) as bar:
        task = bar.add_task("training", total=total, completed=done, loss=float("nan"))
        yield lambda step, loss: bar.update(task, completed=step, loss=loss)


@contextmanager
def processes(device: torch.device) -> Iterator[torch.device]:
    """Join the other processes of `torchrun`, each on a GPU of its own or on the CPU; yields this one's device."""
    if "RANK" not in os.environ:
        yield device
        return
    cuda = device.type == "cuda"
    atexit.register(gc.collect)  # frees the model, whose threads, were they still to run, would abort as Python ends
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else device
    finally:
        dist.destroy_process_group()
