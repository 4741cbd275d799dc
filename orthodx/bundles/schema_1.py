"""Descriptions of bundles as they were before schema 2, told as schema 2 tells them."""

from __future__ import annotations

from typing import Any

from orthodx.joints import JOINTS


def to_schema_2(raw: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 named its joint and listed structures, and kept a diagnosis among the heads as text."""
    out = {k: v for k, v in raw.items() if k not in ("schema", "structures")}
    out["joint"] = _joint(str(raw["joint"]), {int(k): str(v) for k, v in raw["structures"].items()})
    heads = dict(raw["heads"])
    diagnoser = heads.pop("diagnose", None)
    out["heads"] = heads
    if raw.get("diagnosis") is not None and diagnoser is not None:
        own = dict(diagnoser["config"])
        config = dict(own["head_config"])
        if own["head"] == "anatomy":
            config.setdefault("classes", len(raw["structures"]) + 1)
        out["diagnosis"] = {**raw["diagnosis"], "diagnoser": {**own, "head_config": config}, "file": diagnoser["file"]}
    else:
        out["diagnosis"] = None
    return out


def _joint(name: str, structures: dict[int, str]) -> dict[str, Any]:
    if name in JOINTS and JOINTS[name].names == structures:
        return JOINTS[name].to_json()
    meant = [{"value": value, "name": label} for value, label in structures.items()]
    return {"name": name, "structures": meant}
