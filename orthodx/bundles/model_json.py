"""`model.json`: what a bundle says of itself. Every value is checked when it is read: type, finite, in range."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from orthodx.bundles.schema_1 import to_schema_2
from orthodx.errors import BundleError, OrthodxError
from orthodx.grid.region import RegionSpec
from orthodx.grid.spec import GridSpec
from orthodx.joints import Joint, View
from orthodx.networks import ENCODERS, HEADS
from orthodx.networks.diagnosis.diagnoser import DiagnoserConfig
from orthodx.networks.diagnosis.record_coding import RecordCoding
from orthodx.networks.familiarity import FamiliarityConfig
from orthodx.networks.reading import CLEAN, Noising
from orthodx.studies.run_record import write_json

SCHEMA = 2
INFO = "model.json"
MOST_NUMBER, MOST_ITEMS, MOST_TEXT = 1e6, 1024, 4096
T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """One encoder or head of a bundle: registered name, its `Config`, its weights file."""

    name: str
    config: Any
    file: str


@dataclass(frozen=True, kw_only=True)
class DiagnosisInfo:
    """A diagnosis, with how it is used: what it reads of a series, and its calibration on validation studies.

    diagnoser: heads, fusion and record branch, whose weights are in `file`. encoders: those it reads, the bundle's own
    or others. temperatures: label -> what its logit is divided by. thresholds: label -> probability from which it is
    positive. label_fraction: share of the training labels used. from_scratch: whether the encoders started from noise.
    synthetic_only: whether every lesion it learned from is one of orthodx synth. noising: of the images that are read.
    """

    diagnoser: DiagnoserConfig
    file: str
    encoders: dict[View, Part]
    region: RegionSpec
    temperatures: dict[str, float]
    thresholds: dict[str, float]
    label_fraction: float = 1.0
    from_scratch: bool = False
    synthetic_only: bool = False
    noising: Noising = CLEAN

    def __post_init__(self) -> None:
        if not all(0 < t <= MOST_NUMBER and math.isfinite(t) for t in self.temperatures.values()):
            raise ValueError(f"a temperature must be above 0, not {self.temperatures}")
        if not all(0 < t <= 1 for t in self.thresholds.values()):
            raise ValueError(f"a threshold must be above 0 and at most 1, not {self.thresholds}")
        if not 0 < self.label_fraction <= 1:
            raise ValueError(f"a label fraction of {self.label_fraction} is impossible")
        if strangers := (self.temperatures.keys() | self.thresholds.keys()) - set(self.diagnoser.labels):
            raise ValueError(f"calibrates '{min(strangers)}', which is none of its labels")
        for name, given in (("temperature", self.temperatures), ("threshold", self.thresholds)):
            if missing := [label for label in self.diagnoser.labels if label not in given]:
                raise ValueError(f"has no {name} of '{missing[0]}'")


@dataclass(frozen=True, kw_only=True)
class QualityCurve:
    """How well masks of one structure are expected to be: Dice = sigmoid(weights . x).

    weights: of x = 1, the logit of the agreement of two looks, the logit of the Dice that the probabilities promise,
    the log of the strangeness (`inference.quality`). unsure_below: expected Dice that is worth a warning.
    """

    weights: tuple[float, float, float, float]
    unsure_below: float

    def __post_init__(self) -> None:
        if not 0 <= self.unsure_below <= 1:
            raise ValueError(f"a Dice of {self.unsure_below} is impossible")

    def of(self, x: Sequence[float]) -> float:
        """Expected Dice, 0..1."""
        z = sum(weight * float(value) for weight, value in zip(self.weights, x, strict=True))
        return 1 / (1 + math.exp(-min(max(z, -50.0), 50.0)))


@dataclass(frozen=True, kw_only=True)
class BundleInfo:
    """The contents of `model.json`.

    familiarity: task -> the part that knows what its encoders have seen (`networks.familiarity`). quality: structure ->
    how its masks are rated; both are fitted by `orthodx models calibrate`, and empty before.
    """

    name: str
    version: str
    joint: Joint
    grid: GridSpec
    encoders: dict[View, Part]
    heads: dict[str, Part]
    training: list[dict[str, Any]]
    licence: str
    sources: list[str]
    sha256: dict[str, str]
    diagnosis: DiagnosisInfo | None = None
    familiarity: dict[str, Part] = field(default_factory=dict)
    quality: dict[str, QualityCurve] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if strangers := self.quality.keys() - set(self.joint.names.values()):
            raise ValueError(f"rates '{min(strangers)}', which is no structure of the {self.joint.name}")

    def taught(self, task: str) -> dict[str, Any]:
        """The record of the last fine-tuning for a task, empty where none is known."""
        of_task = [r for r in self.training if str(r.get("stage", "")).startswith(f"finetune {task}")]
        return of_task[-1] if of_task else {}

    @property
    def tasks(self) -> list[str]:
        """What the bundle can do."""
        return [*self.heads, *(["diagnose"] if self.diagnosis else [])]

    @property
    def parts(self) -> list[Part]:
        """Encoders and heads, those of the diagnosis too, and what is familiar to them, each file once."""
        own = (
            *self.encoders.values(),
            *self.heads.values(),
            *(self.diagnosis.encoders.values() if self.diagnosis else ()),
            *self.familiarity.values(),
        )
        return list({part.file: part for part in own}.values())


def read_info(path: Path) -> BundleInfo:
    """The description in a file, of this schema or the one before; raises `BundleError` naming file and fault."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        schema = raw["schema"]
        if schema not in (1, SCHEMA):
            raise BundleError(f"{path}: schema {schema}, this version reads 1 and {SCHEMA}", hint="update orthodx")
        return _info(to_schema_2(raw) if schema == 1 else raw, path)
    except BundleError:
        raise
    except OrthodxError as error:
        raise BundleError(f"{path}: {str(error)[:300]}", hint=error.hint and error.hint[:300]) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)[:200]
        raise BundleError(f"{path}: not a model description ({reason})", hint="get the bundle again") from error


def write_info(folder: Path, info: BundleInfo) -> None:
    """Write `model.json` atomically."""
    plain = {f.name: getattr(info, f.name) for f in dataclasses.fields(info)}
    plain |= {"joint": info.joint.to_json(), "grid": dataclasses.asdict(info.grid)}
    plain["encoders"] = _plain_parts(info.encoders)
    plain["heads"] = _plain_parts(info.heads)
    plain["familiarity"] = _plain_parts(info.familiarity)
    plain["quality"] = {name: dataclasses.asdict(curve) for name, curve in info.quality.items()}
    if info.diagnosis is not None:
        plain["diagnosis"] = dataclasses.asdict(info.diagnosis) | {"encoders": _plain_parts(info.diagnosis.encoders)}
    write_json(folder / INFO, {"schema": SCHEMA, **plain})


def _plain_parts(parts: Mapping[Any, Part]) -> dict[str, Any]:
    return {str(name): dataclasses.asdict(part) for name, part in parts.items()}


def _info(raw: dict[str, Any], path: Path) -> BundleInfo:
    info = BundleInfo(
        name=_value(raw["name"], str, "name"),
        version=_value(raw["version"], str, "version"),
        joint=Joint.from_json(raw["joint"]),
        grid=config_of(GridSpec, raw["grid"]),
        encoders={View(k): _part(v, ENCODERS) for k, v in raw["encoders"].items()},
        heads={_value(k, str, "heads"): _part(v, HEADS) for k, v in raw["heads"].items()},
        training=[dict(record) for record in raw["training"]],
        licence=_value(raw["licence"], str, "licence"),
        sources=[_value(source, str, "sources") for source in raw["sources"]],
        sha256={str(k): _value(v, str, "sha256") for k, v in raw["sha256"].items()},
        diagnosis=_diagnosis(raw.get("diagnosis")),
        familiarity={_value(k, str, "familiarity"): _familiarity(v) for k, v in raw.get("familiarity", {}).items()},
        quality={_value(k, str, "quality"): config_of(QualityCurve, v) for k, v in raw.get("quality", {}).items()},
    )
    for file in (*(part.file for part in info.parts), *((info.diagnosis.file,) if info.diagnosis else ())):
        if Path(file).name != file:
            raise BundleError(f"{path}: the part '{file}' leads out of the bundle", hint="do not use it")
    return info


def _part(raw: Mapping[str, Any], registry: Any) -> Part:
    name = _value(raw["name"], str, "name")
    return Part(name, config_of(registry.get(name).Config, raw["config"]), _value(raw["file"], str, "file"))


def _familiarity(raw: Mapping[str, Any]) -> Part:
    config = config_of(FamiliarityConfig, raw["config"])
    return Part(_value(raw["name"], str, "name"), config, _value(raw["file"], str, "file"))


def _diagnosis(raw: Mapping[str, Any] | None) -> DiagnosisInfo | None:
    if raw is None:
        return None
    own = dict(raw["diagnoser"])
    own["head_config"] = config_of(HEADS.get(_value(own["head"], str, "head")).Config, own["head_config"])
    own["coding"] = None if own.get("coding") is None else config_of(RecordCoding, own["coding"])
    own["blocks"] = _value(own.get("blocks", []), tuple[str, ...], "blocks")
    own["labels"] = tuple(_value(label, str, "labels") for label in own["labels"])
    numbers = {
        name: {_value(k, str, name): _value(v, float, f"{name} of {k}") for k, v in raw[name].items()}
        for name in ("temperatures", "thresholds")
    }
    return DiagnosisInfo(
        diagnoser=config_of(DiagnoserConfig, own),
        file=_value(raw["file"], str, "file"),
        encoders={View(k): _part(v, ENCODERS) for k, v in raw["encoders"].items()},
        region=config_of(RegionSpec, raw["region"]),
        label_fraction=_value(raw["label_fraction"], float, "label_fraction"),
        from_scratch=_value(raw["from_scratch"], bool, "from_scratch"),
        synthetic_only=_value(raw.get("synthetic_only", False), bool, "synthetic_only"),
        noising=config_of(Noising, raw.get("noising", {})),
        **numbers,
    )


def config_of(cls: type[T], raw: Mapping[str, Any]) -> T:
    """A frozen dataclass from JSON; raises `ValueError` for an unknown field, another type or an impossible number."""
    hints = get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(raw.keys() - known):
        raise ValueError(f"{cls.__name__} has no '{unknown[0]}'")
    return cls(**{name: _value(value, hints[name], name) for name, value in raw.items()})


def _value(value: Any, hint: Any, name: str) -> Any:
    if get_origin(hint) in (Union, UnionType):
        if value is None and NoneType in get_args(hint):
            return None
        hint = next(kind for kind in get_args(hint) if kind is not NoneType)
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        fits = isinstance(value, (list, tuple)) and len(value) <= MOST_ITEMS
        if not fits or (inner[-1] is not Ellipsis and len(value) != len(inner)):
            raise ValueError(f"{name} is {_short(value)}")
        return tuple(_value(item, inner[0], name) for item in value)
    if hint in (int, float):
        number = isinstance(value, int) or (hint is float and isinstance(value, float))
        if not number or isinstance(value, bool) or not abs(value) <= MOST_NUMBER:
            raise ValueError(f"{name} is {_short(value)}")
        return hint(value)
    if hint in (str, bool) and (not isinstance(value, hint) or (hint is str and len(value) > MOST_TEXT)):
        raise ValueError(f"{name} is {_short(value)}")
    return value


def _short(value: Any) -> str:
    return repr(value)[:60]
