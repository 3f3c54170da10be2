"""snips describe: everything a card says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snips_cli.jsons import dumps
from snips_cli.options import as_json, verbose
from snips_cli.parts import as_dict, channels_in_words, echo_table

if TYPE_CHECKING:
    from snips.cards import Card, Option
    from snips.plugins import Registration

LETTERS = {"denoiser": "-d", "sampler": "-s", "task": "-t", "trainable": "-n"}


@click.command()
@click.argument("name")
@as_json
@verbose
def describe(name: str, as_json: bool) -> None:
    """Show what a denoiser, sampler or task says of itself, and its options."""
    found = find_any(name)
    if as_json:
        click.echo(dumps([as_dict(registration) for registration in found]))
        return
    for place, registration in enumerate(found):
        if place:
            click.echo()
        _show(registration)


def find_any(name: str) -> list[Registration]:
    """The denoiser, sampler and task of this name, as many as there are. Raises as Registry.find if none is."""
    from snips.errors import UnknownName
    from snips.plugins import KINDS, registry

    known = [r for r in registry().registrations if name in (r.card.name, r.full_name)]
    kinds = [kind for kind in KINDS if any(r.card.kind == kind for r in known)]
    if kinds:
        return [registry().find(kind, name) for kind in kinds]
    hints = []
    for kind in KINDS:
        try:
            registry().find(kind, name)
        except UnknownName as error:
            if "did you mean" in str(error):
                hints.append(str(error))
    raise UnknownName("; ".join(hints) or f"nothing is called {name}; see `snips denoisers`, `samplers` and `tasks`")


def _show(registration: Registration) -> None:
    card = registration.card
    click.echo(f"{card.name}: {card.kind} of {registration.plugin}")
    click.echo(f"  {card.summary}")
    facts = [(f"  {name}", text) for name, text in _facts(card) if text]
    if facts:
        echo_table(facts)
    if card.options:
        click.echo(f"  options, as in {LETTERS[card.kind]} {card.options[0].name}=…")
        echo_table([(f"    {option.name}", _type(option), _default(option), option.help) for option in card.options])


def _facts(card: Card) -> list[tuple[str, str]]:
    from snips.cards import DenoiserCard, SamplerCard, TaskCard

    weights = ", ".join(file.name for file in card.weights) if isinstance(card, DenoiserCard) else ""
    facts = [("licence", card.licence), ("weights", weights), ("citation", card.citation), ("url", card.url)]
    if isinstance(card, DenoiserCard):
        facts.append(("noise levels", f"σ in {card.noise_levels}" if card.noise_levels else ""))
        facts.append(("pictures", channels_in_words(card.channels)))
        facts.append(("needs", f"pip install 'snips-toolkit[{card.extra}]'" if card.extra else ""))
    if isinstance(card, SamplerCard):
        facts.append(("tasks", ", ".join(card.tasks) or "any"))
        facts.append(("samples", "depend on each other, and on their number" if card.couples_rows else ""))
    if isinstance(card, TaskCard):
        facts.append(("must be given", ", ".join(card.required)))
    for check, reason in (card.expected_failed_checks or {}).items():
        facts.append(("fails", f"{check}: {reason}"))
    return facts


def _type(option: Option) -> str:
    return "|".join(option.choices) or {str: "text", int: "whole number", float: "number", bool: "yes|no"}[option.type]


def _default(option: Option) -> str:
    if option.default is None:
        return ""
    return f"[{option.default if option.type is not bool else 'yes' if option.default else 'no'}]"
