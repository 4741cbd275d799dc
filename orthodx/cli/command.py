"""A command line made from a request: its fields are the options, its defaults theirs; a command adds words only."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from orthodx.cli import exits
from orthodx.cli.options import Debug, Json, Quiet, Voice
from orthodx.requests import Request

COMMON = {"quiet": Quiet, "json": Json, "debug": Debug}
Words = Mapping[str, Any]  # field -> its typer.Option or typer.Argument


@dataclass(frozen=True)
class Given:
    """A request as it was typed, and how to speak."""

    request: Any
    voice: Voice
    json: bool


def command(request: type[Request], words: Words) -> Callable[[Callable[[Given], None]], Callable[..., None]]:
    """Decorator: `run(given)` becomes a typer command with an option for each of `words`.

    words: in the order of the help page; fields that are not named keep their defaults.
    """

    def wrap(run: Callable[[Given], None]) -> Callable[..., None]:
        def entry(**values: Any) -> None:
            quiet, json, debug = (values.pop(name) for name in COMMON)
            with exits.handled(debug):
                asked = {name: value for name, value in values.items() if value is not None}
                run(Given(request(**asked), Voice(quiet, json), json))

        entry.__doc__ = run.__doc__
        entry.__name__ = run.__name__
        entry.__module__ = run.__module__
        common = [_parameter(name, bool, get_args(kind)[1], False) for name, kind in COMMON.items()]
        entry.__signature__ = inspect.Signature([*_parameters(request, words), *common])  # type: ignore[attr-defined]
        entry.__annotations__ = {}
        return entry

    return wrap


def _parameters(request: type[Request], words: Words) -> list[inspect.Parameter]:
    hints, known = get_type_hints(request), {f.name: f for f in fields(request)}
    if strangers := words.keys() - known.keys():
        raise TypeError(f"{request.__name__} has no {', '.join(sorted(strangers))}")
    return [_parameter(name, *_typed(hints[name], info, known[name].default)) for name, info in words.items()]


def _parameter(name: str, kind: Any, info: Any, default: Any) -> inspect.Parameter:
    required = {} if default is MISSING else {"default": default}
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, info], **required)


def _typed(hint: Any, info: Any, default: Any) -> tuple[Any, Any, Any]:
    """What typer can parse: a tuple of any length is a list, a choice of text and path is text."""
    if get_origin(hint) is tuple and get_args(hint)[-1] is Ellipsis:
        (item, _) = get_args(hint)
        item = str if item in (int, float) else item  # "0.1,0.25,1" is parted by a callback, and read by the request
        return list[item], info, (MISSING if default is MISSING else list(default) or None)  # type: ignore[valid-type]
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [k for k in get_args(hint) if k is not types.NoneType]
        kind = str if set(kinds) == {str, Path} else kinds[0]
        return (kind | None if types.NoneType in get_args(hint) else kind), info, default
    return hint, info, default
