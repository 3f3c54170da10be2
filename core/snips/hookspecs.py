"""The plugin contract: a hook is called when somebody first asks what there is, registers cards, and imports no torch.

A plugin is a module (or object) behind an entry point of the group `snips`, with any of these marked
`@snips.hookimpl`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pluggy

from snips.cards import DenoiserCard, SamplerCard, TaskCard, TrainableCard

if TYPE_CHECKING:
    import click

    from snips.interfaces import MMSEDenoiser, PosteriorSampler
    from snips.tasks import Task
    from snips.training.trainable import Trainable

hookspec = pluggy.HookspecMarker("snips")
hookimpl = pluggy.HookimplMarker("snips")


@hookspec
def register_denoisers(register: Callable[[DenoiserCard, Callable[..., MMSEDenoiser]], None]) -> None:
    """Call `register(card, load)` for each denoiser; `load(device=..., **options)` returns it."""


@hookspec
def register_samplers(register: Callable[[SamplerCard, Callable[..., PosteriorSampler]], None]) -> None:
    """Call `register(card, load)` for each sampler; `load(**options)` returns it."""


@hookspec
def register_tasks(register: Callable[[TaskCard, Callable[..., Task]], None]) -> None:
    """Call `register(card, load)` for each task; `load(**options)` returns it."""


@hookspec
def register_trainables(register: Callable[[TrainableCard, Callable[..., Trainable]], None]) -> None:
    """Call `register(card, load)` for each network to train; `load(**options)` returns a fresh one."""


@hookspec
def register_commands(group: click.Group) -> None:
    """Add commands to `snips`, as in `group.add_command(command)`."""


Register = Callable[[Any, Callable[..., Any]], None]
