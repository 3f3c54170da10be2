"""The denoiser, sampler and task of a request: found, checked against each other, and loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from snips.cards import SamplerCard, TaskCard
from snips.devices import resolve_device
from snips.errors import OptionError, UnsupportedOperator
from snips.interfaces import MMSEDenoiser, PosteriorSampler
from snips.plugins import Registration, load_denoiser, load_sampler, load_task, registry, samplers
from snips.tasks import Task
from snips_cli.request import Request


@dataclass(frozen=True)
class Parts:
    """What a run is made of."""

    registrations: tuple[Registration, Registration, Registration]
    """Of the denoiser, the sampler and the task."""
    denoiser: MMSEDenoiser
    sampler: PosteriorSampler
    task: Task
    device: torch.device


def load_parts(request: Request, load: Callable[..., MMSEDenoiser] | None = None) -> Parts:
    """All three, every name and option checked before anything is loaded. Raises as `snips.load_denoiser`.

    load: what loads the denoiser in its place.
    """
    denoiser = registry().find("denoiser", request.denoiser)
    sampler = registry().find("sampler", request.sampler)
    task = registry().find("task", request.task)
    options = (request.denoiser_options, request.sampler_options, request.task_options)
    for registration, given in zip((denoiser, sampler, task), options, strict=True):
        registration.card.parse(given)
    check_task(request, sampler.card, task.card)
    loaded_task = load_task(task.full_name, **request.task_options)
    loaded_sampler = load_sampler(sampler.full_name, **request.sampler_options)
    device = resolve_device(request.device)
    loaded_denoiser = (load or load_denoiser)(denoiser.full_name, device=device, **request.denoiser_options)
    return Parts((denoiser, sampler, task), loaded_denoiser, loaded_sampler, loaded_task, device)


def check_task(request: Request, sampler: object, task: object) -> None:
    """Raises UnsupportedOperator if the sampler does not do the task, OptionError if the task needs to know more."""
    assert isinstance(sampler, SamplerCard)
    assert isinstance(task, TaskCard)
    known = [card for card in samplers() if task.name in card.tasks]
    if sampler.tasks and task.name not in sampler.tasks and known:  # a task that no card names: the plan will tell
        others = f"; for {task.name} there is {', '.join(card.name for card in known)}"
        raise UnsupportedOperator(f"sampler {sampler.name} does {', '.join(sampler.tasks)}, not {task.name}{others}")
    missing = [name for name in task.required if name not in request.task_options]
    if missing and not request.simulated:
        raise OptionError(
            f"task {task.name} of an observed picture needs its {missing[0]}: -t {missing[0]}=… "
            f"(`snips describe {task.name}`)"
        )
