"""Loading a part of a plugin: its options, and what can be wrong with it."""

from __future__ import annotations

import pytest

import snips
from fakes import card, module, offers, raiser, registry_of
from snips import plugins
from snips.errors import MissingExtra, OptionError, PluginError, WeightsError
from snips.hookspecs import hookimpl


class Fine:
    noise_levels = snips.NoiseLevels(0, 1)

    def __init__(self, device=None, **options):
        self.options = options

    def denoise(self, x, sigma):
        return x


@pytest.fixture
def installed(monkeypatch):
    """Makes the plugins given the ones that are installed."""

    def install(*given):
        made = registry_of(*given)
        monkeypatch.setattr(plugins, "registry", lambda: made)

    return install


OPTIONS = (
    snips.Option("steps", int, 20),
    snips.Option("level", float, 0.1),
    snips.Option("fast", bool, False),
    snips.Option("preset", str, "a", choices=("a", "b")),
)


def with_options(load=Fine, **more):
    return module(register_denoisers=hookimpl(lambda register: register(card("part", options=OPTIONS, **more), load)))


def test_options_are_converted_and_unset_ones_left_to_the_part(installed):
    installed(("one", with_options()))
    part = snips.load_denoiser("part", steps="30", level="25/255", fast="yes", preset="b")
    assert part.options == {"steps": 30, "level": 25 / 255, "fast": True, "preset": "b"}
    assert snips.load_denoiser("dist-one:part", steps=30.0).options == {"steps": 30}


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"step": 3}, "denoiser part has no option step; did you mean steps?"),
        ({"colour": 3}, "denoiser part has no option colour; it has steps, level, fast, preset"),
        ({"steps": "2.5"}, "denoiser part: steps=2.5: not of type int"),
        ({"steps": float("inf")}, "denoiser part: steps=inf: not of type int"),
        ({"level": "high"}, "denoiser part: level=high: not of type float"),
        ({"level": "1/0"}, "denoiser part: level=1/0: not of type float"),
        ({"fast": "maybe"}, "denoiser part: fast=maybe: not of type bool"),
        ({"preset": "c"}, "denoiser part: preset=c: one of a, b"),
    ],
)
def test_wrong_options(installed, option, text):
    installed(("one", with_options()))
    with pytest.raises(OptionError) as error:
        snips.load_denoiser("part", **option)
    assert str(error.value) == text


def test_a_missing_extra_says_what_to_type_and_its_licence(installed):
    load = raiser(ModuleNotFoundError("No module named 'bm3d'", name="bm3d"))
    installed(("one", with_options(load, extra="bm3d", licence="non-commercial")))
    with pytest.raises(
        MissingExtra, match="denoiser part needs bm3d: pip install 'dist-one\\[bm3d\\]'.*non-commercial"
    ):
        snips.load_denoiser("part")


@pytest.mark.parametrize("error", [ValueError("no\nlayer"), ModuleNotFoundError("No module named 'x'"), SystemExit(1)])
def test_a_part_that_does_not_load_names_its_plugin(installed, error, monkeypatch):
    installed(("one", with_options(raiser(error))))
    with pytest.raises(PluginError) as raised:
        snips.load_denoiser("part")
    assert str(raised.value).startswith(
        "denoiser part of plugin one (dist-one 1.2) did not load: " + type(error).__name__
    )
    assert "\n" not in str(raised.value)
    monkeypatch.setenv("SNIPS_DEBUG", "1")
    with pytest.raises(type(error)):
        snips.load_denoiser("part")


def test_a_parts_own_expected_errors_pass_through(installed):
    installed(("one", with_options(raiser(WeightsError("weights.pt is no checkpoint")))))
    with pytest.raises(WeightsError, match=r"weights\.pt"):
        snips.load_denoiser("part")


def test_a_part_that_is_none_is_refused(installed):
    nothing = lambda **_: object()  # noqa: E731
    installed(
        ("one", offers("part", load=nothing)),
        ("two", offers("part", kind="samplers", load=nothing)),
        ("three", offers("part", kind="tasks", load=nothing)),
    )
    with pytest.raises(PluginError, match="denoiser part of plugin one .* lacks noise_levels, denoise"):
        snips.load_denoiser("part")
    with pytest.raises(PluginError, match="sampler part of plugin two .* lacks plan, init, step"):
        snips.load_sampler("part")
    with pytest.raises(PluginError, match="task part of plugin three .* lacks operator"):
        snips.load_task("part")
