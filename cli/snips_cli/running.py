"""From a request to a finished folder: settle everything, sample, measure, write, and put it in its place."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from snips.engine import sample
from snips.errors import Diverged, InvalidValue, OutputError, SnipsError, SnipsWarning
from snips.files import new_file
from snips.posterior import Posterior
from snips.progress import progress_bar
from snips_cli.cases import Case, make_cases, settings
from snips_cli.jsons import dumps
from snips_cli.loading import Parts, load_parts
from snips_cli.measure import compare, measure
from snips_cli.messages import Stopped, say
from snips_cli.outfolder import RECORD, OutFolder, free_name, read_json
from snips_cli.pictures import write_pictures
from snips_cli.record import record
from snips_cli.request import Request


def execute(
    request: Request,
    out: Path | None,
    *,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    typed: Sequence[str],
    warned: Sequence[str],
) -> tuple[Path, dict[str, Any]]:
    """Run it; the finished folder and its run.json.

    Args:
        typed: the words after `snips` on the command line.
        warned: where warnings are kept while they are said.

    Raises SnipsError; nothing has been written unless it says what is kept.
    """
    if resume and out is None:
        raise InvalidValue("--resume needs --out, the folder of the run to go on with")
    place = OutFolder(out or free_name(Path("runs"), f"{request.task}-{request.denoiser}".replace(":", "-")))
    done = resume and not overwrite and (place.out / RECORD).is_file()
    if not done:
        place.check(resume, overwrite)
    parts = load_parts(request)
    identity = request.identity() | {"device": str(parts.device), "snips": metadata.version("snips-toolkit")}
    if done:
        place.compare(read_json(place.out / RECORD)["request"], identity)
        place.discard()
        say(f"{place.out} is finished already")
        return place.out, read_json(place.out / RECORD)
    cases = make_cases(request, parts)
    warn_outside(cases)
    place.begin(identity, resume)
    if not quiet:
        announce(cases, parts)
    with kept(place, to_go_on(typed, place.out)):
        entries = [restore(case, request, parts, place, len(cases) > 1, quiet) for case in cases]
        command = shlex.join(["snips", *typed])
        plans = [case.job.plan for case in cases]
        said = {"command": command, "request": identity, "warnings": list(warned)}
        data = record(request, parts, plans, entries, said)
        with new_file(place.result / RECORD) as hidden:
            hidden.write_text(dumps(data))
        place.commit()
    return place.out, data


def restore(case: Case, request: Request, parts: Parts, place: OutFolder, several: bool, quiet: bool) -> dict[str, Any]:
    """Sample one picture and write what belongs to it; its entry in run.json."""
    restored = compare(case, draw(case, request, parts, place, quiet))
    entry = measure(restored)
    folder = place.result / case.name if several else place.result
    with place.writing():
        folder.mkdir(exist_ok=True)
        write_pictures(folder, restored, entry, title(request))
    return entry


def draw(case: Case, request: Request, parts: Parts, place: OutFolder, quiet: bool) -> Posterior:
    """The samples of one picture, from where its checkpoint stands."""
    with nullcontext(False) if quiet else progress_bar(case.name) as progress:
        return sample(
            case.observation,
            parts.denoiser,
            parts.sampler,
            progress=progress,
            snapshots=request.snapshots,
            checkpoint=place.checkpoint(case.name),
            resume=True,
            **settings(request, parts, case.seed),
        )


@contextmanager
def kept(place: OutFolder, again: str) -> Iterator[None]:
    """What stops a run says how to go on with it, as far as that helps."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        code = stop.code if isinstance(stop, SystemExit) and isinstance(stop.code, int) else 130
        raise Stopped(f"stopped, and kept; to go on: {again}", code) from stop
    except OutputError as error:
        raise OutputError(f"{error}; what was sampled is kept; to go on: {again}") from error
    except torch.OutOfMemoryError as error:
        place.discard()
        raise SnipsError("out of memory on the device; try again with fewer rows at once: --batch 1") from error
    except Diverged:
        place.discard()
        raise


def to_go_on(typed: Sequence[str], out: Path) -> str:
    """The command that resumes this one."""
    words = ["snips", *typed]
    if not any(word == "--out" or word.startswith("--out=") for word in words):
        words += ["--out", str(out)]
    return shlex.join(words if "--resume" in words else [*words, "--resume"])


def title(request: Request) -> str:
    """The parts of a run and what sets them apart from the default, for a person."""
    parts = (
        (request.denoiser, request.denoiser_options),
        (request.task, request.task_options),
        (request.sampler, request.sampler_options),
    )
    return "  ·  ".join(" ".join([name, *(f"{k}={Path(v).name}" for k, v in given.items())]) for name, given in parts)


def announce(cases: Sequence[Case], parts: Parts) -> None:
    """What is about to be done."""
    for case in cases:
        channels, height, width = case.observation.image_shape
        nfe = sum(level.nfe for level in case.job.plan)
        kind = {1: "gray", 3: "colour"}.get(channels, f"{channels} channels")
        sampler = parts.registrations[1].card.name
        rows = f"{len(case.job.rows)} sample{'s' if len(case.job.rows) > 1 else ''} of {nfe} NFE by {sampler}"
        say(f"{case.name}: {width}×{height} {kind}, σ0 {case.observation.sigma:.4g}, {rows} on {parts.device}")


def warn_outside(cases: Sequence[Case]) -> None:
    """A policy for σ outside the denoiser's range is stated, and recorded."""
    for case in cases:
        job = case.job
        if job.outside:
            levels = job.original.noise_levels
            warnings.warn(
                f"{case.name}: {job.outside} of {len(job.plan)} steps at a σ outside {levels}: {job.out_of_range}",
                SnipsWarning,
                stacklevel=2,
            )
