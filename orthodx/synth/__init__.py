"""Images of joints that nobody has: what every joint shares, and beside it one package a joint.

The module is the API's function too: `orthodx.synth("out")`.
"""

import sys
from inspect import Signature, signature
from types import ModuleType
from typing import Any


class _Synth(ModuleType):
    """A room that can be called, because command, room and function have one name."""

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        from orthodx.synth.make import synth

        return synth(*arguments, **more)

    @property
    def __signature__(self) -> Signature:
        from orthodx.synth.make import synth

        return signature(synth)


sys.modules[__name__].__class__ = _Synth
