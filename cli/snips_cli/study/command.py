"""snips study: the group, whose commands are imported when they run."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "run": "snips_cli.study.run_command:run",
    "table": "snips_cli.study.summary:table",
    "report": "snips_cli.study.report_command:report",
}
"""Where each command is."""


class Study(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=Study)
def study() -> None:
    """Compare priors, samplers and tasks over many pictures: resumable, in parallel, with a report."""
