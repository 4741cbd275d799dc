"""Synthetic cohorts on disk: the same folders a center would send, with the truth beside them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orthodx.errors import UsageError
from orthodx.studies.claim import Owner, Place, claimed
from orthodx.studies.label_tables import write_label_tables
from orthodx.studies.labels import LABELS_FILE, RECORDS_FILE
from orthodx.studies.manifest import COLUMNS, MANIFEST, SYNTHETIC
from orthodx.studies.mask_files import TRUTH
from orthodx.studies.nifti import write_image
from orthodx.studies.processes import spread
from orthodx.studies.receipts import Receipts
from orthodx.studies.records import RECORD_COLUMNS
from orthodx.studies.run_record import write_json
from orthodx.studies.tables import write_table
from orthodx.studies.view import OBLIQUE_DEGREES, view_of
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.anatomy_bank import drawn_from
from orthodx.synth.deformation import Deformation, random_deformation
from orthodx.synth.dicom_writer import RAS_TO_LPS, write_dicom_series
from orthodx.synth.grammar import DEFAULT, SyntheticJoint, synthetic
from orthodx.synth.lesions import as_records
from orthodx.synth.protocols import Protocol
from orthodx.synth.scanner import Plane, ScanParams, make_plane, on_plane, render, sample_scan
from orthodx.synth.signals import sequence_signal
from orthodx.synth.tissues import TissueTable

FORMATS = {"nifti", "dicom"}


@dataclass(frozen=True, kw_only=True)
class CohortRequest:
    """Which studies to make; raises `UsageError` for what is unknown here or does not fit together."""

    joint: str = DEFAULT
    """Of every patient."""
    studies: int = 3
    """Patients, each with three series of one anatomy."""
    seed: int = 0
    """Study i of a seed is always the same."""
    centers: tuple[str, ...] = ()
    """Where they may be scanned; none for every center with protocols of the joint."""
    anatomy: Callable[[np.random.Generator], Anatomy] | None = None
    """Draws one, instead of the joint's own procedure."""
    formats: tuple[str, ...] = ("nifti",)
    """"nifti" and/or "dicom" (`dicom/<study>/<series>/IM0001.dcm`...; manifest and truth come as without it)."""
    lesions: bool = False
    """Joints as injured as the center sees them; those beneath are the ones without it."""
    prevalence: float | None = None
    """With lesions: the share of injured or worn joints, instead of the center's own."""
    resume: bool = False
    """Keeps studies whose files are whole, of the same settings."""
    workers: int = 1
    """Processes, each with one study at a time; the files are the same."""

    @property
    def settings(self) -> dict[str, Any]:
        """What decides how every study looks; a cohort keeps it from beginning to end."""
        names = ("joint", "seed", "centers", "formats", "lesions", "prevalence")
        told = {name: getattr(self, name) for name in names} | {"anatomy": drawn_from(self.anatomy)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}

    @property
    def named(self) -> bool:
        """Whether the names of anatomies are ours, which those of a user's label maps are not."""
        return not self.settings["anatomy"].startswith("maps ")

    def __post_init__(self) -> None:
        made = synthetic(self.joint)
        unknown = [c for c in self.centers if c not in made.protocols]
        if unknown:
            raise UsageError(f"no center is called '{unknown[0]}'", hint=f"known: {', '.join(made.protocols)}")
        if not self.formats or set(self.formats) - FORMATS:
            wrong, known = ",".join(self.formats), ", ".join(sorted(FORMATS))
            raise UsageError(f"unknown format in '{wrong}'", hint=f"known: {known}")
        if self.studies < 1:
            raise UsageError(f"{self.studies} studies cannot be made", hint="use --studies 1 or more")
        if self.prevalence is not None and not (self.lesions and 0 <= self.prevalence <= 1):
            raise UsageError(
                f"a prevalence of {self.prevalence:g} cannot be used", hint="give 0 to 1, and lesions with it"
            )
        if self.lesions:
            _ = made.injuries  # raises where there are none


def write_cohort(
    out: Path,
    request: CohortRequest | None = None,
    *,
    tell: Callable[[str, int, int], None] = lambda name, done, total: None,
    **options: Any,
) -> Path:
    """Write synthetic patients, each as three series of one anatomy, and return the manifest's path.

    Makes `<study>/<series>.nii.gz`, `truth/<series>.nii.gz` with label tables, and `manifest.csv`; with lesions also
    `labels.csv`, `ehr.csv` and `lesions/<series>.nii.gz` (values in `lesions/values.json`). options: the fields of a
    `CohortRequest`, in its place. Raises `UsageError` where `out` holds a cohort and nothing is to be resumed.
    """
    wanted = request or CohortRequest(**options)
    made, place, manifest = synthetic(wanted.joint), Place(out), out / MANIFEST
    tables = [out / name for name in (MANIFEST, LABELS_FILE, RECORDS_FILE)]
    owner = Owner(by="orthodx synth", options=wanted.settings, outputs=tables, resume=wanted.resume)
    with claimed(place, owner):
        writer, records = _StudyWriter(out, wanted, made, Receipts(place.receipts)), list[dict[str, Any]]()
        with closing(spread(writer, range(wanted.studies), wanted.workers)) as made_ones:
            for record in made_ones:
                records.append(record)
                tell(record["rows"][0]["study_id"], len(records), wanted.studies)
        there = {record["rows"][0]["study_id"]: record for record in writer.receipts.results().values()}
        records = [record for _, record in sorted(there.items())]
        if wanted.lesions:
            write_json(out / "lesions" / "values.json", dict(made.injuries.values))
            write_table(out / LABELS_FILE, [r["labels"] for r in records], ("study_id", *made.injuries.least_ml))
            write_table(out / RECORDS_FILE, [r["ehr"] for r in records], ("study_id", *RECORD_COLUMNS))
        write_label_tables(out / TRUTH, made.joint)
        write_table(manifest, [row for r in records for row in r["rows"]], COLUMNS)
    return manifest


@dataclass(frozen=True)
class _StudyWriter:
    """Number of a study -> its record, once its files are written; `resume` keeps one whose files are whole."""

    out: Path
    request: CohortRequest
    made: SyntheticJoint
    receipts: Receipts

    def __call__(self, i: int) -> dict[str, Any]:
        if self.request.workers > 1:
            torch.set_num_threads(1)
        name = f"{self.made.name}-{self.request.seed:04d}-{i:04d}"
        kept: dict[str, Any] | None = self.receipts.find(name, self.request.settings) if self.request.resume else None
        if kept is not None:
            return kept
        record = self._write(name, i)
        self.receipts.write(name, self.request.settings, self._files(name, record), record)
        return record

    def _files(self, name: str, record: dict[str, Any]) -> list[Path]:
        """All that was written of a study."""
        folders = (self.out / name, self.out / "dicom" / name)
        written = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        masks = [
            self.out / kind / f"{row['series_id']}.nii.gz" for row in record["rows"] for kind in (TRUTH, "lesions")
        ]
        return [*written, *(path for path in masks if path.is_file())]

    def _write(self, name: str, i: int) -> dict[str, Any]:
        request, made = self.request, self.made
        rng = np.random.default_rng([request.seed, i])
        anatomy = made.own((request.anatomy or made.random_anatomy)(rng))
        shape = random_deformation(rng, mirror=False, scale_sd=0.03, warp_mm=1.0)
        centre = rng.normal(0, 3, 3)
        centers = request.centers or tuple(made.protocols)
        center = centers[int(rng.integers(len(centers)))]
        injury: dict[str, Any] = {}
        mask = None
        if request.lesions:
            patient = made.patient_of(request.seed, i, center, request.prevalence)
            anatomy, mask = made.paint(anatomy, patient.lesions)
            injury = {
                "mechanism": patient.mechanism,
                "lesions": as_records(patient.lesions),
                "labels": {"study_id": name, **made.labels_of(mask, anatomy.spacing_mm)},
                "ehr": {"study_id": name, **patient.record},
            }
        rows = []
        for number, protocol in enumerate(made.protocols[center], 1):
            params = scan_params(protocol, centre, made.tissues, rng)
            if turn := made.turn_of(protocol.view, anatomy.side):
                params = replace(params, plane=params.plane.turned(turn))
            rows.append(self._write_series(name, number, protocol, _Scan(anatomy, mask, params, shape)))
        record = {
            "rows": rows,
            "anatomy": anatomy.params,
            "source": anatomy.source if request.named else request.settings["anatomy"],
            "side": anatomy.side,
            "seed": [request.seed, i],
            **injury,
        }
        write_json(self.out / name / "study.json", record)
        return record

    def _write_series(self, study: str, number: int, protocol: Protocol, scan: _Scan) -> dict[str, Any]:
        """Image, truth and lesion mask of one acquisition; returns its manifest row."""
        made, params, formats = self.made, scan.params, self.request.formats
        series = f"{study}-{protocol.view}"
        volume, affine = torch.from_numpy(scan.anatomy.tissues), scan.anatomy.affine
        image, truth = render(volume, affine, params, scan.shape, made.tissues)
        image = (image * 1000).round().clamp(0, 32767).to(torch.int16)
        data, on_file = _as_file(image, params.plane)
        row = _row(study, series, protocol, scan.anatomy, data.shape, on_file)
        if "nifti" in formats:
            write_image(self.out / study / f"{series}.nii.gz", data, on_file)
        else:
            row["path"] = f"dicom/{study}/{series}"
        if "dicom" in formats:
            folder = self.out / "dicom" / study / series
            write_dicom_series(folder, data, on_file, row, number, made.body_part)
        masks = {TRUTH: truth}
        if scan.lesions is not None:
            masks["lesions"] = on_plane(torch.from_numpy(scan.lesions), affine, params, scan.shape)
        for kind, mask in masks.items():
            placed = _as_file(mask, params.plane)
            write_image(self.out / kind / f"{series}.nii.gz", *(placed if "nifti" in formats else _as_read(*placed)))
        return row


@dataclass(frozen=True)
class _Scan:
    """What lies in the scanner, its lesion mask, and how it is scanned."""

    anatomy: Anatomy
    lesions: np.ndarray | None
    params: ScanParams
    shape: Deformation


def scan_params(
    protocol: Protocol, centre_mm: np.ndarray, tissues: TissueTable, rng: np.random.Generator
) -> ScanParams:
    """One acquisition by a protocol, centred near `centre_mm`, with everyday obliquity."""
    spacing = (protocol.slice_mm + protocol.gap_mm, protocol.pixel_mm)
    size = (protocol.slices, protocol.matrix, protocol.matrix)
    plane = make_plane(protocol.view, size, spacing, protocol.slice_mm, centre_mm, rng.normal(0, 4, 3).tolist())
    signal = sequence_signal(
        tissues, protocol.sequence, protocol.tr, protocol.te, protocol.field_strength, protocol.fat_suppressed
    )
    return sample_scan(rng, plane, signal, protocol.noise)


def _as_file(grid: torch.Tensor, plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    """(D, H, W) on a plane -> (columns, rows, slices) array and its index -> RAS affine."""
    order = np.zeros((4, 4))
    order[[2, 1, 0, 3], [0, 1, 2, 3]] = 1  # file index (i, j, k) -> plane index (k, j, i)
    return np.ascontiguousarray(grid.numpy().transpose(2, 1, 0)), plane.affine @ order.T


def _as_read(data: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slices in the order in which DICOM is read, by position along the patient axis (L, P or S) nearest the normal."""
    step = affine[:3, 2] * RAS_TO_LPS
    if step[np.abs(step).argmax()] > 0:
        return data, affine
    turned = affine.copy()
    turned[:3, 2], turned[:3, 3] = -affine[:3, 2], affine[:3, 3] + affine[:3, 2] * (data.shape[2] - 1)
    return np.ascontiguousarray(data[:, :, ::-1]), turned


def _row(
    study: str, series: str, p: Protocol, anatomy: Anatomy, shape: tuple[int, ...], affine: np.ndarray
) -> dict[str, Any]:
    return {
        "patient_id": study.replace(anatomy.joint, "patient", 1),
        "study_id": study,
        "series_id": series,
        "path": f"{study}/{series}.nii.gz",
        "joint": anatomy.joint,
        "laterality": anatomy.side,
        "view": str(p.view),
        "oblique": int(view_of(affine, shape)[1] > OBLIQUE_DEGREES),
        "center": p.center,
        "field_strength": p.field_strength,
        "field_strength_raw": str(p.field_strength),
        "vendor": p.vendor,
        "sequence": p.sequence,
        "tr": p.tr,
        "te": p.te,
        "fat_suppressed": int(p.fat_suppressed),
        "rows": shape[1],
        "columns": shape[0],
        "slices": shape[2],
        "converter": SYNTHETIC,
    }
