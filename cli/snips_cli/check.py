"""snips check: the conformance kit on one part."""

from __future__ import annotations

from collections import Counter

import click

from snips_cli.options import part_options, verbose
from snips_cli.parts import echo_table


@click.command()
@click.argument("name")
@part_options("-d", help="Option of the denoiser, as in -d weights=FILE.")
@part_options("-s", help="Option of the sampler.")
@click.option("--device", default="cpu", show_default=True, help="Where to check.")
@click.pass_context
@verbose
def check(ctx: click.Context, name: str, d: dict[str, str], s: dict[str, str], device: str) -> None:
    """Check a denoiser or sampler for conformance; exit code 1 if a check fails."""
    from snips.cards import DenoiserCard
    from snips.errors import InvalidValue
    from snips.plugins import load_denoiser, load_sampler
    from snips.testing import check_denoiser, check_sampler
    from snips_cli.describe import find_any

    results = []
    for registration in find_any(name):
        card = registration.card
        expected = card.expected_failed_checks
        if isinstance(card, DenoiserCard):
            denoiser = load_denoiser(registration.full_name, device=device, **d)
            channels = getattr(denoiser, "channels", None) or card.channels or None
            results += check_denoiser(
                denoiser, channels=channels, device=device, expected_failed_checks=expected, collect=True
            )
        elif card.kind == "sampler":
            sampler = load_sampler(registration.full_name, **s)
            results += check_sampler(sampler, expected_failed_checks=expected, collect=True)
    if not results:
        raise InvalidValue(f"{name} is a task, and there is nothing to check on one")
    echo_table([(result.outcome, result.name, result.reason) for result in results])
    counts = Counter(result.outcome for result in results)
    click.echo(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    ctx.exit(1 if counts["failed"] else 0)
