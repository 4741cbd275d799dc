"""Which model reads the studies: the one asked for, or the shipped one of their joint."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from orthodx.bundles.bundle import Bundle, open_bundle, shipped_names
from orthodx.errors import UsageError
from orthodx.joints import DEFAULT_JOINT, open_joint
from orthodx.studies.series import Series


def chosen_bundle(
    model: str | Path | None, joint: str | Path | None, series: Sequence[Series], note: Callable[[str], None]
) -> Bundle:
    """The bundle `model`; else `<joint>-small` of the joint asked for, of the one that the studies name, of the knee.

    note: told which one the studies chose. Raises `UsageError` where `model` is of another joint than `joint`, where
    none of the joint is shipped, and where the studies name several joints that have one.
    """
    asked = None if joint is None else open_joint(joint).name
    if model is not None:
        bundle = open_bundle(model)
        if asked is not None and bundle.info.joint.name != asked:
            raise UsageError(
                f"{bundle.info.name} is a model of the {bundle.info.joint.name}, not of the {asked}",
                hint="leave --joint or --model out",
            )
        return bundle
    shipped = shipped_names()
    if asked is not None:
        if _small(asked) not in shipped:
            raise UsageError(f"no model of the {asked} is shipped", hint="give --model BUNDLE")
        return open_bundle(_small(asked))
    named = sorted({name for one in series if _small(name := joint_named(one)) in shipped})
    if len(named) > 1:
        raise UsageError(
            f"the studies show {' and '.join(named)}", hint="give one joint's, or say --joint, or give --model"
        )
    chosen = named[0] if named else DEFAULT_JOINT.name
    if chosen != DEFAULT_JOINT.name:
        note(f"the studies show the {chosen}: read with {_small(chosen)}")
    return open_bundle(_small(chosen))


def joint_named(series: Series) -> str:
    """The joint that a series' manifest or DICOM names, in small letters; blank where none does."""
    return str(series.row.get("joint") or "").strip().casefold()


def other_joint(series: Sequence[Series], bundle: Bundle) -> list[str]:
    """A warning where series name another joint than the bundle's; a joint "my-knee" reads knees."""
    own = bundle.info.joint.name
    strange = sorted({joint_named(one) for one in series} - {"", own.casefold(), *re.split(r"[\W_]+", own.casefold())})
    return [f"shows the {' and the '.join(strange)}, and {bundle.info.name} reads the {own}"] if strange else []


def _small(joint: str) -> str:
    return f"{joint}-small"
