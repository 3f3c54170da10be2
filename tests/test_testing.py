"""The conformance kit: right parts pass, and every mistake is caught by the check that is meant for it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import snips
import wrong_denoisers
import wrong_samplers
from snips.analytic import GaussianMixturePrior, GaussianPrior, PowerLawField
from snips.errors import InvalidValue
from snips.testing import CheckFailed, check_denoiser, check_sampler, parametrize_with_checks
from snips.testing.denoisers import DENOISER_CHECKS
from snips.testing.samplers import SAMPLER_CHECKS

pytest_plugins = ["pytester"]

# What is wrong, the check meant for it, and the other checks that notice, and no more ("*": whichever they are).
STATISTICS = "check_lowers_error check_tweedie check_odd_sizes"
REPEATED = "check_deterministic check_memory_layout check_mixed_sigma check_rows_independent"
WRONG_DENOISERS = [
    (wrong_denoisers.Clips, "check_no_clipping", ""),
    (wrong_denoisers.EightBits, "check_no_clipping", ""),
    (wrong_denoisers.IgnoresSigma, "check_uses_sigma", "check_tweedie"),
    (wrong_denoisers.ModifiesInput, "check_keeps_input", "*"),
    (wrong_denoisers.ModifiesSigma, "check_keeps_input", "check_memory_layout check_mixed_sigma"),
    (wrong_denoisers.DrawsGlobally, "check_leaves_global_rng", REPEATED),
    (wrong_denoisers.DrawsForItself, "check_deterministic", REPEATED),
    (wrong_denoisers.DrawsFromNumPy, "check_leaves_global_rng", ""),
    (wrong_denoisers.SeedsGlobally, "check_leaves_global_rng", ""),
    (wrong_denoisers.Remembers, "check_deterministic", REPEATED + " check_lowers_error"),
    (wrong_denoisers.UsesBatchStatistics, "check_rows_independent", "check_mixed_sigma"),
    (wrong_denoisers.UsesFirstSigma, "check_mixed_sigma", ""),
    (wrong_denoisers.AlwaysFloat32, "check_keeps_dtype", ""),
    (wrong_denoisers.Squeezes, "check_keeps_shape", "check_mixed_sigma"),
    (wrong_denoisers.LosesDevice, "check_keeps_device", "*"),
    (wrong_denoisers.Views, "check_memory_layout", ""),
    (wrong_denoisers.CropsOddSizes, "check_odd_sizes", ""),
    (wrong_denoisers.RefusesOddSizes, "check_odd_sizes", ""),
    (wrong_denoisers.ShiftsOddSizes, "check_odd_sizes", ""),
    (wrong_denoisers.ReplicatesNoise, "check_odd_sizes", ""),
    (wrong_denoisers.MakesWorse, "check_lowers_error", STATISTICS),
    (wrong_denoisers.ReturnsNoise, "check_lowers_error", STATISTICS),
    (wrong_denoisers.ReturnsInput, "check_lowers_error", STATISTICS + " check_uses_sigma"),
    (wrong_denoisers.HalfStep, "check_tweedie", ""),
    (wrong_denoisers.HalfSigma, "check_tweedie", ""),
    (wrong_denoisers.OverSmooths, "check_tweedie", STATISTICS),
    (wrong_denoisers.DividesByZero, "check_finite_at_ends", ""),
    (wrong_denoisers.ClaimsGrayLevels, "check_noise_levels", "*"),
    (wrong_denoisers.ClaimsNothing, "check_noise_levels", "*"),
]

WRONG_SAMPLERS = [
    (wrong_samplers.UnderDispersed, "check_posterior_spread", ""),
    (wrong_samplers.OverDispersed, "check_posterior_spread", ""),
    (wrong_samplers.Estimates, "check_other_seed", "check_posterior_spread"),
    (wrong_samplers.ForgetsY, "check_posterior_mean", "check_posterior_spread"),
    (wrong_samplers.HalfwayToPrior, "check_posterior_mean", ""),
    (wrong_samplers.SamplesGlobally, "check_leaves_global_rng", "check_same_seed check_split check_resume"),
    (wrong_samplers.SamplesFromItself, "check_same_seed", "check_split check_resume"),
    (wrong_samplers.CouplesRows, "check_split", ""),
    (wrong_samplers.KeepsMomentum, "check_resume", ""),
    (wrong_samplers.CountsRuns, "check_split", "check_same_seed"),
    (wrong_samplers.LiesAboutCalls, "check_nfe", ""),
    (wrong_samplers.CallsElsewhere, "check_nfe", ""),
    (wrong_samplers.Diverges, "check_finite", ""),
    (wrong_samplers.ModifiesY, "check_keeps_observation", ""),
    (wrong_samplers.CentresY, "check_keeps_observation", "*"),
    (wrong_samplers.PlansFromY, "check_plan", ""),
    (wrong_samplers.PlansOutOfRange, "check_plan", "*"),
    (wrong_samplers.PlansNothing, "check_plan", "*"),
    (wrong_samplers.PlansNumbers, "check_plan", "*"),
    (wrong_samplers.PlainState, "check_state", "*"),
    (wrong_samplers.NumberInState, "check_state", "check_resume"),
    (wrong_samplers.LooksAtMissingPixels, "check_ignores_missing_pixels", ""),
]


def failures(results) -> dict[str, str]:
    return {result.name.partition("[")[0]: result.reason for result in results if result.outcome == "failed"}


def ids(table):
    return [f"{part.__name__}-{check}" for part, check, _ in table]


@pytest.mark.parametrize(("part", "check", "also"), WRONG_DENOISERS, ids=ids(WRONG_DENOISERS))
def test_a_wrong_denoiser_fails_the_check_meant_for_it(part, check, also):
    failed = failures(check_denoiser(part(), collect=True))
    assert check in failed
    assert also == "*" or set(failed) == {check, *also.split()}


@pytest.mark.parametrize(("part", "check", "also"), WRONG_SAMPLERS, ids=ids(WRONG_SAMPLERS))
def test_a_wrong_sampler_fails_the_check_meant_for_it(part, check, also):
    failed = failures(check_sampler(part(), collect=True))
    assert check in failed
    assert also == "*" or set(failed) == {check, *also.split()}


def test_every_check_has_a_part_that_fails_it():
    """Nobody adds a check without proof that it can fail."""
    assert {check for _, check, _ in WRONG_DENOISERS} == {check.__name__ for check in DENOISER_CHECKS}
    assert {check for _, check, _ in WRONG_SAMPLERS} == {check.__name__ for check in SAMPLER_CHECKS}


def outcomes(results) -> set[str]:
    return {result.outcome for result in results}


@parametrize_with_checks([wrong_denoisers.RightDenoiser(), wrong_samplers.RightSampler(), PowerLawField(), "langevin"])
def test_a_right_part_passes(check):
    check()


def test_a_prior_passes_on_pictures_of_its_own():
    gaussian = GaussianPrior.power_law((3, 4, 4), power=1.0)
    levels = torch.tensor([0.2, 0.5, 0.8])[:, None, None, None].expand(3, 1, 6, 6)
    mixture = GaussianMixturePrior(torch.ones(3), levels, 0.01 * torch.eye(36))
    for prior in (gaussian, mixture):
        results = check_denoiser(prior, expected_failed_checks={"check_odd_sizes": "a prior of one size"}, collect=True)
        assert not failures(results)
        assert outcomes(results) == {"passed", "expected failure"}


def test_pictures_of_the_right_kind_can_be_given():
    gray = snips.load_denoiser("gaussian-mixture")
    assert "check_tweedie" in failures(check_denoiser(gray, collect=True))
    generator = torch.Generator().manual_seed(0)
    level = (torch.randint(3, (64, 1, 1, 1), generator=generator) + 0.5) / 3
    pictures = level + 0.1 * torch.randn(64, 1, 16, 16, generator=generator)
    assert set(failures(check_denoiser(gray, pictures=pictures, collect=True))) == {"check_odd_sizes"}
    with pytest.raises(InvalidValue, match="N ≥ 4"):
        check_denoiser(gray, pictures=pictures[:2])


def test_the_first_failure_is_raised():
    with pytest.raises(CheckFailed, match=r"^check_no_clipping: expected .* saw .*; do not clip") as failure:
        check_denoiser(wrong_denoisers.Clips())
    assert isinstance(failure.value, AssertionError)
    assert "\n" not in str(failure.value)
    with pytest.raises(CheckFailed, match=r"^check_odd_sizes: raised RuntimeError: pixel_unshuffle") as failure:
        check_denoiser(wrong_denoisers.RefusesOddSizes())
    assert isinstance(failure.value.__cause__, RuntimeError)
    assert outcomes(check_denoiser(wrong_denoisers.RightDenoiser())) == {"passed"}


def test_an_expected_failure_is_named_and_explained():
    reason = "8-bit library"
    results = check_denoiser(wrong_denoisers.Clips(), expected_failed_checks={"check_no_clipping": reason})
    assert [(r.outcome, r.reason) for r in results if r.name == "check_no_clipping"] == [("expected failure", reason)]
    with pytest.raises(CheckFailed, match="expected to fail .* but passed; take it out of expected_failed_checks"):
        check_denoiser(wrong_denoisers.RightDenoiser(), expected_failed_checks={"check_no_clipping": reason})
    with pytest.raises(InvalidValue, match="did you mean check_no_clipping"):
        check_denoiser(wrong_denoisers.Clips(), expected_failed_checks={"check_noclipping": reason})
    results = check_sampler(
        wrong_samplers.UnderDispersed(),
        expected_failed_checks={"check_posterior_spread[denoise]": reason},
        collect=True,
    )
    assert [r.name for r in results if r.outcome == "expected failure"] == ["check_posterior_spread[denoise]"]


def test_what_does_not_apply_is_skipped_with_a_reason():
    results = check_sampler(wrong_samplers.RightSampler())
    assert {r.reason for r in results if r.name.endswith("[inpaint]")} == {"only denoises"}
    blind = wrong_denoisers.RightDenoiser()
    blind.noise_levels = snips.NoiseLevels(0.05, 0.5, blind=True)
    skipped = [r for r in check_denoiser(blind) if r.outcome == "skipped"]
    assert [(r.name, r.reason) for r in skipped] == [
        ("check_uses_sigma", "a blind denoiser finds the noise level itself")
    ]
    one = wrong_denoisers.RightDenoiser()
    one.noise_levels = snips.NoiseLevels(0.5, 0.5, only=(0.5,))
    assert [r.name for r in check_denoiser(one) if r.outcome == "skipped"] == ["check_uses_sigma"]


class Colour(wrong_denoisers.RightDenoiser):
    channels = None

    def denoise(self, x, sigma):
        if x.shape[1] != 3:
            raise ValueError("colour only")
        return super().denoise(x, sigma)


def test_channels_are_asked_for_declared_or_found():
    both = wrong_denoisers.RightDenoiser()
    both.channels = (1, 3)
    names = [r.name for r in check_denoiser(both)]
    assert "check_keeps_shape[1]" in names
    assert "check_keeps_shape[3]" in names
    assert outcomes(check_denoiser(Colour())) == {"passed"}
    with pytest.raises(CheckFailed, match="colour only"):
        check_denoiser(Colour(), channels=1)


PLUGIN_TESTS = """
import snips, wrong_denoisers, wrong_samplers

parts = [wrong_denoisers.RightDenoiser(), wrong_samplers.RightSampler(), "gaussian-mixture"]

@snips.testing.parametrize_with_checks(parts)
def test_right(check):
    check()

eight_bits = {"check_no_clipping": "8 bits"}

@snips.testing.parametrize_with_checks([wrong_denoisers.Clips()], expected_failed_checks=eight_bits)
def test_expected(check):
    check()

@snips.testing.parametrize_with_checks([wrong_denoisers.Clips()])
def test_wrong(check):
    check()
"""


def test_one_line_in_a_plugins_own_tests(pytester):
    pytester.makepyfile(PLUGIN_TESTS)
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-rA")
    denoiser, sampler = len(DENOISER_CHECKS), len(SAMPLER_CHECKS)
    done.assert_outcomes(failed=1, xfailed=4, skipped=2 * sampler + 1, passed=4 * denoiser + sampler - 6)
    done.stdout.fnmatch_lines(
        [
            "E *CheckFailed: expected*do not clip*",
            "PASSED *::test_right[[]gaussian-mixture-check_keeps_shape]",
            "FAILED *::test_wrong[[]Clips-check_no_clipping]*",
        ]
    )


def test_pytest_is_needed_by_parametrize_with_checks_only():
    code = "import sys, snips.testing; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_no_part_is_refused():
    with pytest.raises(InvalidValue, match="no denoiser .* and no sampler"):
        parametrize_with_checks([object()])
