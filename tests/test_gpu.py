"""The same code on a GPU: the streams of noise, no waiting for the host inside a step, and the posterior itself."""

from __future__ import annotations

import pytest
import torch

import snips
from snips.job import prepare
from snips.noise import Noise
from snips.walk import begin

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

HALF = torch.rand(16, 16, generator=torch.Generator().manual_seed(0)) < 0.5


def test_noise_is_the_same_whatever_the_split():
    rows = [(0, k) for k in range(5)]
    together = Noise(7, rows, (3, 8, 8), "cuda").at(3).normal()
    alone = torch.cat([Noise(7, [row], (3, 8, 8), "cuda").at(3).normal() for row in rows])
    assert torch.equal(together, alone)


@pytest.mark.parametrize(("sampler", "masked"), [("langevin", False), ("langevin", True), ("noise-split", True)])
def test_a_step_does_not_wait_for_the_host(sampler, masked):
    operator = snips.Mask(HALF) if masked else snips.Identity()
    observed = snips.Observation(torch.rand(3, 16, 16), 0.1, operator)
    denoiser = snips.load_denoiser("ncsnv2", device="cuda")
    job = prepare(observed, denoiser, sampler, samples=4, device="cuda")
    state = begin(job, job.rows)
    entries = job.observation.rows([image for image, _ in job.rows])
    noise = Noise(0, job.rows, job.observation.image_shape, job.device, job.dtype)
    with torch.inference_mode():
        state = job.sampler.step(state, job.plan[0], job.denoiser, entries, noise.at(1))  # kernels are chosen here
        torch.cuda.set_sync_debug_mode("error")
        try:
            for k, level in enumerate(job.plan[1:6], 2):
                state = job.sampler.step(state, level, job.denoiser, entries, noise.at(k))
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_batch_does_not_matter_beyond_rounding(dtype):
    observed = snips.Observation(torch.rand(3, 32, 32), 0.1)
    denoiser = snips.load_denoiser("ncsnv2", device="cuda")
    options = {"samples": 4, "device": "cuda", "dtype": dtype}
    one = snips.sample(observed, denoiser, "reverse-sde", batch=1, **options).samples
    four = snips.sample(observed, denoiser, "reverse-sde", batch=4, **options).samples
    assert one.dtype == torch.float32
    assert torch.allclose(one, four, atol=1e-3 if dtype == "float32" else 3e-2)


def test_the_posterior_is_the_exact_one():
    prior = snips.analytic.GaussianPrior.power_law((1, 8, 8))
    y = prior.draw(1, torch.Generator().manual_seed(0))[0] + 0.1 * torch.randn(1, 8, 8, dtype=torch.float64)
    observed = snips.Observation(y, 0.1)
    exact = prior.posterior(observed)
    drawn = snips.sample(observed, prior, "reverse-sde", samples=4000, device="cuda")
    assert float((drawn.mean - exact.mean).abs().max()) < 5 * float(exact.std.max()) / 4000**0.5 + 1e-3
    assert torch.allclose(drawn.std.double(), exact.std, rtol=0.08)
