"""The command lines that a test file runs, read from its source without running it.

A command line is what a call hands to the app (`invoke(app, [...])`), to `python -m orthodx`, or to a function or
fixture that does so. Words are followed through names, loops, parametrizations, `*arguments` and `map(str, ...)`; what
cannot be followed is left unknown.
"""

import ast
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any

Line = tuple[Any, ...]  # the words of a command line: str, None where unknown, Either, Hole
Scopes = tuple[ast.AST, ...]  # innermost first; the last one is the module


@dataclass(frozen=True)
class Either:
    """One of several pieces of a command line."""

    pieces: tuple[Line, ...]


@dataclass(frozen=True)
class Hole:
    """What the caller of a function gives as its argument `name` (or `*name`)."""

    function: ast.AST
    name: str


@cache
def inside(scope: ast.AST) -> tuple[ast.AST, ...]:
    """The nodes of a module or function; of functions in it only themselves."""
    children = tuple(ast.iter_child_nodes(scope))
    return children + tuple(n for one in children if not isinstance(one, ast.FunctionDef) for n in inside(one))


def leaves(line: Line) -> Iterator[Any]:
    """All words that can stand in a line."""
    for word in line:
        if isinstance(word, Either):
            yield from (one for piece in word.pieces for one in leaves(piece))
        else:
            yield word


def open_to(line: Line) -> set[ast.AST]:
    """The functions whose callers give a part of the line."""
    return {one.function for one in leaves(line) if isinstance(one, Hole)}


def of_pytest(function: ast.FunctionDef) -> bool:
    """Whether a function is a test or a fixture, whose arguments are pytest's."""
    return function.name.startswith("test_") or any("fixture" in ast.unparse(one) for one in function.decorator_list)


class Source:
    """One test file, and the command lines that its calls run."""

    def __init__(self, text: str) -> None:
        self.module, self.busy = ast.parse(text), set[int]()

    def lines(self) -> Iterator[Line]:
        """Every whole command line, from the word after `orthodx` on."""
        for call, scopes in self.calls(self.module, (self.module,)):
            yield from (line for line in self.run_by(call, scopes) if not open_to(line))

    def calls(self, scope: ast.AST, scopes: Scopes) -> Iterator[tuple[ast.Call, Scopes]]:
        for node in inside(scope):
            if isinstance(node, ast.Call):
                yield node, scopes
            elif isinstance(node, ast.FunctionDef):
                yield from self.calls(node, (node, *scopes))

    def run_by(self, call: ast.Call, scopes: Scopes) -> Iterator[Line]:
        """The command lines that one call runs, with a Hole for what callers of the functions around it give."""
        match call.args:
            case [ast.Name(id="app"), line, *_]:
                yield self.words(line, scopes)
            case [ast.Name() | ast.List() as line, *_]:
                yield from after_orthodx(self.words(line, scopes))
        function, around = self.function(call.func, scopes)
        if function is not None and id(function) not in self.busy:
            self.busy.add(id(function))
            for inner in inside(function):
                if isinstance(inner, ast.Call):
                    for line in self.run_by(inner, (function, *around)):
                        if function in open_to(line):
                            yield self.filled(line, function, call, scopes)
            self.busy.discard(id(function))

    def function(self, name: ast.expr, scopes: Scopes) -> tuple[ast.FunctionDef | None, Scopes]:
        """The function of this file called `name`, or the one that a fixture of this name returns; its scopes."""
        for i, scope in enumerate(scopes):
            for node in inside(scope):
                if isinstance(name, ast.Name) and isinstance(node, ast.FunctionDef) and node.name == name.id:
                    if not of_pytest(node):
                        return node, scopes[i:]
                    given = [n.value for n in inside(node) if isinstance(n, ast.Return) and n.value]
                    return self.function(given[0], (node, *scopes[i:])) if given else (None, ())
        return None, ()

    def filled(self, line: Line, function: ast.FunctionDef, call: ast.Call, scopes: Scopes) -> Line:
        """The line with what `call` gives in place of the function's holes."""
        names, rest = [a.arg for a in function.args.args], function.args.vararg
        given: dict[str, ast.expr] = dict(zip(names, call.args, strict=False))
        given |= {k.arg: k.value for k in call.keywords if k.arg}
        if rest is not None:
            given[rest.arg] = ast.Tuple(call.args[len(names) :])

        def fill(words: Line) -> Iterator[Any]:
            for word in words:
                if isinstance(word, Either):
                    yield Either(tuple(tuple(fill(piece)) for piece in word.pieces))
                elif isinstance(word, Hole) and word.function is function:
                    yield from self.words(given[word.name], scopes) if word.name in given else (None,)
                else:
                    yield word

        return tuple(fill(line))

    def words(self, node: ast.expr, scopes: Scopes) -> Line:
        """What an expression adds to a command line."""
        match node:
            case ast.Constant(value=str(word)):
                return (word,)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return tuple(word for item in items for word in self.words(item, scopes))
            case (
                ast.Starred(value=items)
                | ast.Call(func=ast.Name(id="map" | "list" | "tuple" | "str"), args=[*_, items])
                | ast.ListComp(elt=ast.Call(func=ast.Name(id="str")), generators=[ast.comprehension(iter=items)])
            ):
                return self.words(items, scopes)
            case ast.JoinedStr(values=parts):
                return ("".join(part.value if isinstance(part, ast.Constant) else "?" for part in parts),)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.words(left, scopes) + self.words(right, scopes)
            case ast.Name(id=name) if id(node) not in self.busy:
                self.busy.add(id(node))
                pieces = self.bound(name, scopes)
                self.busy.discard(id(node))
                return pieces[0] if len(pieces) == 1 else (Either(tuple(pieces)),)
        return (None,)

    def bound(self, name: str, scopes: Scopes) -> list[Line]:
        """What a name can stand for: all that is assigned to it in the innermost scope that knows it."""
        for i, scope in enumerate(scopes):
            values: list[ast.expr] = []
            for node in inside(scope):
                match node:
                    case ast.Assign(targets=[target], value=value):
                        values += part_of(target, value, name)
                    case ast.For(target=target, iter=items):
                        values += [one for item in self.items(items, scopes) for one in part_of(target, item, name)]
                    case ast.Call(
                        func=ast.Attribute(attr="parametrize"), args=[ast.Constant() | ast.Tuple() as names, items]
                    ):
                        target = ast.parse(str(ast.literal_eval(names)).replace("'", ""), mode="eval").body
                        values += [one for item in self.items(items, scopes) for one in part_of(target, item, name)]
            pieces = [self.words(value, scopes[i:]) for value in values]
            if not pieces and isinstance(scope, ast.FunctionDef) and not of_pytest(scope):
                own = [*scope.args.args, *scope.args.kwonlyargs, *filter(None, [scope.args.vararg])]
                pieces = [(Hole(scope, name),) for argument in own if argument.arg == name]
            if pieces:
                return pieces
        return [(None,)]

    def items(self, node: ast.expr, scopes: Scopes) -> list[ast.expr]:
        """The items of a list or tuple, written here or under a name."""
        if isinstance(node, ast.Name):
            known = (n for scope in scopes for n in inside(scope) if isinstance(n, ast.Assign))
            given = [value for n in known for value in part_of(n.targets[0], n.value, node.id)]
            return [item for value in given for item in getattr(value, "elts", [])]
        return getattr(node, "elts", [])


def part_of(target: ast.expr, value: ast.expr, name: str) -> Iterator[ast.expr]:
    """What `name` becomes in `target = value`."""
    match target, value:
        case ast.Name(id=found), _ if found == name:
            yield value
        case ast.Tuple(elts=targets), ast.Tuple(elts=values):
            for one, its in zip(targets, values, strict=False):
                yield from part_of(one, its, name)


def after_orthodx(line: Line) -> Iterator[Line]:
    """The command line in `python -m orthodx ...`, as words or as one string of a shell."""
    for i, word in enumerate(line):
        if word == "orthodx" and i and line[i - 1] == "-m":
            yield line[i + 1 :]
        elif isinstance(word, str) and "-m orthodx " in word:
            yield tuple(takewhile(lambda one: one not in "|;&&", shlex.split(word.split("-m orthodx ")[1])))
