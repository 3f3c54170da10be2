"""The engine: rows, streams, batches, checkpoints, results. The denoiser here is elementwise, so that bits compare."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import snips
from snips import runs
from snips.checkpoint import Checkpoint
from snips.errors import CheckpointError, DeviceError, Diverged, InvalidValue, NoiseLevelError


@dataclass(frozen=True)
class White:
    """x ~ N(1/2, .2² I): an elementwise denoiser."""

    scale: float = 0.04
    noise_levels: snips.NoiseLevels = snips.NoiseLevels(0.0, 100.0)

    def denoise(self, x, sigma):
        return 0.5 + self.scale / (self.scale + sigma.square()[:, None, None, None]) * (x - 0.5)


SAMPLER = snips.load_sampler("langevin", preset="celeba", steps_per_level=1)
Y = 0.5 + 0.2 * torch.randn(3, 1, 6, 5, generator=torch.Generator().manual_seed(0))
BATCH = snips.Observation(Y, 0.2)
ONE = snips.Observation(Y[0], 0.2)


def test_shapes_follow_y():
    one = snips.sample(ONE, White(), SAMPLER, samples=4)
    assert one.samples.shape == (4, 1, 6, 5)
    assert one.mean.shape == one.std.shape == (1, 6, 5)
    many = snips.sample(BATCH, White(), SAMPLER, samples=4)
    assert many.samples.shape == (4, 3, 1, 6, 5)
    assert many.mean.shape == (3, 1, 6, 5)
    assert torch.equal(many.samples[:, 0], one.samples)


def test_mean_and_std_are_those_of_the_samples():
    drawn = snips.sample(BATCH, White(), SAMPLER, samples=7, batch=4)
    assert torch.allclose(drawn.mean, drawn.samples.mean(0), atol=1e-6)
    assert torch.allclose(drawn.std, drawn.samples.std(0), atol=1e-6)


def test_samples_that_are_not_kept_still_count():
    kept = snips.sample(BATCH, White(), SAMPLER, samples=7, keep=2)
    every = snips.sample(BATCH, White(), SAMPLER, samples=7, batch=2)
    assert kept.samples.shape == (2, 3, 1, 6, 5)
    assert torch.equal(kept.samples, every.samples[:2])
    assert torch.equal(kept.mean, every.mean)
    assert torch.equal(kept.std, every.std)


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_a_sample_does_not_depend_on_the_batch(batch):
    assert torch.equal(
        snips.sample(BATCH, White(), SAMPLER, samples=3, batch=batch).samples,
        snips.sample(BATCH, White(), SAMPLER, samples=3).samples,
    )


def test_more_samples_do_not_change_the_first():
    few, many = (snips.sample(ONE, White(), SAMPLER, samples=n).samples for n in (2, 5))
    assert torch.equal(few, many[:2])


def test_seeds_and_samples_differ():
    a, b = (snips.sample(ONE, White(), SAMPLER, samples=2, seed=seed).samples for seed in (0, 1))
    assert not torch.equal(a, b)
    assert not torch.equal(a[0], a[1])


def test_the_global_random_state_is_neither_used_nor_touched():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    a = snips.sample(ONE, White(), SAMPLER).samples
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(a, snips.sample(ONE, White(), SAMPLER).samples)


def test_iterate_yields_every_planned_step():
    steps = list(snips.iterate(ONE, White(), SAMPLER, samples=2, batch=1))
    plan = SAMPLER.plan(ONE, White().noise_levels)
    assert [s.index for s in steps] == list(range(2 * len(plan)))
    assert {s.total for s in steps} == {2 * len(plan)}
    assert [s.sigma for s in steps] == [level.sigma for level in plan] * 2
    assert steps[-1].nfe == len(plan)
    whole = snips.sample(ONE, White(), SAMPLER, samples=2)
    assert torch.equal(torch.cat([steps[len(plan) - 1].x, steps[-1].x]), whole.samples)


def test_snapshots_are_states_of_the_first_sample():
    drawn = snips.sample(BATCH, White(), SAMPLER, samples=2, snapshots=4, batch=1)
    assert len(drawn.snapshots) == 4
    assert torch.equal(drawn.snapshots[-1].x, drawn.samples[0])
    steps = list(snips.iterate(BATCH, White(), SAMPLER, samples=1))
    assert all(torch.equal(shot.x, steps[shot.index].x) for shot in drawn.snapshots)
    assert [shot.sigma for shot in drawn.snapshots] == [steps[shot.index].sigma for shot in drawn.snapshots]


class Stopped(Exception):
    pass


def stop_after(count):
    def tell(step):
        if step.index + 1 == count:
            raise Stopped

    return tell


@pytest.mark.parametrize("count", [1, 17, 300, 600])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, count):
    file = tmp_path / "run.ckpt"
    options = {"samples": 4, "batch": 5, "keep": 3, "snapshots": 3}
    whole = snips.sample(BATCH, White(), SAMPLER, **options)
    total = 3 * len(whole.plan)
    with pytest.raises(Stopped):
        snips.sample(BATCH, White(), SAMPLER, **options, checkpoint=file, progress=stop_after(min(count, total)))
    rest = []
    again = snips.sample(BATCH, White(), SAMPLER, **options, checkpoint=file, resume=True, progress=rest.append)
    assert len(rest) == total - min(count, total)
    for name in ("samples", "mean", "std"):
        assert torch.equal(getattr(again, name), getattr(whole, name))
    assert all(torch.equal(a.x, b.x) for a, b in zip(again.snapshots, whole.snapshots, strict=True))
    done = snips.sample(BATCH, White(), SAMPLER, **options, checkpoint=file, resume=True, progress=rest.append)
    assert torch.equal(done.samples, whole.samples)


def test_a_run_can_be_resumed_with_another_batch_size(tmp_path):
    file = tmp_path / "run.ckpt"
    with pytest.raises(Stopped):
        snips.sample(BATCH, White(), SAMPLER, samples=4, batch=5, checkpoint=file, progress=stop_after(200))
    again = snips.sample(BATCH, White(), SAMPLER, samples=4, batch=2, checkpoint=file, resume=True)
    assert torch.equal(again.samples, snips.sample(BATCH, White(), SAMPLER, samples=4).samples)


def test_another_runs_checkpoint_is_refused(tmp_path):
    file = tmp_path / "run.ckpt"
    snips.sample(ONE, White(), SAMPLER, samples=2, checkpoint=file)
    before = file.read_bytes()
    with pytest.raises(CheckpointError, match="resume=True"):
        snips.sample(ONE, White(), SAMPLER, samples=2, checkpoint=file)
    others = {
        "seed": lambda: snips.sample(ONE, White(), SAMPLER, samples=2, seed=1, checkpoint=file, resume=True),
        "sigma": lambda: snips.sample(
            snips.Observation(Y[0], 0.3), White(), SAMPLER, samples=2, checkpoint=file, resume=True
        ),
        "y was": lambda: snips.sample(
            snips.Observation(Y[1], 0.2), White(), SAMPLER, samples=2, checkpoint=file, resume=True
        ),
        "operator": lambda: snips.sample(
            snips.Observation(Y[0], 0.2, snips.Mask(torch.ones(6, 5))),
            White(), SAMPLER, samples=2, checkpoint=file, resume=True,
        ),
        "plan": lambda: snips.sample(ONE, White(), samples=2, checkpoint=file, resume=True),
        "samples": lambda: snips.sample(ONE, White(), SAMPLER, samples=3, checkpoint=file, resume=True),
        "weights": lambda: snips.sample(ONE, White(0.05), SAMPLER, samples=2, checkpoint=file, resume=True),
    }  # fmt: skip
    for what, run in others.items():
        with pytest.raises(CheckpointError, match=what):
            run()
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b'\x10\x00\x00\x00\x00\x00\x00\x00{"a"'])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    file = tmp_path / "run.ckpt"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        snips.sample(ONE, White(), SAMPLER, checkpoint=file, resume=True)
    assert file.read_bytes() == content


def test_a_checkpoint_is_saved_while_it_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "SAVE_EVERY", 0.0)
    file = tmp_path / "run.ckpt"
    seen = set()

    def look(step):
        time.sleep(0.01)
        if file.exists():
            seen.add(Checkpoint.load(file).place["steps"])

    snips.sample(ONE, White(), SAMPLER, checkpoint=file, progress=look)
    assert len(seen) > 2
    assert [p.name for p in tmp_path.iterdir()] == ["run.ckpt"]


SLOW_RUN = """
import sys, time
sys.path.insert(0, {tests!r})
import snips
from test_engine import BATCH, SAMPLER, White
from snips import runs
runs.SAVE_EVERY = 0.05
def slowly(step):
    print(step.index, flush=True)
    time.sleep(0.01)
snips.sample(BATCH, White(), SAMPLER, samples=3, batch=4, checkpoint={file!r}, resume=True, progress=slowly)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_process_goes_on_to_the_same_bits(tmp_path, number):
    file = str(tmp_path / "run.ckpt")
    code = SLOW_RUN.format(tests=str(Path(__file__).parent), file=file)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for line in process.stdout:
        if int(line) == 150:
            os.kill(process.pid, number)
            break
    process.wait(timeout=60)
    deadline = time.monotonic() + 10
    while not Path(file).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    steps = []
    again = snips.sample(
        BATCH, White(), SAMPLER, samples=3, batch=4, checkpoint=file, resume=True, progress=steps.append
    )
    assert 0 < steps[0].index < 300
    assert torch.equal(again.samples, snips.sample(BATCH, White(), SAMPLER, samples=3).samples)


def test_an_unwritable_checkpoint_is_one_line(tmp_path):
    with pytest.raises(snips.SnipsError, match="cannot write"):
        snips.sample(ONE, White(), SAMPLER, checkpoint=tmp_path / "missing" / "run.ckpt")


class Explodes(White):
    def denoise(self, x, sigma):
        return x * float("nan")


def test_nan_is_an_error_that_names_the_step():
    with pytest.raises(Diverged, match=r"by step 64 of \d+"):
        snips.sample(ONE, Explodes(), SAMPLER)


class Wider(White):
    def denoise(self, x, sigma):
        return torch.cat([x, x], 1)


def test_a_denoiser_that_answers_another_shape_is_named():
    with pytest.raises(InvalidValue, match="Wider"):
        snips.sample(ONE, Wider(), SAMPLER)


def test_out_of_range_is_an_error_or_a_stated_policy():
    narrow = White(noise_levels=snips.NoiseLevels(0.0, 0.1))
    with pytest.raises(NoiseLevelError, match="clamp or scale"):
        snips.sample(ONE, narrow, SAMPLER)
    clamped, scaled = (snips.sample(ONE, narrow, SAMPLER, out_of_range=p).samples for p in ("clamp", "scale"))
    assert not torch.equal(clamped, scaled)
    with pytest.raises(InvalidValue, match="out_of_range"):
        snips.sample(ONE, narrow, SAMPLER, out_of_range="ignore")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples"),
        ({"samples": 1.5}, "samples"),
        ({"batch": 0}, "batch"),
        ({"seed": -1}, "seed"),
        ({"dtype": "int8"}, "dtype"),
        ({"keep": 0}, "keep"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(InvalidValue, match=message):
        snips.sample(ONE, White(), SAMPLER, **options)


def test_number_formats():
    double = snips.sample(ONE, White(), SAMPLER, dtype="float64")
    assert double.samples.dtype == torch.float64
    low = snips.sample(ONE, White(), SAMPLER, dtype="bfloat16")
    assert low.samples.dtype == torch.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_one_line():
    with pytest.raises(DeviceError, match="cuda"):
        snips.sample(ONE, White(), SAMPLER, device="cuda")
    with pytest.raises(DeviceError, match="cuda"):
        snips.load_denoiser("gaussian-field", device="cuda")


def test_names_work_in_place_of_objects():
    by_name = snips.sample(ONE, "gaussian-field", "langevin")
    assert by_name.samples.shape == (1, 1, 6, 5)


def test_save_writes_a_folder_whole(tmp_path):
    drawn = snips.sample(ONE, White(), SAMPLER, samples=2)
    folder = drawn.save(tmp_path / "run")
    names = {p.name for p in folder.iterdir()}
    assert names == {"samples.safetensors", "mean.png", "std.png", "sample-000.png", "sample-001.png"}
    with pytest.raises(snips.SnipsError, match="exists"):
        drawn.save(folder)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
