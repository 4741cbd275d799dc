"""Synthetic series as DICOM: classic single-frame MR images, as a scanner would send them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from orthodx.studies.writing import atomic
from orthodx.synth.anatomy import DEFAULT

RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])


def write_dicom_series(
    folder: Path,
    data: np.ndarray,
    affine: np.ndarray,
    row: dict[str, Any],
    number: int,
    body_part: str = DEFAULT.upper(),
) -> Path:
    """One file a slice, `folder/IM0001.dcm`...; UIDs follow from the ids, so the same series is the same bytes.

    data: (columns, rows, slices) int16, not negative. affine: index -> RAS mm, unsheared. row: the series'
    manifest row. number: SeriesNumber (0020,0011). body_part: Body Part Examined (0018,0015).
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    cosines = affine[:3, :3] / spacing * RAS_TO_LPS[:, None]
    study, series = (generate_uid(entropy_srcs=["orthodx synth", row[k]]) for k in ("study_id", "series_id"))
    for k in range(data.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = MRImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["orthodx synth", row["series_id"], str(k)])
        path = folder / f"IM{k + 1:04d}.dcm"
        ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = study, series, "MR"
        ds.FrameOfReferenceUID = generate_uid(entropy_srcs=["orthodx synth frame", row["study_id"]])
        ds.PatientName, ds.PatientID = f"Synthetic^{body_part.capitalize()}", row["patient_id"]
        ds.PatientSex, ds.PatientBirthDate = "", ""
        ds.StudyID, ds.AccessionNumber, ds.StudyDate, ds.StudyTime, ds.ReferringPhysicianName = "1", "", "", "", ""
        ds.InstitutionName, ds.Manufacturer, ds.BodyPartExamined = row["center"], row["vendor"], body_part
        ds.Laterality = {"right": "R", "left": "L"}[row["laterality"]]
        ds.SeriesNumber, ds.InstanceNumber, ds.SeriesDescription = number, k + 1, f"{row['view']} {row['sequence']}"
        ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "SE"]
        ds.MagneticFieldStrength, ds.RepetitionTime, ds.EchoTime = row["field_strength"], row["tr"], row["te"]
        ds.ScanningSequence, ds.SequenceVariant, ds.MRAcquisitionType = "SE", "NONE", "2D"
        ds.ScanOptions = "FS" if row["fat_suppressed"] else ""
        ds.Rows, ds.Columns = data.shape[1], data.shape[0]
        ds.PixelSpacing = [_ds(spacing[1]), _ds(spacing[0])]
        ds.SliceThickness = ds.SpacingBetweenSlices = _ds(spacing[2])
        ds.ImageOrientationPatient = [_ds(c) for c in (*cosines[:, 0], *cosines[:, 1])]
        ds.ImagePositionPatient = [_ds(c) for c in (affine @ [0, 0, k, 1])[:3] * RAS_TO_LPS]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.PixelData = np.ascontiguousarray(data[:, :, k].T.astype("<i2")).tobytes()
        with atomic(path) as temporary:
            ds.save_as(temporary)
    return folder


def _ds(value: float) -> str:
    """A decimal string (VR DS) holds 16 characters at most."""
    return f"{value:.9f}"[:16]
