"""The four gates: exact draws pass, and each kind of wrong sampler is stopped by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import snips
from snips.calibration import calibration
from snips.errors import InvalidValue
from snips.truth import calibrate, calibration_problems
from snips.truth.measuring import drawn_by
from snips_plugins.samplers.reverse_sde import ReverseSDE

PROBLEMS = {problem.name: problem for problem in calibration_problems()}
PICTURES, SAMPLES = 120, 19


@pytest.fixture(scope="module", params=sorted(PROBLEMS))
def known(request):
    """A problem's pictures, their observation, exact draws and exact means."""
    problem, g = PROBLEMS[request.param], torch.Generator().manual_seed(1)
    clean, observation = problem.draw(PICTURES)
    draws = [problem.prior.posterior(replace(observation, y=y)).draw(SAMPLES, g) for y in observation.batch]
    return clean, observation, torch.stack(draws, 1), problem.means(observation)


def failed(clean, observation, samples, mean):
    card = calibration(clean, observation, samples, mean)
    return {gate.name for gate in card.gates if not gate.passed}


def test_exact_draws_pass(known):
    clean, observation, samples, mean = known
    card = calibration(clean, observation, samples, mean)
    assert card.passed, card
    assert (card.pictures, card.samples) == (PICTURES, SAMPLES)
    values = {gate.name: gate.value for gate in card.gates}
    assert values["50% coverage"] == pytest.approx(0.5, abs=0.03)
    assert values["MSE ratio"] == pytest.approx(2, abs=0.2)
    assert values["residual std/σ0"] == pytest.approx(1, abs=0.03)


def test_narrow_wide_and_shifted_samples_do_not(known):
    clean, observation, samples, mean = known
    narrow, wide = (mean + share * (samples - mean) for share in (0.8, 1.25))
    assert {"50% coverage", "90% coverage", "MSE ratio"} <= failed(clean, observation, narrow, mean)
    assert {"50% coverage", "90% coverage", "MSE ratio"} <= failed(clean, observation, wide, mean)
    assert failed(clean, observation, samples + 0.05, mean)


def test_samples_that_repeat_the_mean_fail_everything(known):
    clean, observation, samples, mean = known
    assert len(failed(clean, observation, mean.expand(samples.shape), mean)) == 5


def test_draws_from_the_prior_are_told_by_what_looks_at_y():
    """Their coverage and ranks are right: they are calibrated, for an observation of nothing."""
    problem = PROBLEMS["calibration-mixture"]
    clean, observation = problem.draw(PICTURES)
    drawn = problem.prior.draw(SAMPLES * PICTURES, torch.Generator().manual_seed(9)).reshape(SAMPLES, *clean.shape)
    stopped = failed(clean, observation, drawn, problem.means(observation))
    assert stopped == {"MSE ratio", "residual std/σ0"}


def test_our_sampler_passes_and_euler_in_few_steps_does_not():
    problem = PROBLEMS["calibration-denoise"]
    ours = calibrate(problem, drawn_by(ReverseSDE(10)), "reverse-sde", pictures=PICTURES)
    assert ours.card.passed, ours.card
    assert ours.nfe == 10
    assert not calibrate(problem, drawn_by(ReverseSDE(5, "euler")), "euler", pictures=PICTURES).card.passed


def test_too_few_samples_are_named(known):
    clean, observation, samples, mean = known
    with pytest.raises(InvalidValue, match="at least 19 samples"):
        calibration(clean, observation, samples[:5], mean)
    with pytest.raises(InvalidValue, match="observations"):
        calibration(clean[:3], observation, samples, mean)
    with pytest.raises(InvalidValue):
        calibration(clean, snips.Observation(observation.batch[0], 0.1), samples, mean)
