"""snips bench truth: how far every sampler is from posteriors that are known exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snips_cli.messages import say
from snips_cli.options import as_json, part_options

if TYPE_CHECKING:
    from snips.cards import SamplerCard
    from snips.interfaces import PosteriorSampler
    from snips.truth import Calibrated, CalibrationProblem, KnownProblem, Result
    from snips_cli.peers import Peer

QUICK, FULL = (1000, 2, 200), (2000, 20, 1000)
"""Samples, cases of a problem at most, and pictures of a calibration."""

PAPER = ("quick", "celeba")
"""Presets of langevin: both with --full, the first alone without."""


@click.command("truth")
@click.option(
    "--problem", "problems", multiple=True, metavar="NAME", help="A name, its beginning, or a glob; many times."
)
@click.option("--sampler", "samplers", multiple=True, metavar="NAME", help="Many times; default: all, and deepinv's.")
@part_options("-s", "sampler_options", help="For the sampler.")
@click.option("--nfe", "calls", multiple=True, type=click.IntRange(min=1), help="Denoiser calls; default: by problem.")
@click.option("--samples", type=click.IntRange(min=20), help="Of each case; default: 1000, or 2000 with --full.")
@click.option("--full", is_flag=True, help="All problems and cases, the paper's celeba preset, deepinv's long runs.")
@click.option("--peers/--no-peers", default=None, help="deepinv's samplers too; default: if it is installed.")
@click.option("--seed", default=0, show_default=True, help="Of the samplers.")
@click.option("--out", type=click.Path(path_type=Path), help="A new folder for truth.json and truth.png.")
@as_json
def bench_truth(
    problems: tuple[str, ...],
    samplers: tuple[str, ...],
    sampler_options: dict[str, str],
    calls: tuple[int, ...],
    samples: int | None,
    full: bool,
    peers: bool | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Distance of the samplers from posteriors that are known in closed form.

    \b
    field        16×16 Gaussian field: relative W2, mean and covariance propagated exactly
    mixture-2d   five blobs, and six 8×8 pictures: total variation of the weights, sliced W2
    mixture-64d
    mcgdiff      the mixtures of MCGDiff's paper under random matrices: sliced W1 over 20 problems
    calibration  coverage, TARP, MSE ratio, residual: four gates that an exact sampler passes

    Without options a look of some minutes; --full is the whole of it.
    """
    from snips_cli.bench_truth_report import print_tables, results_as_json, write

    if out is not None:
        from snips_cli.bench_truth_report import require_plots

        require_plots(out)
    known, cards = chosen_problems(problems, full), chosen_samplers(samplers)
    for card in cards:
        card.parse(sampler_options)
    theirs = chosen_peers(peers, samplers, full)
    count, cases, pictures = FULL if full else QUICK
    job = Job(calls, seed, full, samples or count, cases, pictures)
    results = list(job.run(known, cards, sampler_options, theirs))
    if as_json:
        click.echo(results_as_json(results, known))
    else:
        print_tables(results, known)
    if out is not None:
        write(out, results, known)


def chosen_problems(names: Sequence[str], full: bool) -> list[KnownProblem | CalibrationProblem]:
    """By name, beginning or glob; else the quick ones, or all. Raises UnknownName."""
    from snips.errors import UnknownName, did_you_mean
    from snips.truth import KnownProblem, calibration_problems, known_problems

    every: list[KnownProblem | CalibrationProblem] = [*known_problems(), *calibration_problems()]
    if not names:
        return [p for p in every if full or not isinstance(p, KnownProblem) or p.quick]
    for name in names:
        if not any(asked_for(p.name, [name]) for p in every):
            known = [p.name for p in every]
            hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
            raise UnknownName(f"no problem of known posterior is called {name}; {hint}")
    return [p for p in every if asked_for(p.name, names)]


def asked_for(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) or name.startswith(f"{pattern}-") for pattern in patterns)


def chosen_samplers(names: Sequence[str]) -> list[SamplerCard]:
    """Their cards. Raises UnknownName; `deepinv` is no sampler of ours, and is passed over."""
    import snips
    from snips.plugins import registry

    ours = [name for name in names if name != "deepinv"]
    if not names:
        return snips.samplers()
    return [registry().find("sampler", name).card for name in ours]  # type: ignore[misc]


def chosen_peers(wanted: bool | None, names: Sequence[str], full: bool) -> list[Peer]:
    """deepinv's samplers, where wanted and installed. Raises MissingExtra."""
    from snips.errors import MissingExtra
    from snips_cli import peers

    asked = wanted or "deepinv" in names
    if asked and not peers.installed():
        raise MissingExtra("deepinv's samplers need deepinv: pip install deepinv")
    if not asked and (wanted is False or names or not peers.installed()):
        return []
    return [peer for peer in peers.peers() if full or not peer.slow]


@dataclass(frozen=True)
class Job:
    """How much of everything."""

    calls: tuple[int, ...]
    seed: int
    full: bool
    samples: int
    cases: int
    pictures: int

    def run(
        self,
        problems: Sequence[KnownProblem | CalibrationProblem],
        cards: Sequence[SamplerCard],
        options: dict[str, str],
        peers: Sequence[Peer],
    ) -> Iterator[Result | Calibrated]:
        """Every sampler on every problem that it has a step for; what else goes wrong is said, and left out."""
        from rich.console import Console

        from snips.errors import SnipsError, UnsupportedOperator

        with Console(stderr=True).status("") as status:
            for problem in problems:
                for card in cards:
                    for given in self.settings(card, options, problem.nfe):
                        label = " ".join([card.name, *(str(v) for k, v in given.items() if k == "preset")])
                        status.update(f"{problem.what}: {label}")
                        try:
                            yield self.ours(problem, card, given, label)
                        except UnsupportedOperator:
                            break
                        except SnipsError as error:
                            say(f"{problem.name}, {label}: {error}")
                for peer in peers:
                    status.update(f"{problem.what}: deepinv's {peer.name}")
                    if (result := self.theirs(problem, peer)) is not None:
                        yield result

    def settings(self, card: SamplerCard, options: dict[str, str], nfe: Sequence[int]) -> Iterator[dict[str, Any]]:
        """The options of each run: every NFE for samplers with `steps`, the paper's presets for langevin."""
        has = {option.name for option in card.options}
        if "steps" in has and "steps" not in options:
            yield from ({**options, "steps": n} for n in self.calls or nfe)
        elif card.name == "langevin" and "preset" not in options:
            yield from ({**options, "preset": preset} for preset in PAPER[: None if self.full else 1])
        else:
            yield dict(options)

    def ours(
        self, problem: KnownProblem | CalibrationProblem, card: SamplerCard, options: dict[str, Any], label: str
    ) -> Result | Calibrated:
        import snips
        from snips.truth import KnownProblem, calibrate, measure
        from snips.truth.measuring import drawn_by

        sampler: PosteriorSampler = snips.load_sampler(card.name, **options)
        if not isinstance(problem, KnownProblem):
            return calibrate(problem, drawn_by(sampler), label, pictures=self.pictures, seed=self.seed)
        count = self.count(problem)
        return measure(problem, sampler, label, samples=count, cases=self.cases, seed=self.seed)

    def theirs(self, problem: KnownProblem | CalibrationProblem, peer: Peer) -> Result | Calibrated | None:
        from snips.truth import KnownProblem, calibrate
        from snips.truth.measuring import measure_draws
        from snips_cli.peers import supports

        if not isinstance(problem, KnownProblem):
            return calibrate(problem, peer.draw, peer.name, library="deepinv", pictures=self.pictures, seed=self.seed)
        if not supports(problem.case(0).observation):
            return None
        count, draw = self.count(problem), peer.draw
        return measure_draws(
            problem, draw, peer.name, library="deepinv", samples=count, cases=self.cases, seed=self.seed
        )

    def count(self, problem: KnownProblem) -> int:
        """Fields need fewer samples, being propagated."""
        return self.samples // 2 if problem.figure == "w2" else self.samples
