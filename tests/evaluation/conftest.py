"""Small made-up results on disk: predictions with labels, masks with truth, and the tables that name them."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest


def write_csv(path: Path, header: list[str], rows: list[list]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def write_map(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(data.astype(np.uint8), np.diag([4.0, 0.5, 0.5, 1]) if affine is None else affine)
    image.set_sform(image.affine, 1)
    nib.save(image, path)


def cube(shift: int = 0, value: int = 1) -> np.ndarray:
    data = np.zeros((10, 24, 24), np.uint8)
    data[3:7, 6 + shift : 16 + shift, 6:16] = value
    return data


def write_diagnoses(folder: Path, patients: int = 80, seed: int = 0) -> Path:
    """predictions.csv, labels.csv, manifest.csv and ehr.csv of two labels at two centers."""
    rng = np.random.default_rng(seed)
    positive = rng.random((patients, 2)) < 0.4
    scores = 1 / (1 + np.exp(-rng.normal(positive * 2.0 - 1.0)))
    ids = [[f"p{i}", f"s{i}"] for i in range(patients)]
    folder.mkdir(parents=True, exist_ok=True)
    probabilities = [[*who, *map("{:.4f}".format, row)] for who, row in zip(ids, scores, strict=True)]
    write_csv(folder / "predictions.csv", ["patient_id", "study_id", "ACL", "MM"], probabilities)
    truths = [[s, *map(int, row)] for (_, s), row in zip(ids, positive, strict=True)]
    write_csv(folder / "labels.csv", ["study_id", "ACL", "MM"], truths)
    series = [[*who, f"{who[1]}-a", f"{who[1]}.nii.gz", "knee", "AB"[i % 2]] for i, who in enumerate(ids)]
    write_csv(folder / "manifest.csv", ["patient_id", "study_id", "series_id", "path", "joint", "center"], series)
    write_csv(folder / "ehr.csv", ["study_id", "age"], [[s, 20 + i % 60] for i, (_, s) in enumerate(ids)])
    return folder


@pytest.fixture
def diagnoses(tmp_path: Path) -> Path:
    return write_diagnoses(tmp_path / "cohort")


@pytest.fixture
def segmented(tmp_path: Path) -> Path:
    """Four series: one perfect, one shifted, one missed, one false; two patients of two series each."""
    folder = tmp_path / "cohort"
    empty = np.zeros((10, 24, 24))
    cases = {"a": (cube(), cube()), "b": (cube(2), cube()), "c": (empty, cube()), "d": (cube(), empty)}
    for name, (mask, truth) in cases.items():
        write_map(folder / f"masks/{name}.nii.gz", mask)
        write_map(folder / f"truth/{name}.nii.gz", truth)
    rows = [[p, f"{p}-s", name, f"{name}.nii.gz", "knee"] for p, name in zip("xxyy", cases, strict=True)]
    write_csv(folder / "manifest.csv", ["patient_id", "study_id", "series_id", "path", "joint"], rows)
    return folder
