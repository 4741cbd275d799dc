"""Synthetic cohorts on disk: the same folders a center would send, with the truth beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orthodx.errors import UsageError
from orthodx.joints import KNEE
from orthodx.studies.labels import LABELS_FILE, RECORDS_FILE
from orthodx.studies.manifest import COLUMNS, write_table
from orthodx.studies.nifti import write_image
from orthodx.studies.processes import spread
from orthodx.studies.records import RECORD_COLUMNS
from orthodx.studies.run_record import write_json
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.deformation import random_deformation
from orthodx.synth.dicom_writer import write_dicom_series
from orthodx.synth.knee.lesions import VALUES, as_records
from orthodx.synth.knee.patients import patient_of
from orthodx.synth.knee.procedural import random_knee
from orthodx.synth.knee.protocols import CENTERS, Protocol
from orthodx.synth.lesion_painting import labels_of, paint
from orthodx.synth.scanner import Plane, ScanParams, make_plane, on_plane, render, sample_scan
from orthodx.synth.signals import sequence_signal

FORMATS = {"nifti", "dicom"}


def write_cohort(
    out: Path, *, joint: str = "knee", studies: int = 3, seed: int = 0, centers: tuple[str, ...] = tuple(CENTERS),
    anatomy: Callable[[np.random.Generator], Anatomy] = random_knee,
    formats: tuple[str, ...] = ("nifti",), lesions: bool = False, prevalence: float | None = None,
    resume: bool = False, workers: int = 1,
    tell: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Path:  # fmt: skip
    """Write `studies` synthetic patients, each as three series of one anatomy, and return the manifest's path.

    Makes `<study>/<series>.nii.gz`, `truth/<series>.nii.gz` and `manifest.csv`; study i of a seed is always
    the same. formats: "nifti" and/or "dicom" (`dicom/<study>/<series>/IM0001.dcm`...; manifest and truth then
    come as before). lesions: injured knees as the center sees them, with `labels.csv`, `ehr.csv` and
    `lesions/<series>.nii.gz` (values in `lesions/values.json`); the knees beneath are those without it.
    prevalence: share of injured or worn knees instead of the center's own. resume keeps studies whose record is
    there. workers: processes, each with one study at a time; the files are the same. Raises `UsageError` for a joint,
    center or format unknown here, or a prevalence out of place.
    """
    if joint != "knee":
        raise UsageError(f"no synthetic {joint} yet", hint="use --joint knee")
    unknown = [c for c in centers if c not in CENTERS]
    if unknown:
        raise UsageError(f"no center is called '{unknown[0]}'", hint=f"known: {', '.join(CENTERS)}")
    if not formats or set(formats) - FORMATS:
        raise UsageError(f"unknown format in '{','.join(formats)}'", hint=f"known: {', '.join(sorted(FORMATS))}")
    if studies < 1:
        raise UsageError(f"{studies} studies cannot be made", hint="use --studies 1 or more")
    if prevalence is not None and not (lesions and 0 <= prevalence <= 1):
        raise UsageError(f"a prevalence of {prevalence:g} cannot be used", hint="give 0 to 1, and lesions with it")
    manifest = out / "manifest.csv"
    if manifest.exists() and not resume:
        raise UsageError(f"{out} already holds a cohort", hint="choose another folder, or go on with --resume")
    write = _StudyWriter(out, seed, centers, anatomy, formats, lesions, prevalence, resume, alone=workers < 2)
    records: list[dict[str, Any]] = []
    for record in spread(write, range(studies), workers):
        records.append(record)
        tell(record["rows"][0]["study_id"], len(records), studies)
    if lesions:
        write_json(out / "lesions" / "values.json", VALUES)
        write_table(out / LABELS_FILE, [r["labels"] for r in records], ("study_id", *KNEE.codes))
        write_table(out / RECORDS_FILE, [r["ehr"] for r in records], ("study_id", *RECORD_COLUMNS))
    write_table(manifest, [row for r in records for row in r["rows"]], COLUMNS)
    return manifest


@dataclass(frozen=True)
class _StudyWriter:
    """Number of a study -> its record, once its files are written; `resume` keeps a study that has one."""

    out: Path
    seed: int
    centers: tuple[str, ...]
    anatomy: Callable[[np.random.Generator], Anatomy]
    formats: tuple[str, ...]
    lesions: bool
    prevalence: float | None
    resume: bool
    alone: bool  # no other process works beside this one

    def __call__(self, i: int) -> dict[str, Any]:
        if not self.alone:
            torch.set_num_threads(1)
        name = f"knee-{self.seed:04d}-{i:04d}"
        path = self.out / name / "study.json"
        if self.resume and path.exists():
            record: dict[str, Any] = json.loads(path.read_text())
            if ("lesions" in record) == self.lesions:
                return record
        return self._write(name, i)

    def _write(self, name: str, i: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, i])
        knee = self.anatomy(rng)
        shape = random_deformation(rng, mirror=False, scale_sd=0.03, warp_mm=1.0)
        centre = rng.normal(0, 3, 3)
        center = self.centers[int(rng.integers(len(self.centers)))]
        injury: dict[str, Any] = {}
        if self.lesions:
            patient = patient_of(self.seed, i, center, self.prevalence)
            knee, mask = paint(knee, patient.lesions)
            injury = {
                "mechanism": patient.mechanism, "lesions": as_records(patient.lesions),
                "labels": {"study_id": name, **labels_of(mask, knee.spacing_mm)},
                "ehr": {"study_id": name, **patient.record},
            }  # fmt: skip
        rows = []
        for number, protocol in enumerate(CENTERS[center], 1):
            series = f"{name}-{protocol.view}"
            params = scan_params(protocol, centre, rng)
            image, truth = render(torch.from_numpy(knee.tissues), knee.affine, params, shape)
            image = (image * 1000).round().clamp(0, 32767).to(torch.int16)
            data, affine = _as_file(image, params.plane)
            row = _row(name, series, protocol, knee, data.shape)
            if "nifti" in self.formats:
                write_image(self.out / name / f"{series}.nii.gz", data, affine)
            else:
                row["path"] = f"dicom/{name}/{series}"
            if "dicom" in self.formats:
                write_dicom_series(self.out / "dicom" / name / series, data, affine, row, number)
            write_image(self.out / "truth" / f"{series}.nii.gz", _as_file(truth, params.plane)[0], affine)
            if self.lesions:
                seen = on_plane(torch.from_numpy(mask), knee.affine, params, shape)
                write_image(self.out / "lesions" / f"{series}.nii.gz", _as_file(seen, params.plane)[0], affine)
            rows.append(row)
        record = {
            "rows": rows,
            "anatomy": knee.params,
            "source": knee.source,
            "side": knee.side,
            "seed": [self.seed, i],
        }
        write_json(self.out / name / "study.json", {**record, **injury})
        return {**record, **injury}


def scan_params(protocol: Protocol, centre_mm: np.ndarray, rng: np.random.Generator) -> ScanParams:
    """One acquisition by a protocol, centred near `centre_mm`, with everyday obliquity."""
    spacing = (protocol.slice_mm + protocol.gap_mm, protocol.pixel_mm)
    size = (protocol.slices, protocol.matrix, protocol.matrix)
    plane = make_plane(
        protocol.view,
        size,
        spacing,
        protocol.slice_mm,
        centre_mm,
        tuple(float(a) for a in rng.normal(0, 4, 3)),
    )
    signal = sequence_signal(
        protocol.sequence, protocol.tr, protocol.te, protocol.field_strength, protocol.fat_suppressed
    )
    return sample_scan(rng, plane, signal, protocol.noise)


def _as_file(grid: torch.Tensor, plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    """(D, H, W) on a plane -> (columns, rows, slices) array and its index -> RAS affine."""
    order = np.zeros((4, 4))
    order[[2, 1, 0, 3], [0, 1, 2, 3]] = 1  # file index (i, j, k) -> plane index (k, j, i)
    return np.ascontiguousarray(grid.numpy().transpose(2, 1, 0)), plane.affine @ order.T


def _row(study: str, series: str, p: Protocol, knee: Anatomy, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "patient_id": study.replace("knee", "patient"), "study_id": study, "series_id": series,
        "path": f"{study}/{series}.nii.gz", "joint": "knee", "laterality": knee.side, "view": str(p.view),
        "oblique": 0, "center": p.center, "field_strength": p.field_strength,
        "field_strength_raw": str(p.field_strength), "vendor": p.vendor, "sequence": p.sequence, "tr": p.tr,
        "te": p.te, "fat_suppressed": int(p.fat_suppressed), "rows": shape[1], "columns": shape[0],
        "slices": shape[2], "converter": "orthodx synth",
    }  # fmt: skip
