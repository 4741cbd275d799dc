"""One synthetic patient on disk: every visit's series, truth and record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orthodx.studies.manifest import SYNTHETIC
from orthodx.studies.mask_files import TRUTH
from orthodx.studies.nifti import write_image
from orthodx.studies.receipts import Receipts
from orthodx.studies.run_record import write_json
from orthodx.studies.view import OBLIQUE_DEGREES, view_of
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.cohort_request import CohortRequest
from orthodx.synth.deformation import NO_DEFORMATION, Deformation, random_deformation
from orthodx.synth.dicom_writer import RAS_TO_LPS, write_dicom_series
from orthodx.synth.grammar import SyntheticJoint
from orthodx.synth.lesions import as_records
from orthodx.synth.patients import Patient
from orthodx.synth.protocols import Protocol
from orthodx.synth.scanner import Plane, ScanParams, make_plane, on_plane, render, sample_scan
from orthodx.synth.signals import sequence_signal
from orthodx.synth.tissues import TissueTable
from orthodx.synth.visits import Visit, courses_of, lesions_at, visits_of


def of_visits(kept: Any) -> list[dict[str, Any]]:
    """The record of each visit, of what a receipt keeps: one record where there is one visit."""
    return kept if isinstance(kept, list) else [kept]


@dataclass(frozen=True)
class PatientWriter:
    """Number of a patient -> the record of each visit, once its files are written; `resume` keeps what is whole."""

    out: Path
    request: CohortRequest
    made: SyntheticJoint
    receipts: Receipts

    def __call__(self, i: int) -> list[dict[str, Any]]:
        if self.request.workers > 1:
            torch.set_num_threads(1)
        request = self.request
        name = f"{self.made.name}-{request.seed:04d}-{i:04d}"
        kept = self.receipts.find(name, request.settings) if request.resume else None
        if kept is not None:
            return of_visits(kept)
        names = [name] if request.visits == 1 else [f"{name}-v{n}" for n in range(1, request.visits + 1)]
        records = self._write(names, i)
        written = [path for one, record in zip(names, records, strict=True) for path in self._files(one, record)]
        self.receipts.write(name, request.settings, written, records if request.visits > 1 else records[0])
        return records

    def _files(self, name: str, record: dict[str, Any]) -> list[Path]:
        """All that was written of a study."""
        folders = (self.out / name, self.out / "dicom" / name)
        written = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        masks = [
            self.out / kind / f"{row['series_id']}.nii.gz" for row in record["rows"] for kind in (TRUTH, "lesions")
        ]
        return [*written, *(path for path in masks if path.is_file())]

    def _write(self, names: Sequence[str], i: int) -> list[dict[str, Any]]:
        request, made = self.request, self.made
        rng = np.random.default_rng([request.seed, i])
        first = made.own((request.anatomy or made.random_anatomy)(rng))
        shape = random_deformation(rng, mirror=False, scale_sd=0.03, warp_mm=1.0)
        bends = made.later is not None and request.anatomy is None and request.visits > 1
        shape = NO_DEFORMATION if bends else shape  # what bends is no rigid bone
        centre = rng.normal(0, 3, 3)
        centers = request.centers or tuple(made.protocols)
        center = centers[int(rng.integers(len(centers)))]
        patient = made.patient_of(request.seed, i, center, request.prevalence) if request.lesions else None
        courses = courses_of(request.seed, i, patient.lesions) if patient else []
        records = []
        for name, visit in zip(names, visits_of(request.seed, i, request.visits), strict=True):
            anatomy, own = first, patient
            if visit.number > 1:
                rng = visit.rng
                centre, center = rng.normal(0, 3, 3), centers[int(rng.integers(len(centers)))]
                if bends and made.later is not None:
                    anatomy = made.later(first, rng, request.cartilage_loss * visit.part)
            if patient and request.visits > 1:
                own = replace(patient, lesions=lesions_at(patient.lesions, courses, visit.part))
            record = self._write_study((name, i), anatomy, own, shape, (center, centre, visit), rng)
            if request.visits > 1:
                loss = request.cartilage_loss * visit.part
                record |= {"visit": visit.number, "days": visit.days, "cartilage_loss": loss, "courses": courses}
            write_json(self.out / name / "study.json", record)
            records.append(record)
        return records

    def _write_study(
        self,
        study: tuple[str, int],
        anatomy: Anatomy,
        patient: Patient | None,
        shape: Deformation,
        scanned: tuple[str, np.ndarray, Visit],
        rng: np.random.Generator,
    ) -> dict[str, Any]:
        """One visit's series; returns its record.

        study: its name and its patient's number. scanned: in which center, about which point (3,), at which visit.
        """
        request, made, (name, i), (center, centre, visit) = self.request, self.made, study, scanned
        injury: dict[str, Any] = {}
        mask = None
        if patient is not None:
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
            if not request.views or protocol.view in request.views:
                rows.append(self._write_series(name, number, protocol, _Scan(anatomy, mask, params, shape, visit)))
        return {
            "rows": rows,
            "anatomy": anatomy.params,
            "source": anatomy.source if request.named else request.settings["anatomy"],
            "side": anatomy.side,
            "seed": [request.seed, i],
            **injury,
        }

    def _write_series(self, study: str, number: int, protocol: Protocol, scan: _Scan) -> dict[str, Any]:
        """Image, truth and lesion mask of one acquisition; returns its manifest row."""
        made, params, formats = self.made, scan.params, self.request.formats
        series = f"{study}-{protocol.view}"
        volume, affine = torch.from_numpy(scan.anatomy.tissues), scan.anatomy.affine
        image, truth = render(volume, affine, params, scan.shape, made.tissues)
        image = (image * 1000).round().clamp(0, 32767).to(torch.int16)
        data, on_file = _as_file(image, params.plane)
        on_file = scan.visit.lies @ on_file
        row = _row(study, series, protocol, scan.anatomy, data.shape, on_file)
        if self.request.visits > 1:
            row |= {"visit": scan.visit.number, "days": scan.visit.days}
            row["patient_id"] = row["patient_id"].removesuffix(f"-v{scan.visit.number}")
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
            placed = _as_file(mask, params.plane)[0], on_file
            write_image(self.out / kind / f"{series}.nii.gz", *(placed if "nifti" in formats else _as_read(*placed)))
        return row


@dataclass(frozen=True)
class _Scan:
    """What lies in the scanner, its lesion mask, and how it is scanned."""

    anatomy: Anatomy
    lesions: np.ndarray | None
    params: ScanParams
    shape: Deformation
    visit: Visit


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
