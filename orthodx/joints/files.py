"""A user's own joint: a TOML file, or the `dataset.json` of nnU-Net."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from orthodx.errors import UsageError
from orthodx.joints.ankle import ANKLE
from orthodx.joints.joint import Joint, Plate
from orthodx.joints.knee import KNEE
from orthodx.joints.shoulder import SHOULDER

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

JOINTS: dict[str, Joint] = {joint.name: joint for joint in (KNEE, ANKLE, SHOULDER)}
DATASET = "dataset.json"


def open_joint(name_or_file: str | Path) -> Joint:
    """A joint in the box by name, or a user's own by its file (`.toml`, or nnU-Net's `dataset.json`).

    Raises `UsageError` naming the file and the entry that is wrong.
    """
    if str(name_or_file) in JOINTS:
        return JOINTS[str(name_or_file)]
    path = Path(name_or_file)
    if path.suffix.lower() not in (".toml", ".json"):
        raise UsageError(
            f"no joint is called '{name_or_file}'", hint=f"known: {', '.join(JOINTS)}; or give a TOML file"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({type(error).__name__})", hint="check the path") from error
    try:
        if path.suffix.lower() == ".toml":
            return Joint.from_json(_entries(tomllib.loads(text)))
        return Joint.from_json(_of_dataset(json.loads(text), path))
    except UsageError as error:
        raise UsageError(f"{path.name}: {error}", hint=error.hint) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error).splitlines()[0][:120]
        raise UsageError(f"{path.name}: no description of a joint ({reason})", hint="see docs/joints.md") from error


def plates_of(joint: Joint) -> tuple[Plate, ...]:
    """The plates of a joint; of one that names none, as in models of before, those of its namesake in the box."""
    if joint.plates or joint.name not in JOINTS:
        return joint.plates
    known = set(joint.names.values())
    plates = [plate for plate in JOINTS[joint.name].plates if {plate.layer, plate.bone} <= known]
    return tuple(plate for plate in plates if joint.pairs or not (plate.side or plate.notch))


def joint_beside(folder: Path) -> Joint | None:
    """The joint of the `dataset.json` in a folder of nnU-Net, or beside it; None where there is none."""
    found = next((p for root in (folder, folder.parent) if (p := root / DATASET).is_file()), None)
    return None if found is None else open_joint(found)


def _entries(raw: dict[str, Any]) -> dict[str, Any]:
    """A TOML file with nothing in it that means nothing."""
    known = ("name", "structures", "abnormalities", "pairs", "plates")
    if unknown := sorted(raw.keys() - set(known)):
        raise UsageError(
            f"'{unknown[0]}' means nothing here", hint="it has name, structures, abnormalities, pairs, plates"
        )
    if not raw.get("structures") and not raw.get("abnormalities"):
        raise UsageError("it names neither structures nor abnormalities", hint="add [[structures]] entries")
    return raw


def _of_dataset(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """nnU-Net's labels, `{name: value}` (version 2) or `{"value": name}` (version 1), as structures."""
    pairs = raw["labels"].items()
    by_name = {str(v): int(k) for k, v in pairs} if all(str(k).isdigit() for k in raw["labels"]) else dict(pairs)
    structures = []
    for name, value in by_name.items():
        if isinstance(value, list):
            raise UsageError(f"'{name}' is a region of several labels", hint="give each label a value of its own")
        if int(value) != 0 and name.casefold() != "ignore":
            structures.append({"value": int(value), "name": name})
    name = str(raw.get("name") or path.resolve().parent.name)
    return {"name": name, "structures": sorted(structures, key=lambda s: s["value"])}
