"""snips study report: what a study found, as one page."""

from __future__ import annotations

from pathlib import Path

import click

from snips_cli.options import verbose


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The page; default: DIR/report.html.")
@click.option("--pictures", type=click.IntRange(min=1), default=2, show_default=True, help="Shown in each setting.")
@verbose
def report(folder: Path, out: Path | None, pictures: int) -> None:
    """Write the tables and figures of a study as one page of HTML.

    DIR is what `snips study run` wrote, finished or not. The page needs nothing else and can be sent to anyone; its
    figures are also written as PNG and SVG, into a folder beside it.
    """
    from snips_cli.study.folder import StudyFolder
    from snips_cli.study.report import write_report

    click.echo(write_report(StudyFolder.open(folder), out, pictures).page)
