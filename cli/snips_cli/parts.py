"""snips denoisers, samplers, tasks, trainables: what there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from snips_cli.jsons import dumps
from snips_cli.messages import say
from snips_cli.options import as_json

if TYPE_CHECKING:
    from snips.plugins import Registration


def _command(kind: str, help: str) -> click.Command:
    @click.command(f"{kind}s", help=help, short_help=help.splitlines()[0])
    @click.argument("pattern", default="*", metavar="[GLOB]")
    @as_json
    def listing(pattern: str, as_json: bool) -> None:
        from snips.plugins import registry

        found = registry().of_kind(kind, pattern)
        if as_json:
            click.echo(dumps([as_dict(registration) for registration in found]))
        else:
            echo_table([row(registration) for registration in found])
        for problem in registry().problems:
            say(f"warning: {problem}")
        if not found:
            say(f"no {kind} is called {pattern}")

    return listing


def as_dict(registration: Registration) -> dict[str, Any]:
    """A card, and which plugin brings it, as plain data."""
    plugin = registration.plugin
    where = {"plugin": plugin.name, "distribution": plugin.distribution, "version": plugin.version}
    return {"kind": registration.card.kind, **registration.card.as_dict(), **where}


def row(registration: Registration) -> tuple[str, ...]:
    """What one line of the list says."""
    from snips.cards import DenoiserCard
    from snips.plugins import OURS

    card, distribution = registration.card, registration.plugin.distribution
    summary = card.summary if distribution == OURS else f"{card.summary} ({distribution})"
    if not isinstance(card, DenoiserCard):
        return card.name, summary
    levels = f"σ {card.noise_levels}" if card.noise_levels else ""
    return card.name, levels, channels_in_words(card.channels), summary


def channels_in_words(channels: tuple[int, ...]) -> str:
    """Gray, colour, or both."""
    words = {1: "gray", 3: "colour"}
    return ", ".join(words.get(count, f"{count} channels") for count in channels) or "any channels"


def echo_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Aligned columns on stdout."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


denoisers = _command("denoiser", "List the denoisers whose name matches GLOB.")
samplers = _command("sampler", "List the samplers whose name matches GLOB.")
tasks = _command("task", "List the tasks whose name matches GLOB.")
trainables = _command("trainable", "List the networks to train whose name matches GLOB.")
