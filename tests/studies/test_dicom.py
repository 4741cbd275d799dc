"""DICOM folders become verified volumes, or are refused with the reason."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from orthodx.errors import StudyError
from orthodx.joints import View
from orthodx.studies.discover import find_series

GE_KNEE = Path(__file__).parents[2].parent / "shared/data/knee_ge_3t_dicom"
ROW, COLUMN = np.array([0, 1.0, 0]), np.array([0, 0, -1.0])  # a sagittal slice, LPS


def write_stack(folder, n=10, te=(20.0,), change=None):
    """A sagittal stack of n slices every 4 mm for each echo time; `change(dataset, k)` spoils it."""
    folder.mkdir(parents=True, exist_ok=True)
    study, series = generate_uid(), generate_uid()
    rng = np.random.default_rng(0)
    for e, echo in enumerate(te):
        for k in range(n):
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
            meta.MediaStorageSOPInstanceUID = generate_uid()
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            path = folder / f"{e}_{(k * 7) % n}.dcm"
            ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
            ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
            ds.PatientName, ds.PatientID = "SECRET^PERSON", "MRN-314159"
            ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = study, series, "MR"
            ds.SeriesNumber, ds.InstanceNumber, ds.EchoNumbers, ds.EchoTime = 7, k + 1, e + 1, echo
            ds.MagneticFieldStrength, ds.Manufacturer = "1.4939999580383", "SIEMENS"
            ds.ImageType = ["ORIGINAL", "PRIMARY", "M"]
            ds.Rows, ds.Columns, ds.PixelSpacing = 24, 20, [0.7, 0.6]
            ds.ImageOrientationPatient = [*ROW, *COLUMN]
            ds.ImagePositionPatient = [-40.0 + 4 * k, -60.0, 80.0]
            ds.SliceThickness = 3.5
            ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
            ds.PixelRepresentation, ds.SamplesPerPixel, ds.PhotometricInterpretation = 0, 1, "MONOCHROME2"
            ds.PixelData = (rng.integers(0, 900, (24, 20)) + 1000 * k).astype("<u2").tobytes()
            if change is None or change(ds, k) is not False:
                ds.save_as(path)
    return folder


def test_a_shuffled_stack_is_read_in_world_order(tmp_path):
    (series,) = find_series([write_stack(tmp_path / "dcm")]).series
    volume = series.load()
    assert series.view is View.SAGITTAL
    assert series.row["field_strength"] == 1.5
    assert series.row["vendor"] == "Siemens"
    index = np.linalg.inv(volume.affine) @ np.array([40 - 4 * 6, 60, 80, 1.0])  # slice 6's first pixel, RAS
    i, j, k = np.rint(index[:3]).astype(int)
    np.testing.assert_allclose(index[:3], [i, j, k], atol=0.01)
    first = next(
        d.pixel_array[0, 0]
        for d in map(pydicom.dcmread, (tmp_path / "dcm").iterdir())
        if float(d.ImagePositionPatient[0]) == -16
    )
    assert volume.data[i, j, k] == first


def test_two_echoes_become_two_series(tmp_path):
    found = find_series([write_stack(tmp_path / "dcm", te=(10.0, 40.0))])
    assert [s.series_id[-3:] for s in found.series] == ["_e1", "_e2"]
    assert [s.row["te"] for s in found.series] == [10.0, 40.0]


def test_ids_do_not_betray_the_patient(tmp_path):
    (series,) = find_series([write_stack(tmp_path / "dcm")]).series
    header = pydicom.dcmread(next((tmp_path / "dcm").iterdir()))
    shown = repr((series, series.row))
    for secret in ("SECRET", "314159", header.StudyInstanceUID, header.SeriesInstanceUID):
        assert secret not in shown


def _drop_middle(ds, k):
    return k != 4


def _twice(ds, k):
    ds.ImagePositionPatient = [-40.0 + 4 * min(k, 5), -60, 80]


SPOILED = {"missing slice": (_drop_middle, "evenly spaced"), "same position": (_twice, "same position")}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_stack_is_refused_when_loaded(tmp_path, name):
    change, reason = SPOILED[name]
    (series,) = find_series([write_stack(tmp_path / "dcm", change=change)]).series
    with pytest.raises(StudyError, match=reason):
        series.load()


def test_a_truncated_file_is_refused(tmp_path):
    folder = write_stack(tmp_path / "dcm")
    victim = sorted(folder.iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:-300])
    (series,) = find_series([folder]).series
    with pytest.raises(StudyError, match="cannot be decoded"):
        series.load()


def test_localizers_and_missing_positions_are_named(tmp_path):
    def localizer(ds, k):
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    def nowhere(ds, k):
        del ds.ImagePositionPatient

    found = find_series([write_stack(tmp_path / "a", change=localizer), write_stack(tmp_path / "b", change=nowhere)])
    assert not found.series
    assert found.notes == [f"{tmp_path}/a: skipped: a localizer ({len(list((tmp_path / 'a').iterdir()))} files)"]
    assert all("ImagePositionPatient" in bad.reason for bad in found.refused)
    assert found.refused


@pytest.mark.skipif(not GE_KNEE.is_dir(), reason="the real GE knee is not beside this checkout")
def test_the_real_ge_knee_gives_two_verified_echoes():
    found = find_series([GE_KNEE])
    assert [s.row["te"] for s in found.series] == [6.312, 37.872]
    for series in found.series:
        assert (series.view, series.row["field_strength"]) == (View.SAGITTAL, 3.0)
        volume = series.load()
        assert volume.shape == (256, 256, 24)
        np.testing.assert_allclose(volume.spacing_mm, [0.625, 0.625, 4.0], atol=1e-3)
