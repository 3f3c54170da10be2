"""What `snips bench truth` found: tables, JSON, and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snips_cli.jsons import dumps

if TYPE_CHECKING:
    from snips.truth import Calibrated, CalibrationProblem, KnownProblem, Result

    Found = Sequence[Result | Calibrated]
    Problems = Sequence[KnownProblem | CalibrationProblem]

HEADINGS = {
    "w2": (
        "relative W2 of Gaussian fields; ≈ from samples",
        ["relW2", "std observed", "std missing"],
    ),
    "weights": (
        "mixtures: total variation of the weights, sliced W2, each with that of exact draws",
        ["TV", "exact", "sliced W2", "exact", "std observed", "std missing"],
    ),
    "sliced": (
        "sliced W1 ± 1.96 standard errors over the seeds, with that of exact draws",
        ["sliced W1", "±", "exact"],
    ),
    "gates": ("calibration: ✓ passed", ["50% coverage", "90% coverage", "TARP", "MSE ratio", "residual std/σ0"]),
}


def print_tables(results: Found, problems: Problems) -> None:
    """A table for each kind of figure."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from snips_cli.table import WIDE

    what = {problem.name: problem.what for problem in problems}
    console = Console(width=max(Console().width, WIDE))
    for kind, (title, headings) in HEADINGS.items():
        rows = [result for result in results if kind_of(result) == kind]
        if not rows:
            continue
        table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
        for place, heading in enumerate(["problem", "sampler", "NFE", *headings, "s per 1000"]):
            table.add_column(heading, justify="right" if place > 1 else "left")
        for k, result in enumerate(rows):
            last = k + 1 == len(rows) or rows[k + 1].problem != result.problem
            first = k == 0 or rows[k - 1].problem != result.problem
            cells = (what[result.problem] if first else "", name(result), str(result.nfe), *figures(result))
            table.add_row(*cells, f"{seconds_per_1000(result):.3g}", end_section=last)
        console.print(table)


def kind_of(result: Result | Calibrated) -> str:
    from snips.truth import Result

    if not isinstance(result, Result):
        return "gates"
    return {"w2": "w2", "tv": "weights", "sw1": "sliced"}[next(iter(result.figures))]


def name(result: Result | Calibrated) -> str:
    return f"deepinv {result.sampler}" if result.library == "deepinv" else result.sampler


def figures(result: Result | Calibrated) -> list[str]:
    from snips.truth import Result

    if not isinstance(result, Result):
        return [f"{gate.value:.3f} {'✓' if gate.passed else '✗'}" for gate in result.card.gates]

    def cell(figure: str, digits: int = 3) -> str:
        value = result.mean(figure)
        return "" if value is None else f"{value:.{digits}f}"

    kind = kind_of(result)
    if kind == "w2":
        return [("" if result.exact else "≈ ") + cell("w2"), cell("std_observed"), cell("std_missing")]
    if kind == "weights":
        return [cell(f) for f in ("tv", "tv_floor", "sw2", "sw2_floor", "std_observed", "std_missing")]
    margin = result.margin("sw1")
    return [cell("sw1", 2), "" if margin is None else f"{margin:.2f}", cell("sw1_floor", 2)]


def seconds_per_1000(result: Result | Calibrated) -> float:
    """Of drawing 1000 samples."""
    from snips.truth import Result

    if isinstance(result, Result):
        cases = len(next(iter(result.figures.values())))
        return 1000 * result.seconds / (cases * result.samples)
    return 1000 * result.seconds / (result.card.pictures * result.card.samples)


def results_as_json(results: Found, problems: Problems) -> str:
    import snips.truth.measuring as measuring

    entries: list[dict[str, Any]] = [
        {**asdict(result), "kind": kind_of(result), "seconds_per_1000": seconds_per_1000(result)} for result in results
    ]
    return dumps(
        {
            "figures": measuring.FIGURES,
            "problems": {problem.name: problem.what for problem in problems},
            "results": entries,
        }
    )


def require_plots(out: Path) -> None:
    """Before anything is run: raises MissingExtra without matplotlib, OutputError for a folder that is there."""
    import importlib.util

    from snips.errors import MissingExtra, OutputError

    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtra("--out draws with matplotlib: pip install 'snips-toolkit[study]'")
    if out.exists():
        raise OutputError(f"{out} exists; choose another folder")


def write(out: Path, results: Found, problems: Problems) -> None:
    """truth.json, and truth.png if there is anything to draw. Raises OutputError."""
    from snips.files import new_folder
    from snips_cli.bench_truth_plot import draw

    with new_folder(out) as folder:
        (folder / "truth.json").write_text(results_as_json(results, problems) + "\n", encoding="utf-8")
        draw(folder / "truth.png", results, problems)
