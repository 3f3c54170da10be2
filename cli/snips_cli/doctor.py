"""snips doctor: what is installed here, what is missing, and whether it works."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata

import click

from snips_cli.options import verbose
from snips_cli.parts import echo_table

OURS = "snips-toolkit"
NAMED = ("torch", "numpy", "scipy", "scikit-image", "safetensors", "pluggy", "click")


@click.command()
@click.pass_context
@verbose
def doctor(ctx: click.Context) -> None:
    """Say what is installed, what is missing and what to type; exit code 1 if something is broken."""
    from snips.plugins import registry

    click.echo("versions")
    ours = [("  snips", version(OURS)), ("  python", platform.python_version()), ("  system", platform.platform())]
    echo_table(ours + [(f"  {name}", version(name)) for name in NAMED])
    click.echo("devices")
    echo_table([(f"  {name}", text) for name, text in devices()])
    click.echo("extras")
    echo_table([(f"  {name}", text) for name, text in extras()])
    click.echo("denoisers")
    loaded = list(load_all())
    echo_table([(f"  {name}", text) for name, text, _ in loaded])
    ctx.find_root().command.list_commands(ctx)  # type: ignore[attr-defined]  # asks every plugin for its commands too
    click.echo("problems" if registry().problems else "no problems with plugins")
    for problem in registry().problems:
        click.echo(f"  {problem}")
    ctx.exit(1 if registry().problems or any(broken for *_, broken in loaded) else 0)


def version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return f"missing: pip install {distribution}"


def devices() -> Iterator[tuple[str, str]]:
    """Every device torch can compute on."""
    import torch

    yield "cpu", f"{platform.machine()}, {torch.get_num_threads()} threads"
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        yield f"cuda:{index}", f"{about.name}, {about.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        yield "mps", "Apple GPU"


def extras() -> Iterator[tuple[str, str]]:
    """Every extra of ours, and what to type for it if it is not there."""
    for extra in sorted(metadata.metadata(OURS).get_all("Provides-Extra") or ()):
        missing = sorted(name for name in needs(extra) if version(name).startswith("missing"))
        yield extra, f"missing {', '.join(missing)}: pip install '{OURS}[{extra}]'" if missing else "installed"


def needs(extra: str) -> Iterator[str]:
    """The distributions of an extra, those of extras that it names included."""
    from packaging.requirements import Requirement

    for requirement in map(Requirement, metadata.requires(OURS) or ()):
        if requirement.marker and requirement.marker.evaluate({"extra": extra}):
            yield requirement.name
            if requirement.name == OURS:
                for other in requirement.extras:
                    yield from needs(other)


def load_all() -> Iterator[tuple[str, str, bool]]:
    """Every denoiser, how loading it went, and whether it is broken; missing extras and weights break nothing."""
    from snips.errors import MissingExtra, MissingWeights, SnipsError
    from snips.plugins import load_denoiser, registry

    for registration in registry().of_kind("denoiser"):
        name = registration.card.name
        try:
            load_denoiser(name)
        except SnipsError as error:
            yield name, str(error), not isinstance(error, (MissingExtra, MissingWeights))
        else:
            yield name, "loads", False
