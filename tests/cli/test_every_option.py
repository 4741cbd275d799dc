"""Every option of every command is given by some test, on a command line of that very command."""

from functools import cache
from pathlib import Path

import pytest
import typer

from orthodx.cli.app import app

from .command_lines import Either, Source, leaves

TESTS = Path(__file__).parents[1]


@cache
def command_tree():
    """Command path -> its options, help among them."""
    tree, todo = {}, [((), typer.main.get_command(app))]
    helps = todo[0][1].context_settings["help_option_names"]
    for path, command in todo:
        names = {name for one in command.params for name in (*one.opts, *one.secondary_opts) if name[0] == "-"}
        tree[path] = {*helps, *names}
        todo += [((*path, name), one) for name, one in getattr(command, "commands", {}).items()]
    return tree


def given(line, path=()):
    """(command path, option) for each option of a command line that its command has."""
    tree = command_tree()
    if line and isinstance(line[0], Either):
        for piece in line[0].pieces:
            yield from given((*piece, *line[1:]), path)
    elif line and (*path, line[0]) in tree:
        yield from given(line[1:], (*path, line[0]))
    elif line and (isinstance(line[0], str) or not any(longer[:-1] == path for longer in tree)):
        names = {word.split("=")[0] for word in leaves(line) if isinstance(word, str)}
        yield from ((path, name) for name in names & tree[path])


def given_in(text):
    return {found for line in Source(text).lines() for found in given(line)}


def test_every_option_of_every_command_is_given_in_some_test():
    found = {one for path in TESTS.rglob("test_*.py") for one in given_in(path.read_text(encoding="utf-8"))}
    wanted = {(path, name) for path, names in command_tree().items() for name in names}
    assert {((), "--version"), (("synth",), "-n"), (("models", "pack"), "--licence")} <= wanted
    missing = sorted(" ".join(("orthodx", *path, name)) for path, name in wanted - found)
    assert not missing, "no test gives:\n" + "\n".join(missing)


HELPER = "def go(*words):\n    invoke(app, ['segment', *map(str, words)])\n"
FIXTURE = (
    "@pytest.fixture\ndef segment(x):\n    def go(*more):\n        invoke(app, ['segment', *more])\n    return go\n"
)
EACH = "@pytest.mark.parametrize(('more', 'code'), [((), 0), (('--view', 'axial'), 2)])\n"
COUNT = [
    "invoke(app, ['segment', str(x), '--view=axial'])",
    "subprocess.run([sys.executable, '-m', 'orthodx', 'segment', x, '--view', 'axial'])",
    "subprocess.run(['bash', '-c', f'{python} -m orthodx segment x --view axial | head'])",
    HELPER + "go('--view', 'axial')",
    HELPER + "SMALL = ('--view', 'axial')\ndef test_it():\n    go(x, *SMALL)",
    FIXTURE + EACH + "def test_it(segment, more, code):\n    segment(x, *more)",
    FIXTURE + "def test_it(segment):\n    for more in (('--view', 'axial'), ()):\n        segment(*more)",
]
DO_NOT_COUNT = [
    "# orthodx segment --view axial",
    "'python -m orthodx segment --view axial'",
    "line = ['segment', '--view', 'axial']",
    "invoke(app, ['diagnose', 'segment', '--view', 'axial'])",
    "subprocess.run(['bash', '-c', 'python -m orthodx segment x | grep --view'])",
    "def test_it(command):\n    invoke(app, [command, '--view', 'axial'])",
    HELPER + "go(x)\ninvoke(app, ['diagnose', '--view', 'axial'])",
    FIXTURE + EACH + "def test_it(segment, more, code):\n    segment(x)\n    diagnose(*more)",
]


@pytest.mark.parametrize(("text", "counts"), [(t, True) for t in COUNT] + [(t, False) for t in DO_NOT_COUNT])
def test_an_option_counts_in_a_call_of_its_command_and_nowhere_else(text, counts):
    assert ((("segment",), "--view") in given_in(text)) == counts
