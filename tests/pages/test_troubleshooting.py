"""Each line that docs/troubleshooting.md quotes is one that the program says, with the exit code of its kind."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = re.findall(
    r"^\| `(.+?)` \| (\d+) \|", (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE
)
CODES = {"UsageError": {2}, "BundleError": {2}, "NoInputError": {3}, "StudyError": {3, 8}}  # of a table, of a case
CHANGES = "{}"


def text_of(node):
    """The fixed words of a message, `{}` where it changes; None for what is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(one.value if isinstance(one, ast.Constant) else CHANGES for one in node.values)
    return None


@cache
def messages():
    """(fixed signs, pattern, exit codes) of every text in the program; no codes where it is raised with no error."""
    found = []
    for path in sorted((ROOT / "orthodx").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        raised = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Name):
                raised[id(node.args[0])] = CODES.get(node.func.id, set())
        for node in ast.walk(tree):
            text = text_of(node)
            if text and "\n" not in text and (fixed := len(text.replace(CHANGES, ""))) > 6:
                pattern = re.compile(".+".join(map(re.escape, text.split(CHANGES))))
                found.append((fixed, pattern, raised.get(id(node), set())))
    return found


def kinds_of(line):
    """The exit codes of each message that can be the line, most of which is fixed in it."""
    told = 0.8 * len(line.replace("…", ""))
    return [codes for fixed, pattern, codes in messages() if fixed >= told and pattern.fullmatch(line)]


@pytest.mark.parametrize(("line", "code"), LINES)
def test_a_line_on_the_page_is_said_with_this_exit_code(line, code):
    kinds = kinds_of(line)
    assert kinds, "no message of the program reads like this"
    known = set().union(*kinds)
    assert not known or int(code) in known


def test_a_line_that_nobody_says_is_not_found():
    lines = ("… already holds a result", "no MR series at …", "the gadget '…' is not there")
    assert not [line for line in lines if kinds_of(line)]


def test_the_page_has_many_lines_each_once():
    assert len({line for line, _ in LINES}) == len(LINES) > 60
