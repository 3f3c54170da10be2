"""snips weights: the files that denoisers can use, fetched, checked and converted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snips_cli.jsons import dumps
from snips_cli.messages import say
from snips_cli.options import as_json, verbose
from snips_cli.parts import echo_table

if TYPE_CHECKING:
    from snips.cards import WeightsFile


@click.group()
def weights() -> None:
    """Fetch, check and convert files of weights.

    They are kept in the user's cache folder, or in SNIPS_WEIGHTS_DIR. SNIPS_WEIGHTS_MIRROR, a URL or a folder, is
    asked before the official place.
    """


@weights.command("list")
@click.argument("pattern", default="*", metavar="[GLOB]")
@as_json
@verbose
def list_files(pattern: str, as_json: bool) -> None:
    """List the files whose name matches GLOB."""
    from fnmatch import fnmatch

    from snips.store import known

    found = [file for name, file in known().items() if fnmatch(name, pattern)]
    if as_json:
        click.echo(dumps([as_dict(file) for file in found]))
    elif found:
        echo_table([row(file) for file in found])
    if not found:
        say(f"no weights are called {pattern}")


@weights.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@verbose
def get(names: tuple[str, ...]) -> None:
    """Fetch files, and print their paths.

    One that is stored and undamaged is not fetched again; a fetch that was cut goes on from there.
    """
    from snips.store import fetch, find

    for file in [find(name) for name in names]:
        click.echo(fetch(file, say))


@weights.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.pass_context
@verbose
def verify(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Compare stored files with their SHA-256.

    The exit code is 1 if one is damaged, or missing though named.
    """
    from snips.store import check, find, known

    files = [find(name) for name in names] or list(known().values())
    states = [(file, check(file)) for file in files]
    shown = [(file.name, WORDS[state].format(name=file.name)) for file, state in states if names or state != "missing"]
    if shown:
        echo_table(shown)
    else:
        say("no weights are stored")
    ctx.exit(1 if any(state == "damaged" or (names and state == "missing") for _, state in states) else 0)


WORDS = {
    "ok": "ok",
    "unknown": "not compared: no SHA-256 is published, and none was recorded",
    "damaged": "damaged: `snips weights get {name}` fetches it again",
    "missing": "not stored: `snips weights get {name}` fetches it",
}


@weights.command()
@click.argument("name")
@verbose
def path(name: str) -> None:
    """Print the path of a stored file."""
    from snips.store import find, stored

    click.echo(stored(find(name)))


@weights.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.safetensors")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@verbose
def convert(file: Path, out: Path, overwrite: bool) -> None:
    """Write a checkpoint as safetensors.

    Only its tensors, by their names, and the SHA-256 of FILE; no code in FILE is run.
    """
    from snips.convert import convert

    count, left_out = convert(file, out, overwrite)
    if left_out:
        say(f"left out, as they are no tensors: {', '.join(left_out[:5])}{', …' if len(left_out) > 5 else ''}")
    click.echo(f"{out}: {count} tensors")


def as_dict(file: WeightsFile) -> dict[str, Any]:
    """What is known of a file, and where it is if it is stored, as plain data."""
    from dataclasses import asdict

    from snips.store import place

    where = place(file)
    return {**asdict(file), "path": where if where.is_file() else None}


def row(file: WeightsFile) -> tuple[str, ...]:
    """What one line of the list says."""
    from snips.store import place

    size = place(file).stat().st_size if place(file).is_file() else file.size
    return (
        file.name,
        "stored" if place(file).is_file() else "",
        f"{size / 1e6:.1f} MB" if size else "",
        file.licence,
        "sha256 published" if file.sha256 else "sha256 unknown",
        file.summary,
    )
