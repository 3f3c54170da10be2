"""Plugins as they are found: in distributions on the path."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from snips import plugins
from snips.installed import EntryPoint
from snips.installed import entry_points as installed_points
from snips.plugins import build

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
