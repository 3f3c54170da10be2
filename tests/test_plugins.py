"""The door for plugins: whatever one of them does wrong is named, and hurts no other."""

from __future__ import annotations

import click
import pytest

import snips
from fakes import card, module, names, offers, only_problem, raiser, registry_of
from snips.errors import PluginError, SnipsWarning, UnknownName
from snips.hookspecs import hookimpl

GOOD = ("good", offers("right"))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ImportError("No module named 'torchx'"), "ImportError: No module named 'torchx'"),
        (SyntaxError("invalid syntax\nand more"), "SyntaxError: invalid syntax"),
        (SystemExit("needs a licence"), "SystemExit: needs a licence"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_a_plugin_that_does_not_load(error, text):
    registry = registry_of(GOOD, ("broken", raiser(error)), ("later", offers("also-right")))
    assert names(registry) == ["also-right", "right"]
    problem = only_problem(registry)
    assert (problem.plugin.name, problem.stage) == ("broken", "load")
    assert problem.error.startswith(text)
    assert str(problem).startswith("plugin broken (dist-broken 1.2) failed at load: ")
    assert "pip install -U dist-broken" in problem.remedy
    assert "SNIPS_PLUGINS" in problem.remedy
    with pytest.raises(PluginError, match=f"no denoiser broken: plugin broken .* {text.split(':')[0]}"):
        registry.find("denoiser", "broken")


@pytest.mark.parametrize("hook", ["register_denoisers", "register_samplers", "register_tasks"])
@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3)])
def test_a_hook_that_raises(hook, error):
    registry = registry_of(GOOD, ("broken", module(**{hook: hookimpl(lambda register: raiser(error)())})))
    assert names(registry) == ["right"]
    problem = only_problem(registry)
    assert problem.stage == hook
    assert problem.error.startswith(type(error).__name__)


def test_a_hook_that_stops_halfway_registers_nothing_and_its_names_are_explained():
    @hookimpl
    def register_denoisers(register):
        register(card("first-of-two"), object)
        raise OSError("no second")

    registry = registry_of(("half", module(register_denoisers=register_denoisers)), GOOD)
    assert names(registry) == ["right"]
    assert only_problem(registry).names == ("first-of-two",)
    with pytest.raises(PluginError, match=r"no denoiser first-of-two: plugin half .*OSError: no second"):
        registry.find("denoiser", "first-of-two")


def test_one_broken_hook_leaves_the_others_of_its_plugin():
    broken = offers("sampler-of-it", kind="samplers")
    broken.register_denoisers = hookimpl(lambda register: raiser(ValueError("bad"))())
    registry = registry_of(("mixed", broken))
    assert names(registry, "sampler") == ["sampler-of-it"]
    assert only_problem(registry).stage == "register_denoisers"


def test_a_hook_with_a_wrong_signature_is_named_with_the_argument():
    @hookimpl
    def register_denoisers(regster):
        pass

    registry = registry_of(("typo", module(register_denoisers=register_denoisers)), GOOD)
    assert names(registry) == ["right"]
    problem = only_problem(registry)
    assert problem.stage == "hook signatures"
    assert "register_denoisers" in problem.error
    assert "regster" in problem.error


def test_an_unknown_hook_is_named():
    registry = registry_of(GOOD, ("typo", module(register_denoiser=hookimpl(lambda register: None))))
    assert names(registry) == ["right"]
    assert "unknown hook 'register_denoiser'" in only_problem(registry).error


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((card("it", snips.SamplerCard), object), "expected a DenoiserCard, got SamplerCard"),
        (("it", object), "expected a DenoiserCard, got str"),
        ((card("it"), "not.a.function"), "the load of it is not callable"),
        ((card("it"),), "missing 1 required positional argument: 'load'"),
        ((card(""), object), "a name is letters, digits"),
        ((card("a:b"), object), "a name is letters, digits"),
        ((card("a b"), object), "a name is letters, digits"),
    ],
)
def test_a_wrong_registration(arguments, text):
    registry = registry_of(("wrong", module(register_denoisers=hookimpl(lambda register: register(*arguments)))), GOOD)
    assert names(registry) == ["right"]
    assert text in only_problem(registry).error


def test_two_entry_points_to_one_module_do_not_hurt_each_other():
    shared = offers("shared")
    added = []
    shared.register_commands = hookimpl(lambda group: added.append(group))
    registry = registry_of(("one", shared), ("two", shared))
    assert names(registry) == ["shared"]
    assert only_problem(registry).plugin.name == "two"
    registry.add_commands(click.Group())
    assert len(added) == 1


def test_commands_are_added_one_plugin_at_a_time():
    def adds(name):
        def register_commands(group):
            group.add_command(click.Command(name))

        return module(register_commands=hookimpl(register_commands))

    broken = module(register_commands=hookimpl(lambda group: raiser(SystemExit(1))()))
    registry = registry_of(("a", adds("hello")), ("b", broken), ("c", adds("bye")))
    group = click.Group()
    registry.add_commands(group)
    assert sorted(group.commands) == ["bye", "hello"]
    assert only_problem(registry).stage == "register_commands"


def test_snips_debug_raises(monkeypatch):
    monkeypatch.setenv("SNIPS_DEBUG", "1")
    with pytest.raises(ImportError, match="gone"):
        registry_of(("broken", raiser(ImportError("gone"))))


# Names


def test_of_two_equal_names_the_first_wins_and_both_can_be_reached():
    first, second = object(), object()
    registry = registry_of(
        ("one", offers("same", load=lambda: first)), ("two", offers("same", "other", load=lambda: second))
    )
    assert names(registry) == ["other", "same"]
    problem = only_problem(registry)
    assert (problem.plugin.name, problem.stage) == ("two", "name clash")
    assert "denoiser same is also offered by dist-one:same, which comes first" in problem.error
    assert problem.remedy == "say dist-two:same for this one"
    with pytest.warns(SnipsWarning, match="denoiser same: taking dist-one:same, not dist-two:same"):
        assert registry.find("denoiser", "same").load() is first
    assert registry.find("denoiser", "dist-two:same").load() is second
    assert registry.find("denoiser", "dist-one:same").load() is first


def test_a_sampler_may_be_called_as_a_denoiser():
    registry = registry_of(("one", offers("same")), ("two", offers("same", kind="samplers")))
    assert registry.problems == []
    assert registry.find("sampler", "same").card.kind == "sampler"


def test_one_plugin_cannot_register_a_name_twice():
    registry = registry_of(("twice", offers("same", "same")), GOOD)
    assert names(registry) == ["right"]
    assert "denoiser same is registered twice" in only_problem(registry).error


def test_two_plugins_of_one_distribution_with_one_name_are_told_to_rename():
    registry = registry_of(("one", "dist", offers("same")), ("two", "dist", offers("same")))
    assert only_problem(registry).remedy == "one of them needs another name"
    assert registry.find("denoiser", "dist:same").plugin.name == "one"


def test_an_unknown_name_gets_close_matches():
    registry = registry_of(("one", offers("local-wiener", "bm3d")))
    with pytest.raises(UnknownName, match=r"unknown denoiser local-weiner; did you mean local-wiener\?.*snips denois"):
        registry.find("denoiser", "local-weiner")
    with pytest.raises(UnknownName, match="unknown denoiser xyz; there are bm3d, local-wiener"):
        registry.find("denoiser", "xyz")
    with pytest.raises(UnknownName, match="there are none"):
        registry.find("task", "xyz")


def test_patterns():
    registry = registry_of(("one", offers("drunet-gray", "drunet-color", "bm3d")))
    assert [r.card.name for r in registry.of_kind("denoiser", "drunet-*")] == ["drunet-color", "drunet-gray"]
