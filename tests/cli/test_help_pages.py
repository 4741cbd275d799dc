"""Help pages, and what helps to type: an example that works, the page that tells more, names completed and guessed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from orthodx.bundles.bundle import open_bundle
from orthodx.cli.app import app
from orthodx.errors import BundleError

ROOT = Path(__file__).parents[2]


def commands(group, path=()):
    """Words of every command below a group -> the command, groups of commands too."""
    for name, one in group.commands.items():
        yield (*path, name), one
        if hasattr(one, "commands"):
            yield from commands(one, (*path, name))


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_each_help_page_ends_with_an_example_that_is_understood_and_a_page_that_is_there(words):
    text = CliRunner().invoke(app, [*words, "--help"]).output
    example = re.search(r"Example: orthodx (.*?)\n\s*\n", text, re.DOTALL)[1]
    assert (ROOT / re.search(r"More: (docs/\S+\.md)", text)[1]).is_file()
    given = shlex.split(example)
    assert tuple(given[: len(words)]) == words
    command = ALL[tuple(given[:2])] if tuple(given[:2]) in ALL else ALL[tuple(given[:1])]
    rest = given[2:] if tuple(given[:2]) in ALL else given[1:]
    command.make_context(given[0], rest)  # raises for an option that is not there


@pytest.mark.parametrize("words", ["--help", "segment --help", "models list"])
def test_a_reader_that_leaves_early_makes_no_error(words):
    line = f"set -o pipefail; {shlex.quote(sys.executable)} -m orthodx {words} | head -n 2"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, env=os.environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("typed", "place", "found"),
    [("orthodx seg", 1, ["segment"]), ("orthodx models ver", 2, ["verify"]), ("orthodx segment --mod", 2, ["--model"])],
)
def test_tab_completes_commands_and_options(typed, place, found):
    asked = {**os.environ, "COMP_WORDS": typed, "COMP_CWORD": str(place), "_ORTHODX_COMPLETE": "complete_bash"}
    main = "import sys; sys.argv[0] = 'orthodx'; from orthodx.cli.app import main; main()"
    done = subprocess.run([sys.executable, "-c", main], capture_output=True, text=True, timeout=120, env=asked)
    assert done.stdout.split() == found


def test_completion_is_typers_own(tmp_path):
    bash = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    told = {"capture_output": True, "text": True, "timeout": 120, "env": bash}
    shown = subprocess.run([sys.executable, "-m", "orthodx", "--show-completion", "bash"], **told)
    assert (shown.returncode, "complete_bash" in shown.stdout) == (0, True), shown.stderr
    done = subprocess.run([sys.executable, "-m", "orthodx", "--install-completion", "bash"], **told)
    assert done.returncode == 0, done.stderr
    assert "complete_bash" in "".join(path.read_text() for path in (tmp_path / ".bash_completions").iterdir())


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("kneesmall", "knee-small"), ("Knee-Small", "knee-small"), ("knee-small-pretraind", "knee-small-pretrained")],
)
def test_a_model_that_is_nearly_there_is_guessed(typed, meant):
    with pytest.raises(BundleError) as caught:
        open_bundle(typed)
    assert caught.value.hint.startswith(f"did you mean '{meant}'? shipped: ")


def test_a_model_that_is_like_none_is_not_guessed():
    with pytest.raises(BundleError) as caught:
        open_bundle("elbow")
    assert caught.value.hint.startswith("shipped: ")
