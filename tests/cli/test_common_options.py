"""Options that mean the same in every command: help, version, tracebacks."""

from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app

COMMANDS = [
    (), ("convert",), ("segment",), ("diagnose",), ("evaluate",), ("followup",), ("synth",), ("pretrain",),
    ("finetune",), ("transfer",), ("models",), ("models", "list"),
    ("models", "show"), ("models", "verify"), ("models", "import"), ("models", "pack"),
]  # fmt: skip


def orthodx(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_by_its_long_and_its_short_name(command):
    long, short = CliRunner().invoke(app, [*command, "--help"]), CliRunner().invoke(app, [*command, "-h"])
    assert (long.exit_code, short.exit_code) == (0, 0)
    assert short.output == long.output
    assert " ".join(("Usage: orthodx", *command, "")) in long.output.replace("root", "orthodx")


def test_the_version_is_that_of_the_package():
    assert orthodx("--version").output == f"orthodx {version('orthodx')}\n"


@pytest.mark.parametrize(
    "line",
    [
        ("convert", "absent", "--out", "o"),
        ("segment", "absent", "--out", "o"),
        ("diagnose", "absent", "--out", "o.csv"),
        ("evaluate", "--labels", "absent.csv"),
        ("followup", "--masks", "absent", "--out", "o"),
        ("synth", "o", "--joint", "elbow"),
        ("pretrain", "absent", "--view", "axial", "--out", "o"),
        ("finetune", "absent", "--out", "o"),
        ("transfer", "absent", "--from", "knee-small", "--joint", "ankle", "--out", "o"),
        ("models", "show", "absent"),
        ("models", "verify", "absent"),
        ("models", "import", "axial=absent.pt", "--out", "o"),
        ("models", "pack", "absent", "--out", "o"),
    ],
)
def test_a_traceback_is_shown_on_request_only(line, tmp_path, monkeypatch):
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))
    told = []
    for name, more in (("plain", ()), ("debug", ("--debug",))):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        told.append(CliRunner().invoke(app, [*line, *more]))
    plain, debug = told
    assert plain.exit_code == debug.exit_code
    assert plain.exit_code in (2, 3)
    assert "Traceback" not in plain.stderr
    assert "Traceback (most recent call last)" in debug.stderr
    assert debug.stderr.splitlines()[-1] == plain.stderr.splitlines()[-1]


def test_a_broken_list_of_models_is_shown_with_its_traceback_on_request_only(tmp_path, monkeypatch):
    monkeypatch.setattr("orthodx.bundles.bundle.SHIPPED", tmp_path)
    (tmp_path / "half").mkdir()
    (tmp_path / "half/model.json").write_text("{")
    plain, debug = orthodx("models", "list"), orthodx("models", "list", "--debug")
    assert plain.exit_code == debug.exit_code == 2
    assert "Traceback" in debug.stderr
    assert "Traceback" not in plain.stderr
