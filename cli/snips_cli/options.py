"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def key_values(ctx: click.Context, option: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    """`-x key=value -x key=value` as a dict."""
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"{pair!r} is not of the form key=value", ctx, option)
        values[key] = value
    return values


def part_options(*names: str, help: str) -> Callable[[Any], Any]:
    """An option that may be given many times, as key=value."""
    return click.option(*names, multiple=True, metavar="KEY=VALUE", callback=key_values, help=help)


def _remember(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    ctx.meta["snips.verbose"] = value


verbose = click.option(
    "-v", "--verbose", is_flag=True, expose_value=False, callback=_remember, help="Show the trace of an error."
)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
