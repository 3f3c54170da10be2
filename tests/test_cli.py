"""The command `snips` around its main job: it starts without torch, lists, describes, and says errors in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest
from click.testing import CliRunner, Result

from snips.plugins import registry
from snips_cli.main import main


def snips(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def in_a_process(*words: str, after: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """`snips words` in a new interpreter, then more Python."""
    program = f"""
import sys
from snips_cli.main import main
try:
    main({list(words)!r})
except SystemExit as end:
    code = end.code
{after}
sys.exit(code)
"""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | environment, check=False
    )


LIGHT = [["--help"], ["--version"], ["denoisers"], ["samplers", "--json"], ["tasks"], ["plugins"], ["run", "--help"]]


@pytest.mark.parametrize("words", [*LIGHT, ["describe", "langevin"], ["run", "--sigma", "25"]], ids=" ".join)
def test_starts_without_torch(words):
    heavy = {"torch", "numpy", "rich", "PIL", "skimage", "scipy"}
    done = in_a_process(*words, after=f"print('HEAVY', sorted({heavy!r} & set(sys.modules)), file=sys.stderr)")
    assert done.stderr.splitlines()[-1] == "HEAVY []"


def test_help_names_every_command():
    out = snips("--help").output
    for command in ("run", "denoisers", "samplers", "tasks", "describe", "check", "plugins", "doctor"):
        assert f"\n  {command} " in out


def test_lists():
    out = snips("denoisers").output
    assert "gaussian-field" in out
    assert "gaussian-mixture" in out
    assert [line.split()[0] for line in snips("denoisers", "gaussian-m*").output.splitlines()] == ["gaussian-mixture"]
    assert "\nlangevin " in snips("samplers").output
    assert {line.split()[0] for line in snips("tasks").output.splitlines()} >= {"denoise", "inpaint"}
    assert {line.split()[0] for line in snips("trainables").output.splitlines()} >= {"drunet-small", "ncsnv2"}


def test_lists_as_json():
    cards = {card["name"]: card for card in json.loads(snips("denoisers", "--json").output)}
    assert cards["gaussian-field"]["noise_levels"] == {"low": 0, "high": None, "only": [], "blind": False}
    assert cards["gaussian-field"]["plugin"] == "core"
    (inpaint,) = json.loads(snips("tasks", "inp*", "--json").output)
    assert inpaint["required"] == ["mask"]
    assert json.loads(snips("samplers", "no-such", "--json").stdout) == []


def test_whatever_there_is_can_be_described():
    for name in {registration.card.name for registration in registry().registrations}:
        result = snips("describe", name)
        assert (result.exit_code, name in result.stdout) == (0, True), name


def test_describe():
    out = snips("describe", "langevin").output
    assert "epsilon" in out
    assert "Kawar" in out
    assert "celeba" in out
    (card,) = json.loads(snips("describe", "snips-toolkit:gaussian-field", "--json").output)
    assert [option["name"] for option in card["options"]] == ["mean", "std", "power"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["describe", "langevni"], 2, "did you mean langevin?"),
        (["describe", "xyz"], 2, "nothing is called xyz"),
        (["check", "xyz"], 2, "nothing is called xyz"),
        (["check", "denoise"], 2, "nothing to check"),
        (["check", "gaussian-field", "-d", "men=1"], 2, "did you mean mean?"),
        (["rum"], 2, "No such command"),
        (["run", "--samples", "0"], 2, "--samples"),
        (["run", "--smaples", "1"], 2, "--samples"),
        (["run", "-d", "mean"], 2, "key=value"),
        (["run", "-d", "=1"], 2, "key=value"),
        (["--no-such"], 2, "--no-such"),
    ],
)
def test_wrong_usage_is_one_line(words, code, says):
    result = snips(*words)
    assert result.exit_code == code
    assert says in result.stderr
    assert result.stderr.startswith("snips: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_verbose_adds_the_trace():
    result = snips("describe", "xyz", "-v")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("snips: nothing is called xyz")


def test_a_bug_shows_its_trace(monkeypatch):
    monkeypatch.setattr("snips.plugins.registry", lambda: 1 / 0)
    result = snips("denoisers")
    assert isinstance(result.exception, ZeroDivisionError)


def test_doctor():
    result = snips("doctor")
    for word in ("torch", "python", "cpu", "bm3d", "gaussian-field"):
        assert word in result.output
    assert result.exit_code in (0, 1)


def test_check_passes_a_right_denoiser():
    result = snips("check", "gaussian-field", "-d", "power=2")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert any(line.startswith("passed") and "check_keeps_shape" in line for line in lines)
    assert lines[-1].startswith(f"{len(lines) - 1} passed") or "skipped" in lines[-1]


def test_check_fails_a_wrong_denoiser(monkeypatch):
    monkeypatch.setattr("snips.analytic.PowerLawField.denoise", lambda self, x, sigma: x.clamp(0, 1))
    result = snips("check", "gaussian-field")
    assert result.exit_code == 1
    assert any(line.startswith("failed") for line in result.stdout.splitlines())


@pytest.fixture
def plugin(tmp_path):
    """Installs a plugin in a folder that a new interpreter finds: its name and its source."""

    def install(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        about = tmp_path / f"{name}-1.2.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (about / "entry_points.txt").write_text(f"[snips]\n{name} = {name}\n")
        return str(tmp_path)

    return install


HELLO = """
    import click, snips

    @snips.hookimpl
    def register_commands(group):
        @group.command()
        def hello():
            "Say hello."
            click.echo("hello from outside")
        @group.command("run")
        def taken():
            click.echo("not the real one")
"""


def test_a_plugin_adds_a_command_and_takes_none(plugin):
    path = plugin("polite", HELLO)
    assert in_a_process("hello", PYTHONPATH=path).stdout == "hello from outside\n"
    listed = in_a_process("--help", PYTHONPATH=path).stdout
    assert "Say hello." in listed
    assert "Sample what a picture may have been." in listed
    assert "Sample what" in in_a_process("run", "--help", PYTHONPATH=path).stdout
    assert "polite" in in_a_process("plugins", PYTHONPATH=path).stdout


def test_a_failing_plugin_hurts_nothing_and_is_named(plugin):
    path = plugin(
        "rude",
        """
        import snips

        @snips.hookimpl
        def register_denoisers(register):
            raise RuntimeError("no denoisers today")

        @snips.hookimpl
        def register_commands(group):
            raise RuntimeError("no commands either")
        """,
    )
    listing = in_a_process("denoisers", PYTHONPATH=path)
    assert listing.returncode == 0
    assert "gaussian-field" in listing.stdout
    assert "rude 1.2" in listing.stderr
    assert "no denoisers today" in listing.stderr
    assert in_a_process("--help", PYTHONPATH=path).returncode == 0
    problems = in_a_process("plugins", "--problems", PYTHONPATH=path)
    assert problems.returncode == 1
    assert "no denoisers today" in problems.stdout
    assert "no commands either" in problems.stdout
    assert in_a_process("plugins", "--problems", PYTHONPATH=path, SNIPS_PLUGINS="core").returncode == 0
    assert "RuntimeError" in in_a_process("denoisers", PYTHONPATH=path, SNIPS_DEBUG="1").stderr
