"""A denoiser and its options as one word of the command line: NAME, or NAME:KEY=VALUE,KEY=VALUE."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snips.errors import OptionError

if TYPE_CHECKING:
    import torch

    from snips.interfaces import MMSEDenoiser


@dataclass(frozen=True)
class Spec:
    """What was asked for."""

    text: str
    name: str
    """Also `distribution:name`."""
    options: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """For tables: the name, and what the options are, files without their folders."""
        words = (f"{key}={file_names(value)}" for key, value in self.options.items() if key != "weights")
        return " ".join([self.name, *[file_names(w) for w in [self.options.get("weights", "")] if w], *words])

    def load(self, device: str | torch.device) -> MMSEDenoiser:
        """Raises as `snips.load_denoiser`."""
        import snips

        return snips.load_denoiser(self.name, device=device, **self.options)


def file_names(value: str) -> str:
    """Paths (several as a,b,c) without their folders."""
    return ",".join(Path(part).name for part in value.split(","))


def parse(text: str) -> Spec:
    """NAME:KEY=VALUE,KEY=VALUE; a part without = belongs to the value before it. Raises OptionError."""
    found = re.fullmatch(r"(.+?)(?::(\w+=.*))?", text)
    if not found:
        raise OptionError("a denoiser is NAME or NAME:KEY=VALUE,KEY=VALUE, as in ffdnet:weights=ffdnet_gray.pth")
    name, rest = found.groups()
    options: dict[str, str] = {}
    key = ""
    for part in rest.split(",") if rest else ():
        option, equals, value = part.partition("=")
        if equals and option.isidentifier():
            key = option
            options[key] = value
        else:
            options[key] += f",{part}"
    return Spec(text, name, options)


def parse_all(ctx: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> tuple[Spec, ...]:
    return tuple(parse(text) for text in texts)


def denoiser_specs(**options: Any) -> Callable[[Any], Any]:
    """--denoiser, many times."""
    help = "NAME, or NAME:KEY=VALUE,KEY=VALUE with options; many times."
    return click.option("--denoiser", "specs", multiple=True, metavar="SPEC", callback=parse_all, help=help, **options)
