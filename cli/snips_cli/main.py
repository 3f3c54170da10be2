"""The command `snips`: a group whose commands are imported when they run, so that starting it costs little."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from snips.errors import SnipsError
from snips_cli.messages import one_line, say, warnings_as_lines

#: Where each command is, and its summary, so that `snips --help` need not import them all.
COMMANDS = {
    "run": ("snips_cli.run:run", "Sample what a picture may have been."),
    "study": ("snips_cli.study.command:study", "Compare priors, samplers and tasks over many pictures."),
    "compare": ("snips_cli.compare:compare", "Compare priors on the same pictures and the same noise."),
    "denoisers": ("snips_cli.parts:denoisers", "List the denoisers whose name matches GLOB."),
    "samplers": ("snips_cli.parts:samplers", "List the samplers whose name matches GLOB."),
    "tasks": ("snips_cli.parts:tasks", "List the tasks whose name matches GLOB."),
    "trainables": ("snips_cli.parts:trainables", "List the networks to train whose name matches GLOB."),
    "describe": ("snips_cli.describe:describe", "Show what a part says of itself, and its options."),
    "check": ("snips_cli.check:check", "Check a denoiser or sampler for conformance."),
    "plugins": ("snips_cli.plugins:plugins", "List the plugins and what each brings."),
    "weights": ("snips_cli.weights:weights", "Fetch, check and convert files of weights."),
    "doctor": ("snips_cli.doctor:doctor", "Say what is installed, what is missing and what to type."),
    "train": ("snips_cli.train:train", "Train a network as an MMSE denoiser."),
    "bench": ("snips_cli.bench:bench", "Measure samplers against known posteriors, and the engine."),
}


def terminal_width() -> int:
    """Columns for help: the terminal's, from 50 to 100. (click would import shutil to ask.)"""
    try:
        return min(max(os.get_terminal_size().columns - 2, 50), 100)
    except OSError:
        return 80


class Snips(click.Group):
    """Our own commands by name, and those of plugins once a name is none of ours."""

    asked_plugins = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._ask_plugins()
        return [*COMMANDS, *sorted(set(self.commands) - set(COMMANDS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name][0].partition(":")
            command: click.Command = getattr(import_module(module), name)
            return command
        self._ask_plugins()
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        others = {name: self.commands[name].get_short_help_str(80) for name in self.list_commands(ctx)[len(COMMANDS) :]}
        with formatter.section("Commands"):
            formatter.write_dl([*((name, summary) for name, (_, summary) in COMMANDS.items()), *others.items()])

    def _ask_plugins(self) -> None:
        if not self.asked_plugins:
            from snips.plugins import registry

            self.asked_plugins = True
            registry().add_commands(self)

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **extra: Any) -> click.Context:
        typed = list(args)
        ctx = super().make_context(info_name, args, *more, **{"terminal_width": terminal_width()} | extra)
        ctx.meta["snips.typed"] = typed
        return ctx

    def invoke(self, ctx: click.Context) -> Any:
        """Expected errors are one line; anything else is a bug and shows its trace."""
        with warnings_as_lines() as ctx.meta["snips.warnings"]:
            try:
                return super().invoke(ctx)
            except SnipsError as error:
                if ctx.meta.get("snips.verbose"):
                    import traceback

                    traceback.print_exc()
                say(one_line(error))
                ctx.exit(error.exit_code)

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """As click's own, but wrong usage is one line too."""
        try:
            code = super().main(args, prog_name or "snips", **(extra | {"standalone_mode": False}))
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "snips"
            say(f"{error.format_message().rstrip('.')} (`{command} --help`)")
            sys.exit(error.exit_code)
        except click.ClickException as error:
            say(error.format_message())
            sys.exit(error.exit_code)
        except click.Abort:
            say("stopped")
            sys.exit(130)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(cls=Snips, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="snips-toolkit")
def main() -> None:
    """Sample from the posterior: many sharp, plausible restorations of one noisy picture, with any denoiser."""
