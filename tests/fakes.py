"""Plugins made up on the spot, and a registry of them."""

from __future__ import annotations

import types

import snips
from snips.plugins import Plugin, build


def card(name, kind=snips.DenoiserCard, **more):
    return kind(name, f"the {name}", **more)


def offers(*names, kind="denoisers", load=object):
    """A plugin module that registers these."""
    cards = {"denoisers": snips.DenoiserCard, "samplers": snips.SamplerCard, "tasks": snips.TaskCard}

    def hook(register):
        for name in names:
            register(card(name, cards[kind]), load)

    return module(**{f"register_{kind}": snips.hookimpl(hook)})


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
