"""The door: finds the plugins, asks each what it has, and keeps what one does wrong from hurting the others."""

from __future__ import annotations

import fnmatch
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pluggy

from snips import hookspecs
from snips.cards import Card, DenoiserCard, SamplerCard, TaskCard, TrainableCard
from snips.errors import MissingExtra, PluginError, SnipsError, SnipsWarning, UnknownName, did_you_mean
from snips.installed import GROUP, EntryPoint, entry_points

if TYPE_CHECKING:
    import click
    import torch

    from snips.interfaces import MMSEDenoiser, PosteriorSampler
    from snips.tasks import Task
    from snips.training.trainable import Trainable

OURS = "snips-toolkit"
KINDS: dict[str, type[Card]] = {
    "denoiser": DenoiserCard,
    "sampler": SamplerCard,
    "task": TaskCard,
    "trainable": TrainableCard,
}


@dataclass(frozen=True)
class Plugin:
    """Where parts come from: an entry point of an installed distribution."""

    name: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


@dataclass(frozen=True, eq=False)
class Problem:
    """What went wrong with a plugin, at which stage, and what to type."""

    plugin: Plugin
    stage: str
    error: str
    remedy: str
    names: tuple[str, ...] = ()
    """Names that the plugin advertised and that are missing because of this."""

    def __str__(self) -> str:
        return f"plugin {self.plugin} failed at {self.stage}: {self.error}; {self.remedy}"


@dataclass(frozen=True, eq=False)
class Registration:
    card: Card
    load: Callable[..., Any]
    plugin: Plugin

    @property
    def full_name(self) -> str:
        return f"{self.plugin.distribution}:{self.card.name}"


class Registry:
    """All parts of all plugins, in order of precedence: our own first, then by distribution and name."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self.manager = manager
        self.plugins: list[tuple[Plugin, Any]] = []
        self.registrations: list[Registration] = []
        self.problems: list[Problem] = []

    def of_kind(self, kind: str, pattern: str = "*") -> list[Registration]:
        """Those of a kind whose name matches; of two equal names only the first."""
        first = {r.card.name: r for r in reversed(self.registrations) if r.card.kind == kind}
        return [r for name, r in sorted(first.items()) if fnmatch.fnmatch(name, pattern)]

    def find(self, kind: str, name: str) -> Registration:
        """By `name` or `distribution:name`. Raises UnknownName, or PluginError if a broken plugin advertised it."""
        found = [r for r in self.registrations if r.card.kind == kind and name in (r.card.name, r.full_name)]
        others = [r.full_name for r in found if r.full_name != found[0].full_name]
        if others:
            text = f"{kind} {name}: taking {found[0].full_name}, not {', '.join(others)}"
            warnings.warn(text, SnipsWarning, stacklevel=3)
        if found:
            return found[0]
        for problem in self.problems:
            if name in (problem.plugin.name, *problem.names):
                raise PluginError(f"no {kind} {name}: {problem}")
        names = [r.card.name for r in self.of_kind(kind)]
        hint = did_you_mean(name, names) or f"there are {', '.join(names) or 'none'}"
        raise UnknownName(f"unknown {kind} {name}; {hint} (`snips {kind}s` lists them)")

    def add_commands(self, group: click.Group) -> None:
        """Let every plugin add its commands to `snips`."""
        for plugin, module in self.plugins:
            self._call(plugin, module, "register_commands", group=group)

    def _call(self, plugin: Plugin, module: Any, hook: str, **arguments: Any) -> bool:
        others = [m for _, m in self.plugins if m is not module]
        return self._guard(plugin, hook, lambda: self.manager.subset_hook_caller(hook, others)(**arguments))

    def _guard(self, plugin: Plugin, stage: str, action: Callable[[], Any]) -> bool:
        """Do it; on failure list a problem instead of letting it through."""
        try:
            action()
        except (Exception, SystemExit) as error:
            if os.environ.get("SNIPS_DEBUG") == "1":
                raise
            remedy = f"`pip install -U {plugin.distribution}` or leave it out with SNIPS_PLUGINS; SNIPS_DEBUG=1 raises"
            self.problems.append(Problem(plugin, stage, in_one_line(error), remedy))
            return False
        return True

    def _add(self, plugin: Plugin, load_module: Callable[[], Any]) -> None:
        loaded: list[Any] = []
        if not self._guard(plugin, "load", lambda: loaded.append(load_module())):
            return
        module = loaded[0]
        if not self._guard(plugin, "hook signatures", lambda: self._declare(plugin, module)):
            return
        for kind, card_type in KINDS.items():
            pending: list[Registration] = []
            hook = f"register_{kind}s"
            if self._call(plugin, module, hook, register=_collector(pending, plugin, card_type)):
                self._keep(pending)
            else:
                self.problems[-1] = _naming(self.problems[-1], pending)

    def _declare(self, plugin: Plugin, module: Any) -> None:
        for other, known in self.plugins:
            if known is module:
                raise PluginError(f"its module is that of plugin {other} already; one entry point is enough")
        name = f"{plugin.distribution}:{plugin.name}"
        try:
            self.manager.register(module, name=name)
            self.manager.check_pending()
        except Exception:
            if self.manager.get_plugin(name) is module:
                self.manager.unregister(module)
            raise
        self.plugins.append((plugin, module))

    def _keep(self, pending: list[Registration]) -> None:
        for new in pending:
            for old in self.registrations:
                if (old.card.kind, old.card.name) == (new.card.kind, new.card.name):
                    error = f"{new.card.kind} {new.card.name} is also offered by {old.full_name}, which comes first"
                    apart = new.full_name != old.full_name
                    remedy = f"say {new.full_name} for this one" if apart else "one of them needs another name"
                    self.problems.append(Problem(new.plugin, "name clash", error, remedy))
                    break
        self.registrations += pending


def in_one_line(error: BaseException) -> str:
    """Its kind and first line; all lines of pluggy's, of which the first names the hook and the last the argument."""
    lines = str(error).splitlines()
    said = " ".join(lines) if isinstance(error, pluggy.PluginValidationError) else "".join(lines[:1])
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _naming(problem: Problem, pending: Iterable[Registration]) -> Problem:
    names = tuple(r.card.name for r in pending)
    return Problem(problem.plugin, problem.stage, problem.error, problem.remedy, names)


def _collector(into: list[Registration], plugin: Plugin, card_type: type[Card]) -> Callable[[Any, Any], None]:
    def register(card: Any, load: Any) -> None:
        if not isinstance(card, card_type):
            raise PluginError(f"expected a {card_type.__name__}, got {type(card).__name__}")
        if not callable(load):
            raise PluginError(f"the load of {card.name} is not callable")
        if not re.fullmatch(r"[\w.-]+", card.name):
            raise PluginError(f"a name is letters, digits, '-', '_' and '.', not {card.name!r}")
        if any(known.card.name == card.name for known in into):
            raise PluginError(f"{card.kind} {card.name} is registered twice")
        into.append(Registration(card, load, plugin))

    return register


def discover() -> Iterator[tuple[Plugin, EntryPoint]]:
    """Installed plugins that SNIPS_PLUGINS (names, comma-separated; unset: all) lets in, in order of precedence."""
    wanted = os.environ.get("SNIPS_PLUGINS")
    names = None if wanted is None else {name.strip() for name in wanted.split(",")}
    found = [
        (Plugin(point.name, point.distribution, point.version), point)
        for point in entry_points()
        if names is None or point.name in names
    ]
    return iter(sorted(found, key=lambda item: (item[0].distribution != OURS, item[0].distribution, item[0].name)))


def build(plugins: Iterable[tuple[Plugin, Callable[[], Any]]]) -> Registry:
    """A registry of these plugins, each with what loads its module."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    registry = Registry(manager)
    for plugin, load_module in plugins:
        registry._add(plugin, load_module)
    return registry


@cache
def registry() -> Registry:
    """The registry of this process."""
    return build((plugin, point.load) for plugin, point in discover())


def denoisers(pattern: str = "*") -> list[DenoiserCard]:
    """The cards of all denoisers whose name matches a glob pattern, by name."""
    return [r.card for r in registry().of_kind("denoiser", pattern) if isinstance(r.card, DenoiserCard)]


def samplers(pattern: str = "*") -> list[SamplerCard]:
    """The cards of all samplers whose name matches a glob pattern, by name."""
    return [r.card for r in registry().of_kind("sampler", pattern) if isinstance(r.card, SamplerCard)]


def tasks(pattern: str = "*") -> list[TaskCard]:
    """The cards of all tasks whose name matches a glob pattern, by name."""
    return [r.card for r in registry().of_kind("task", pattern) if isinstance(r.card, TaskCard)]


def trainables(pattern: str = "*") -> list[TrainableCard]:
    """The cards of all trainables whose name matches a glob pattern, by name."""
    return [r.card for r in registry().of_kind("trainable", pattern) if isinstance(r.card, TrainableCard)]


def best_sampler(task: str) -> str:
    """The first sampler on a task's list that is there. Raises UnknownName for an unknown task, or if none is."""
    card = registry().find("task", task).card
    assert isinstance(card, TaskCard)
    for registration in (r for name in card.samplers for r in registry().of_kind("sampler", name)):
        return registration.card.name
    raise UnknownName(f"no sampler is known to be best for task {task}; name one (`snips samplers` lists them)")


def load_denoiser(name: str, device: str | torch.device = "cpu", **options: Any) -> MMSEDenoiser:
    """The denoiser of this name (or `distribution:name`), on a device, with the options of its card.

    Raises UnknownName, OptionError, DeviceError, MissingExtra, WeightsError, or PluginError when the plugin is broken.
    """
    from snips.devices import resolve_device

    registration = registry().find("denoiser", name)
    where = resolve_device(device)
    return _load(registration, options, ("noise_levels", "denoise"), device=where)  # type: ignore[no-any-return]


def load_sampler(name: str, **options: Any) -> PosteriorSampler:
    """The sampler of this name, with the options of its card. Raises as `load_denoiser`."""
    return _load(registry().find("sampler", name), options, ("plan", "init", "step"))  # type: ignore[no-any-return]


def load_task(name: str, **options: Any) -> Task:
    """The task of this name, with the options of its card. Raises as `load_denoiser`."""
    return _load(registry().find("task", name), options, ("operator",))  # type: ignore[no-any-return]


def load_trainable(name: str, **options: Any) -> Trainable:
    """The trainable of this name, its weights drawn from torch's global generator. Raises as `load_denoiser`."""
    needs = ("network", "answer", "channels", "noise_levels")
    return _load(registry().find("trainable", name), options, needs)  # type: ignore[no-any-return]


def _load(registration: Registration, options: dict[str, Any], needs: tuple[str, ...], **fixed: Any) -> Any:
    """The part, which must have the attributes it `needs`."""
    card, plugin = registration.card, registration.plugin
    parsed = card.parse(options)
    try:
        part = registration.load(**fixed, **parsed)
    except SnipsError:
        raise
    except (Exception, SystemExit) as error:
        if os.environ.get("SNIPS_DEBUG") == "1":
            raise
        extra = getattr(card, "extra", "")
        if isinstance(error, ImportError) and extra:
            licence = f" (licence: {card.licence})" if card.licence else ""
            command = f"pip install '{plugin.distribution}[{extra}]'"
            raise MissingExtra(f"{card.kind} {card.name} needs {error.name or error}: {command}{licence}") from error
        raise PluginError(
            f"{card.kind} {card.name} of plugin {plugin} did not load: {in_one_line(error)}; SNIPS_DEBUG=1 raises"
        ) from error
    lacking = [name for name in needs if not hasattr(part, name)]
    if lacking:
        raise PluginError(
            f"{card.kind} {card.name} of plugin {plugin} lacks {', '.join(lacking)}; `load` returns the part"
        )
    return part
