"""The door for plugins: whatever one of them does wrong is named, and hurts no other."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import click
import pytest

import snips
from snips import plugins
from snips.errors import MissingExtra, OptionError, PluginError, SnipsWarning, UnknownName, WeightsError
from snips.installed import EntryPoint
from snips.installed import entry_points as installed_points
from snips.plugins import Plugin, build

hookimpl = snips.hookimpl


def card(name, kind=snips.DenoiserCard, **more):
    return kind(name, f"the {name}", **more)


def offers(*names, kind="denoisers", load=object):
    """A plugin module that registers these."""
    cards = {"denoisers": snips.DenoiserCard, "samplers": snips.SamplerCard, "tasks": snips.TaskCard}

    def hook(register):
        for name in names:
            register(card(name, cards[kind]), load)

    return module(**{f"register_{kind}": hookimpl(hook)})


def module(**functions):
    made = types.ModuleType("fake")
    vars(made).update(functions)
    return made


def registry_of(*given):
    """A registry of (name, module), or of (name, distribution, module); a module may be a function that gives it."""
    found = []
    for name, *distribution, made in given:
        load = made if callable(made) else lambda made=made: made
        found.append((Plugin(name, *(distribution or [f"dist-{name}"]), "1.2"), load))
    return build(found)


def names(registry, kind="denoiser"):
    return [r.card.name for r in registry.of_kind(kind)]


def only_problem(registry):
    (problem,) = registry.problems
    assert "\n" not in str(problem)
    return problem


def raiser(error):
    def act(*_, **__):
        raise error

    return act


GOOD = ("good", offers("right"))


# Every failure on its own


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


# Loading a part


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


# Installed distributions

ZEBRA = """
import snips

@snips.hookimpl
def register_denoisers(register):
    for name in ("gaussian-field", "stripes"):
        register(snips.DenoiserCard(name=name, summary="of a zebra"), lambda device: None)
"""

LIST = """
import snips
from snips.plugins import registry
print(*(f"{r.full_name}" for r in registry().of_kind("denoiser")))
print(*(f"{plugin.name}" for plugin, _ in registry().plugins))
print(*registry().problems, sep="\\n")
"""


def install(folder: Path, distribution: str, entry_point: str, source: str, metadata: bool = True) -> None:
    info = folder / f"{distribution.replace('-', '_')}-3.0.dist-info"
    info.mkdir()
    if metadata:
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 3.0\n")
    (info / "entry_points.txt").write_text(f"[snips]\n{entry_point}\n")
    name = entry_point.partition("= ")[2].partition(":")[0]
    if source:
        (folder / f"{name}.py").write_text(source)


def python(code: str, path: Path | None = None, **environment: str) -> list[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SNIPS_")}
    given = {"PYTHONPATH": str(path)} if path else {}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=inherited | given | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def zoo(tmp_path):
    """Installed: a plugin that takes a name of ours, one that cannot be imported, one whose metadata is lost."""
    install(tmp_path, "a-zoo", "zebra = zebra", ZEBRA)
    install(tmp_path, "b-zoo", "yak = yak", "import no_such_module")
    install(tmp_path, "c-zoo", "xerus = no_such_plugin", "", metadata=False)
    return tmp_path


def test_installed_plugins_are_found_ours_first(zoo):
    denoisers, loaded, *problems = python(LIST, zoo)
    assert "snips-toolkit:gaussian-field" in denoisers
    assert "a-zoo:stripes" in denoisers
    assert "a-zoo:gaussian-field" not in denoisers
    ours = [name for name in loaded.split() if name != "zebra"]
    assert loaded.split() == [*ours, "zebra"]
    assert ours == sorted(ours)
    assert len(problems) == 3
    assert "zebra (a-zoo 3.0) failed at name clash" in problems[0]
    assert "yak (b-zoo 3.0) failed at load: ModuleNotFoundError: No module named 'no_such_module'" in problems[1]
    assert "xerus" in problems[2]


def test_entry_points_are_those_of_importlib_metadata(zoo, monkeypatch):
    install(zoo, "d-zoo", "gnu = gnu.animals : herd", "")
    with (zoo / "d_zoo-3.0.dist-info" / "entry_points.txt").open("a") as file:
        file.write("# snips = comment\n\n[console_scripts]\nsnips = other:main\n")
    elsewhere = zoo / "later on the path"
    elsewhere.mkdir()
    install(elsewhere, "a-zoo", "hidden = hidden", "")
    monkeypatch.syspath_prepend(str(elsewhere))
    monkeypatch.syspath_prepend(str(zoo))
    ours = {(point.name, point.value) for point in installed_points()}
    theirs = {(point.name, point.value) for point in metadata.entry_points(group="snips")}
    assert ours == theirs
    assert ("zebra", "zebra") in ours
    assert "hidden" not in {name for name, _ in ours}


def test_an_entry_point_may_name_an_object_in_a_module():
    point = EntryPoint("core", "snips.builtin:register_tasks.__name__", "d", "1")
    assert point.load() == "register_tasks"


def test_snips_plugins_selects(zoo):
    denoisers, loaded, *problems = python(LIST, zoo, SNIPS_PLUGINS="zebra, yak")
    assert denoisers.split() == ["a-zoo:gaussian-field", "a-zoo:stripes"]
    assert loaded == "zebra"
    assert len(problems) == 1
    assert python(LIST, zoo, SNIPS_PLUGINS="") == ["", "", ""]


def test_snips_debug_raises_the_error_of_an_installed_plugin(zoo):
    with pytest.raises(AssertionError, match="no_such_module"):
        python(LIST, zoo, SNIPS_DEBUG="1")


def test_listing_parts_imports_neither_torch_nor_numpy():
    code = (
        "import sys, snips\n"
        "snips.denoisers(), snips.samplers(), snips.tasks()\n"
        "print(*(name for name in ('torch', 'numpy', 'scipy', 'click') if name in sys.modules))"
    )
    assert python(code) == [""]


def test_our_own_plugins_have_no_problems():
    found = build((plugin, point.load) for plugin, point in plugins.discover() if plugin.distribution == plugins.OURS)
    assert found.problems == []
    assert {"core", "ncsnv2", "bm3d"} <= {plugin.name for plugin, _ in found.plugins}
    for registration in found.registrations:
        assert registration.card.summary
        assert registration.card.licence
