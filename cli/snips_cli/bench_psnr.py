"""snips bench psnr: how well denoisers denoise, a table over noise levels and sets of pictures."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snips.errors import InvalidValue
from snips_cli.cleansets import Clean, CleanSet, read_sets
from snips_cli.spec import Spec, denoiser_specs

if TYPE_CHECKING:
    from rich.table import Table

    from snips.interfaces import MMSEDenoiser
    from snips.ranges import Policy

LEVELS = ("5/255", "15/255", "25/255", "50/255", "75/255", "100/255")

Entry = dict[str, Any]
"""What was measured of one picture: FIGURES, and what they depend on."""

FIGURES = ("psnr", "ssim", "seconds")


@click.command("psnr")
@click.argument("folders", nargs=-1, metavar="[FOLDER]...")
@denoiser_specs(default=("drunet-small",), show_default=True)
@click.option("--sigma", "sigmas", multiple=True, default=LEVELS, show_default=True, help="0.1 or 25/255, many times.")
@click.option("--every", type=click.IntRange(1), default=1, help="Of each folder every so-manieth picture only.")
@click.option("--crop", type=click.IntRange(1), metavar="PIXELS", help="The middle of each picture.")
@click.option("--gray", is_flag=True, help="Make the pictures gray.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the noise.")
@click.option(
    "--out-of-range",
    type=click.Choice(["error", "clamp", "scale"]),
    default="error",
    show_default=True,
    help="At a σ that a denoiser is not made for: no figure, or by a policy, which is shown.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="JSON lines to add to; what is there is not redone.",
)
@click.option("--ssim", is_flag=True, help="A second table, of SSIM.")
@click.option("--device", default="cpu", show_default=True)
def bench_psnr(
    folders: tuple[str, ...],
    specs: tuple[Spec, ...],
    sigmas: tuple[str, ...],
    every: int,
    crop: int | None,
    gray: bool,
    seed: int,
    out_of_range: Policy,
    results: Path | None,
    ssim: bool,
    device: str,
) -> None:
    """PSNR in dB of D(x + σn, σ), mean over the pictures of each FOLDER, for each denoiser that takes their kind.

    FOLDERs hold clean pictures, gray or colour; without any, four of scikit-image. The noise of a picture follows from
    the seed and its place in the folder, and is the same for every denoiser and σ. Nothing is clipped.
    """
    from rich.console import Console

    from snips.devices import resolve_device
    from snips_cli.bench_range import level

    levels = [level(text) for text in sigmas]
    where = resolve_device(device)
    sets = read_sets(folders, every, crop, gray)
    jobs = [job for spec in specs for job in jobs_of(spec, sets, where, out_of_range)]
    with results_in(results) as (known, keep):
        entries = [
            measured_once(known, keep, job, picture, level, seed, crop)
            for job in jobs
            for level in levels
            if job.policy_at(level) is not None
            for picture in job.set.pictures
        ]
    tables = [table("psnr", jobs, levels, entries), *([table("ssim", jobs, levels, entries)] if ssim else [])]
    for shown in tables:
        Console(width=200, soft_wrap=True).print(shown)


@dataclass(frozen=True)
class Job:
    """One denoiser on one set: a line of the table."""

    spec: Spec
    answer: str
    """Tells one version of a denoiser, or of its weights, from another."""
    denoiser: MMSEDenoiser
    set: CleanSet
    out_of_range: Policy

    def policy_at(self, sigma: float) -> str | None:
        """ "" within the denoiser's range, else the policy, or None for no figure."""
        if sigma in self.denoiser.noise_levels:
            return ""
        return None if self.out_of_range == "error" else self.out_of_range

    def identity(self, picture: Clean, sigma: float, seed: int, crop: int | None) -> Entry:
        """All that the figures of a picture depend on."""
        return {
            "denoiser": self.spec.text,
            "answer": self.answer,
            "set": self.set.name,
            "channels": self.set.channels,
            "picture": picture.name,
            "index": picture.index,
            "crop": crop,
            "sigma": sigma,
            "seed": seed,
            "policy": self.policy_at(sigma),
        }


def jobs_of(spec: Spec, sets: Sequence[CleanSet], device: Any, out_of_range: Policy) -> list[Job]:
    """The denoiser on each set of its kind. Raises InvalidValue if there is none, and as `snips.load_denoiser`."""
    denoiser = spec.load(device)
    takes: tuple[int, ...] = getattr(denoiser, "channels", ())
    fitting = [s for s in sets if not takes or s.channels in takes]
    if not fitting:
        remedy = "--gray makes them gray" if 1 in takes else "give a folder of colour pictures"
        raise InvalidValue(f"{spec.text} takes pictures of {takes[0]} channels, and none are given; {remedy}")
    return [Job(spec, answer_of(denoiser, s.channels), denoiser, s, out_of_range) for s in fitting]


def answer_of(denoiser: MMSEDenoiser, channels: int) -> str:
    """A number that sums up D on one picture of noise, coarse enough to be the same on every machine."""
    from snips import Noise, denoise
    from snips.testing.bench import trial_levels

    noise = Noise(0, [(0, 0)], (channels, 16, 16)).normal()
    x = 0.5 + 0.3 * noise.to(getattr(denoiser, "device", "cpu"))
    clean = denoise(denoiser, x, trial_levels(denoiser.noise_levels)[-1]).cpu()
    return f"{float((clean * noise).double().mean()):.3e}"


def measured_once(
    known: dict[str, Entry], keep: Any, job: Job, picture: Clean, sigma: float, seed: int, crop: int | None
) -> Entry:
    """What is known already, or else measured and kept."""
    identity = job.identity(picture, sigma, seed, crop)
    key = key_of(identity)
    if key not in known:
        known[key] = identity | measure(job, picture, sigma, seed)
        keep(known[key])
    return known[key]


def measure(job: Job, picture: Clean, sigma: float, seed: int) -> Entry:
    """PSNR and SSIM of the denoised picture, and the time it took."""
    from snips import Noise, denoise, metrics
    from snips.ranges import WithinRange

    denoiser = job.denoiser
    if job.policy_at(sigma):
        denoiser = WithinRange(denoiser, job.out_of_range)
    x = picture.x
    noisy = x + sigma * Noise(seed, [(picture.index, 0)], x.shape).normal()[0]
    started = time.perf_counter()
    clean = denoise(denoiser, noisy.to(getattr(job.denoiser, "device", "cpu")), sigma).cpu()
    seconds = time.perf_counter() - started
    return {"psnr": metrics.psnr(x, clean), "ssim": metrics.ssim(x, clean), "seconds": round(seconds, 3)}


def key_of(entry: Entry) -> str:
    return json.dumps({key: value for key, value in entry.items() if key not in FIGURES}, sort_keys=True)


@contextmanager
def results_in(path: Path | None) -> Iterator[tuple[dict[str, Entry], Any]]:
    """What the file knows, by key, and a function that adds a line to it, at once. A last line cut short is redone."""
    from snips.files import cannot_write

    if path is None:
        yield {}, lambda entry: None
        return
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        known = {key_of(entry): entry for entry in map(parsed, lines) if entry}
        with path.open("a", encoding="utf-8") as file:

            def keep(entry: Entry) -> None:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
                file.flush()

            if lines and not path.read_text(encoding="utf-8").endswith("\n"):
                file.write("\n")
            yield known, keep
    except OSError as error:
        raise cannot_write(path, error) from error


def parsed(line: str) -> Entry | None:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return None
    return entry if isinstance(entry, dict) and set(FIGURES) <= set(entry) else None


def table(figure: str, jobs: Sequence[Job], sigmas: Sequence[float], entries: Sequence[Entry]) -> Table:
    """Means over pictures; – where the denoiser is not made for the σ, a policy's name beside what came of it."""
    from rich import box
    from rich.table import Table

    shown = Table(title=None, box=box.MARKDOWN)
    shown.add_column("denoiser")
    shown.add_column("pictures")
    for sigma in sigmas:
        shown.add_column(f"{255 * sigma:.4g}", justify="right")
    digits = 2 if figure == "psnr" else 3
    for job in jobs:
        of_job = [e for e in entries if (e["denoiser"], e["set"]) == (job.spec.text, job.set.name)]
        cells = []
        for sigma in sigmas:
            values = [e[figure] for e in of_job if e["sigma"] == sigma]
            mean = math.fsum(values) / len(values) if values else None
            cells.append("–" if mean is None else f"{mean:.{digits}f} {job.policy_at(sigma)}".rstrip())
        shown.add_row(job.spec.label, f"{job.set.name} ({len(job.set.pictures)})", *cells)
    return shown
