"""snips plugins: who brings what, and what went wrong."""

from __future__ import annotations

import click

from snips_cli.messages import say
from snips_cli.options import verbose
from snips_cli.parts import echo_table


@click.command()
@click.option("--problems", is_flag=True, help="Only what went wrong, and what to type; exit code 1 if anything did.")
@click.pass_context
@verbose
def plugins(ctx: click.Context, problems: bool) -> None:
    """List the plugins and what each brings. SNIPS_PLUGINS=a,b selects some, SNIPS_DEBUG=1 raises their errors."""
    from snips.plugins import registry

    ctx.find_root().command.list_commands(ctx)  # type: ignore[attr-defined]  # asks every plugin for its commands too
    found = registry()
    if problems:
        for problem in found.problems:
            click.echo(str(problem))
        ctx.exit(1 if found.problems else 0)
    rows = []
    for plugin, _ in found.plugins:
        brings = [f"{r.card.kind} {r.card.name}" for r in found.registrations if r.plugin == plugin]
        rows.append((plugin.name, f"{plugin.distribution} {plugin.version}", ", ".join(brings)))
    echo_table(rows)
    if found.problems:
        say(f"{len(found.problems)} went wrong: `snips plugins --problems`")
