"""What a joint is, as plain data: its structures, its abnormalities, and what each of them harms."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orthodx.errors import UsageError
from orthodx.joints.view import View

Code = tuple[str, str]  # SNOMED CT code value and meaning
ANATOMY: Code = ("91723000", "Anatomical Structure")
TISSUE: Code = ("85756007", "Tissue")
NAME = re.compile(r"[^\W_][\w -]{0,63}")
MOST_WORDS = 200
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
# columns that tables already have; no abnormality can be called so
TAKEN = frozenset({"patient_id", "study_id", "series_id", "views", "view", "model", "joint", "status", "reason"})
SIDES, NOTCH = ("", "medial", "lateral"), ("", "before", "behind")
# of structures that name none, in turn: told apart on grey, by colour-blind readers too (Okabe & Ito 2008, extended)
PALETTE = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#7cc47f",
    "#a63fe8",
    "#3fe0d0",
    "#f25f5c",
    "#c9b18c",
)


@dataclass(frozen=True, kw_only=True)
class Snomed:
    """How DICOM calls a structure: what it is, of which category, in which region (PS3.3 C.8.20.4)."""

    kind: Code
    category: Code = ANATOMY
    region: Code | None = None


@dataclass(frozen=True)
class Structure:
    """One segmented structure: its mask value (1..255), its name, its display colour (#rrggbb).

    snomed: None where SNOMED CT has no code for it. plausible_ml: the least and the most of a whole one in adults,
    mL. one_piece: it never lies in several pieces, and what hangs on it by a neck thinner than `neck_mm` is something
    else. always_seen: every usual field of view shows it. lies_on: names of structures one of which it touches.
    """

    value: int
    name: str
    colour: str
    snomed: Snomed | None = None
    plausible_ml: tuple[float, float] | None = None
    one_piece: bool = False
    neck_mm: float = 6.0
    always_seen: bool = False
    lies_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Abnormality:
    """Something to detect: its code, a column of tables; what it means; the structure it is an injury of, if any.

    lesion_value: what marks it in lesion masks. seen_in: views of which a reader needs one to judge it; none where any
    will do.
    """

    code: str
    meaning: str
    harms: str | None = None
    lesion_value: int = 0
    seen_in: tuple[View, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SidedPair:
    """Two structures that look alike, one medial, one lateral; a thin slab cannot tell which, the whole joint can.

    bone: whose upper end is as wide as both together. lateral_bone: a bone that is always lateral. whole_mm: a
    narrower upper end may be half out of view. midline_mm: so near the middle both may rightly lie.
    """

    medial: str
    lateral: str
    bone: str
    lateral_bone: str
    whole_mm: float
    midline_mm: float


@dataclass(frozen=True, kw_only=True)
class Plate:
    """A part of a layer, such as cartilage, whose thickness is told by itself.

    layer, bone: structures, the one that lies on the other. name: unique within its layer. side: "medial" or "lateral"
    of the middle of the joint's pair, blank for both. notch: "before" or "behind" the front of the gap that parts the
    layer's back, blank for both.
    """

    layer: str
    bone: str
    name: str
    side: str = ""
    notch: str = ""


@dataclass(frozen=True)
class Joint:
    """A joint: what can be segmented (`structures`), detected (`abnormalities`) and measured (`plates`).

    Raises `UsageError`, naming the entry, for values, names or codes that stand twice or are impossible.
    """

    name: str
    structures: tuple[Structure, ...] = ()
    abnormalities: tuple[Abnormality, ...] = ()
    pairs: tuple[SidedPair, ...] = ()
    plates: tuple[Plate, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise UsageError(f"a joint cannot be called '{self.name}'", hint="use letters, digits, _ and -")
        for s in self.structures:
            _check_structure(self.name, s)
        known = {s.name for s in self.structures}
        for s in self.structures:
            _check_support(self.name, s, known)
        for a in self.abnormalities:
            _check_abnormality(self.name, a, known)
        for pair in self.pairs:
            _check_pair(self.name, pair, known)
        for plate in self.plates:
            _check_plate(self.name, plate, known, bool(self.pairs))
        for what, items in (
            ("structure value", [s.value for s in self.structures]),
            ("structure", [s.name for s in self.structures]),
            ("abnormality", [a.code for a in self.abnormalities]),
            ("lesion value", [a.lesion_value for a in self.abnormalities]),
            ("plate", [f"{p.layer} {p.name}" for p in self.plates]),
        ):
            if twice := [item for i, item in enumerate(items) if item in items[:i]]:
                raise UsageError(f"{self.name}: the {what} '{twice[0]}' stands twice", hint="give each its own")

    @property
    def names(self) -> dict[int, str]:
        """Mask value -> structure name."""
        return {s.value: s.name for s in self.structures}

    @property
    def codes(self) -> tuple[str, ...]:
        """Abnormality codes, in their order."""
        return tuple(a.code for a in self.abnormalities)

    @property
    def meanings(self) -> dict[str, str]:
        """Abnormality code -> what it means."""
        return {a.code: a.meaning for a in self.abnormalities}

    @property
    def lesion_values(self) -> dict[str, int]:
        """Abnormality code -> its value in lesion masks."""
        return {a.code: a.lesion_value for a in self.abnormalities}

    @property
    def values(self) -> tuple[int, ...]:
        """Mask value of each class of a segmentation network; class 0 is the background."""
        return (0, *(s.value for s in self.structures))

    @property
    def classes(self) -> tuple[int, ...]:
        """Class of each of the 256 mask values; 0 for values that are no structure."""
        of = {value: i for i, value in enumerate(self.values)}
        return tuple(of.get(value, 0) for value in range(256))

    def harmed(self, labels: Sequence[str]) -> tuple[int, ...]:
        """Class of the structure that each label is an injury of, 0 where there is none."""
        harms, names = {a.code: a.harms for a in self.abnormalities}, [s.name for s in self.structures]
        return tuple(names.index(name) + 1 if (name := harms.get(label)) in names else 0 for label in labels)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `model.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Joint:
        """The joint of `to_json`; raises `UsageError`, `TypeError`, `ValueError` or `KeyError` for anything else."""
        return cls(
            name=raw["name"],
            structures=tuple(_structure(entry, i) for i, entry in enumerate(raw.get("structures", ()))),
            abnormalities=tuple(_abnormality(entry, i) for i, entry in enumerate(raw.get("abnormalities", ()))),
            pairs=tuple(SidedPair(**entry) for entry in raw.get("pairs", ())),
            plates=tuple(Plate(**entry) for entry in raw.get("plates", ())),
        )


def _structure(entry: Mapping[str, Any], place: int) -> Structure:
    fields = {"colour": PALETTE[place % len(PALETTE)], **entry}
    if fields.get("plausible_ml") is not None:
        low, high = fields["plausible_ml"]
        fields["plausible_ml"] = (low, high)
    if isinstance(on := fields.get("lies_on", ()), str):
        raise UsageError(f"lies_on of '{fields.get('name')}' is a list of names", hint=f'write lies_on = ["{on}"]')
    fields["lies_on"] = tuple(on)
    if (snomed := fields.get("snomed")) is not None:
        codes = {k: None if v is None else _code(v) for k, v in snomed.items()}
        fields["snomed"] = Snomed(**codes)  # type: ignore[arg-type]
    return Structure(**fields)


def _abnormality(entry: Mapping[str, Any], place: int) -> Abnormality:
    fields = {"meaning": entry.get("code", ""), "lesion_value": place + 1, **entry}
    views = fields.get("seen_in", ())
    if isinstance(views, str) or (strange := [v for v in views if v not in set(map(str, View))]):
        what = views if isinstance(views, str) else strange[0]
        raise UsageError(
            f"seen_in of '{fields.get('code')}' has '{what}'", hint=f"it is a list of {', '.join(map(str, View))}"
        )
    return Abnormality(**{**fields, "seen_in": tuple(map(View, views))})


def _code(raw: Any) -> Code:
    value, meaning = raw
    value = str(value) if type(value) is int else value
    for text in (value, meaning):
        if not isinstance(text, str) or not text.isprintable() or not 0 < len(text) <= MOST_WORDS:
            raise UsageError(
                f"'{str(text)[:40]}' is no part of a SNOMED CT code", hint="write code and meaning as text"
            )
    return value, meaning


def _check_structure(joint: str, s: Structure) -> None:
    if not _of_masks(s.value):
        raise UsageError(f"{joint}: structure '{s.name}' has the value {s.value}", hint="masks hold 1 to 255")
    if not isinstance(s.name, str) or not NAME.fullmatch(s.name):
        raise UsageError(f"{joint}: a structure cannot be called '{s.name}'", hint="use letters, digits, _ and -")
    if not COLOUR.fullmatch(str(s.colour)):
        raise UsageError(f"{joint}: '{s.colour}' is no colour of '{s.name}'", hint="write it as #rrggbb")
    if not isinstance(s.one_piece, bool) or not isinstance(s.always_seen, bool):
        raise UsageError(f"{joint}: one_piece and always_seen of '{s.name}' are true or false")
    if not _number(s.neck_mm) or s.neck_mm < 0:
        raise UsageError(f"{joint}: '{s.name}' has an impossible neck_mm", hint="give mm, 0 for none")
    sizes = s.plausible_ml
    if sizes is not None and not (_number(sizes[0]) and _number(sizes[1]) and 0 <= sizes[0] < sizes[1]):
        raise UsageError(f"{joint}: '{s.name}' has impossible plausible_ml", hint="give the least and the most, in mL")


def _check_support(joint: str, s: Structure, structures: set[str]) -> None:
    for name in s.lies_on:
        if name not in structures - {s.name}:
            raise UsageError(
                f"{joint}: '{s.name}' lies on '{name}', which is no other structure of it",
                hint=f"structures are {', '.join(sorted(structures))}",
            )


def _check_abnormality(joint: str, a: Abnormality, structures: set[str]) -> None:
    if not isinstance(a.code, str) or not NAME.fullmatch(a.code) or a.code.casefold() in TAKEN:
        raise UsageError(f"{joint}: an abnormality cannot be called '{a.code}'", hint="use another code")
    if not isinstance(a.meaning, str) or not a.meaning.isprintable() or len(a.meaning) > MOST_WORDS:
        raise UsageError(
            f"{joint}: the meaning of '{a.code}' is no line of text", hint=f"write up to {MOST_WORDS} signs"
        )
    if a.harms is not None and a.harms not in structures:
        raise UsageError(
            f"{joint}: '{a.code}' harms '{a.harms}', which is no structure of it",
            hint=f"structures are {', '.join(sorted(structures)) or 'none'}",
        )
    if not _of_masks(a.lesion_value):
        raise UsageError(f"{joint}: '{a.code}' has the lesion value {a.lesion_value}", hint="give 1 to 255")


def _check_pair(joint: str, pair: SidedPair, structures: set[str]) -> None:
    for name in (pair.medial, pair.lateral, pair.bone, pair.lateral_bone):
        if name not in structures:
            raise UsageError(f"{joint}: a pair names '{name}', which is no structure of it")
    if not (_number(pair.whole_mm) and _number(pair.midline_mm) and min(pair.whole_mm, pair.midline_mm) >= 0):
        raise UsageError(f"{joint}: the pair of '{pair.medial}' has impossible sizes", hint="give them in mm")


def _check_plate(joint: str, plate: Plate, structures: set[str], sided: bool) -> None:
    if not isinstance(plate.name, str) or not NAME.fullmatch(plate.name):
        raise UsageError(f"{joint}: a plate cannot be called '{plate.name}'", hint="use letters, digits, _ and -")
    for name in (plate.layer, plate.bone):
        if name not in structures:
            raise UsageError(f"{joint}: the plate '{plate.name}' names '{name}', which is no structure of it")
    for what, told, known in (("side", plate.side, SIDES), ("notch", plate.notch, NOTCH)):
        if told not in known:
            raise UsageError(
                f"{joint}: the plate '{plate.name}' has the {what} '{told}'",
                hint=f"it is {' or '.join(known[1:])}",
            )
    if (plate.side or plate.notch) and not sided:
        raise UsageError(f"{joint}: the plate '{plate.name}' has a side, and no pair tells sides", hint="add [[pairs]]")


def _of_masks(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 255


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e6
