"""Masks that go back to the archive: the same labels, on the same images, read by highdicom and by pydicom alone."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage

from orthodx.errors import NoInputError, StudyError, UsageError
from orthodx.inference.dicom_seg import write_dicom_seg
from orthodx.inference.segment import segment
from orthodx.joints import KNEE, Structure
from orthodx.studies.discover import find_series
from orthodx.studies.label_tables import rgb
from orthodx.studies.verification import place_in
from orthodx.synth.dicom_writer import write_dicom_series

pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")

ROW = dict(
    patient_id="P1", study_id="S1", series_id="A", center="Harbour", vendor="SIEMENS", laterality="left",
    view="sagittal", sequence="pd", field_strength=3.0, tr=3000.0, te=30.0, fat_suppressed=True,
)  # fmt: skip
AFFINE = np.array([[0, 0, -4.0, 30], [0.6, 0, 0, -20], [0, -0.7, 0, 40], [0, 0, 0, 1]])


@pytest.fixture
def series(tmp_path, monkeypatch):
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))
    data = np.random.default_rng(3).integers(1, 2000, (40, 32, 9)).astype(np.int16)
    (one,) = find_series([write_dicom_series(tmp_path / "dcm", data, AFFINE, ROW, 7)]).series
    return one


def drawn(shape):
    """Every structure somewhere; the first slice stays empty."""
    labels = np.random.default_rng(1).integers(0, 12, shape).astype(np.uint8)
    labels[:, :, 0] = 0
    return labels


def truth(labels, volume, series):
    """SOPInstanceUID -> the labels of that image, (rows, columns)."""
    planes = {}
    for frame in series.stack.frames:
        place = place_in(volume.affine, volume.shape, frame, series.stack.kind.matrix, "test")
        uid = pydicom.dcmread(frame.file.path, stop_before_pixels=True).SOPInstanceUID
        planes[uid] = place.of(labels)
    return planes


def test_the_mask_is_read_back_by_pydicom_alone(series, tmp_path):
    volume = series.load()
    labels = drawn(volume.shape)
    write_dicom_seg(tmp_path / "a.dcm", labels, volume.affine, series, KNEE, "tiny")
    seg, wanted = pydicom.dcmread(tmp_path / "a.dcm"), truth(labels, volume, series)
    numbers = {s.SegmentNumber: s.SegmentLabel for s in seg.SegmentSequence}
    assert list(numbers.values()) == [n.replace("_", " ") for n in KNEE.names.values()]
    found = {uid: np.zeros_like(plane) for uid, plane in wanted.items()}
    for frame, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        found[source.ReferencedSOPInstanceUID][pixels > 0] = number
    for uid, plane in wanted.items():
        np.testing.assert_array_equal(found[uid], plane)
    image = pydicom.dcmread(next((tmp_path / "dcm").iterdir()))
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert seg[keyword].value == image[keyword].value
    assert seg.SeriesInstanceUID != image.SeriesInstanceUID


def test_the_mask_is_read_back_by_highdicom(series, tmp_path):
    import highdicom as hd

    volume = series.load()
    labels = drawn(volume.shape)
    write_dicom_seg(tmp_path / "a.dcm", labels, volume.affine, series, KNEE, "tiny")
    wanted = truth(labels, volume, series)
    read = hd.seg.segread(tmp_path / "a.dcm").get_pixels_by_source_instance(
        list(wanted), combine_segments=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(read, np.stack(list(wanted.values())))


def in_one_object(folder, out):
    """Slices as an enhanced object of two echoes, in turn, whose every frame tells its whole geometry."""
    slices = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    ds, frames = pydicom.dcmread(slices[0].filename), []
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "EchoTime"):
        delattr(ds, keyword)
    for one in slices:
        for te in (10.0, 60.0):
            frame = Dataset()
            for sequence in ("PlanePosition", "PlaneOrientation", "PixelMeasures", "MREcho"):
                setattr(frame, f"{sequence}Sequence", [Dataset()])
            frame.PlanePositionSequence[0].ImagePositionPatient = one.ImagePositionPatient
            frame.PlaneOrientationSequence[0].ImageOrientationPatient = one.ImageOrientationPatient
            frame.PixelMeasuresSequence[0].PixelSpacing = one.PixelSpacing
            frame.PixelMeasuresSequence[0].SliceThickness = 4
            frame.MREchoSequence[0].EffectiveEchoTime = te
            frames.append(frame)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [Dataset()], frames
    ds.NumberOfFrames = len(frames)
    ds.PixelData = b"".join(one.PixelData for one in slices for _ in range(2))
    out.mkdir()
    ds.save_as(out / "all.dcm")
    return sorted(find_series([out]).series, key=lambda one: one.row["te"])


def test_a_mask_of_an_echo_in_an_enhanced_object_refers_to_its_own_frames(series, tmp_path):
    echoes = in_one_object(series.path, tmp_path / "enhanced")
    assert [one.row["te"] for one in echoes] == [10.0, 60.0]
    for number, one in enumerate(echoes):
        volume = one.load()
        labels = drawn(volume.shape)
        write_dicom_seg(tmp_path / "a.dcm", labels, volume.affine, one, KNEE, "tiny")
        seg, seen = pydicom.dcmread(tmp_path / "a.dcm"), set()
        frame_of = {frame.index + 1: frame for frame in one.stack.frames}
        for frame, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
            value = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            (source,) = frame.DerivationImageSequence[0].SourceImageSequence
            referred = frame_of[int(source.ReferencedFrameNumber)]
            place = place_in(volume.affine, volume.shape, referred, one.stack.kind.matrix, "test")
            np.testing.assert_array_equal(pixels > 0, place.of(labels) == value)
            seen.add(int(source.ReferencedFrameNumber))
        assert len(seen) == 8  # the first slice stays empty
        assert {n % 2 for n in seen} == {1 - number}


def test_structures_have_snomed_codes(series, tmp_path):
    volume = series.load()
    joint = replace(KNEE, structures=(*KNEE.structures, Structure(40, "plica", "#ffffff")))
    write_dicom_seg(tmp_path / "a.dcm", drawn(volume.shape), volume.affine, series, joint, "tiny")
    segments = pydicom.dcmread(tmp_path / "a.dcm").SegmentSequence
    kinds = [s.SegmentedPropertyTypeCodeSequence[0] for s in segments]
    assert [k.CodingSchemeDesignator for k in kinds] == ["SCT"] * 11 + ["99ORTHODX"]
    assert (kinds[0].CodeValue, kinds[0].CodeMeaning) == ("71341001", "Femur")
    assert segments[4].AnatomicRegionSequence[0].CodeValue == "71341001"


def test_structures_are_shown_in_the_colours_of_the_joint(series, tmp_path):
    import highdicom as hd

    volume = series.load()
    write_dicom_seg(tmp_path / "a.dcm", drawn(volume.shape), volume.affine, series, KNEE, "tiny")
    seg = pydicom.dcmread(tmp_path / "a.dcm")
    assert seg.SeriesDescription == "orthodx tiny: knee structures"
    for segment_, structure in zip(seg.SegmentSequence, KNEE.structures, strict=True):
        shown = hd.color.CIELabColor.from_dicom_value(segment_.RecommendedDisplayCIELabValue).to_rgb(clip=True)
        np.testing.assert_allclose(shown, rgb(structure.colour), atol=1)


def test_an_image_that_is_no_dicom_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    nib.save(nib.Nifti1Image(rng.normal(size=(20, 20, 9)).astype(np.float32), AFFINE), tmp_path / "x.nii.gz")
    (one,) = find_series([tmp_path / "x.nii.gz"]).series
    with pytest.raises(StudyError, match=r"needs DICOM images, this is x\.nii\.gz"):
        write_dicom_seg(tmp_path / "a.dcm", np.zeros((20, 20, 9), np.uint8), AFFINE, one, KNEE, "tiny")


def without(series, *keywords):
    for path in series.path.iterdir():
        ds = pydicom.dcmread(path)
        for keyword in keywords:
            delattr(ds, keyword)
        ds.save_as(path)
    return find_series([series.path]).series[0]


TYPE_2 = ("PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime", "AccessionNumber",
          "ReferringPhysicianName")  # fmt: skip


@pytest.mark.parametrize("gone", [TYPE_2, ("StudyDate",), ("PatientName", "AccessionNumber")])
def test_what_may_be_empty_may_be_missing(series, tmp_path, gone):
    series = without(series, *gone)
    volume = series.load()
    write_dicom_seg(tmp_path / "a.dcm", drawn(volume.shape), volume.affine, series, KNEE, "tiny")
    made = pydicom.dcmread(tmp_path / "a.dcm")
    assert all(keyword in made and not made[keyword].value for keyword in gone)


def test_what_must_be_there_is_named_and_the_other_mask_and_its_volumes_stay(series, bundle, tmp_path):
    series = without(series, "FrameOfReferenceUID")
    line = {"model": bundle.path, "preview": False, "device": "cpu"}
    (case,) = segment([series.path], tmp_path / "both", formats=("nifti", "dicom-seg"), **line)
    assert case.status == "warned"
    assert "FrameOfReferenceUID" in case.reason
    assert case.volumes
    assert len(list((tmp_path / "both").glob("*.nii.gz"))) == 1
    (kept,) = segment([series.path], tmp_path / "both", formats=("nifti", "dicom-seg"), resume=True, **line)
    assert kept == case
    with pytest.raises(NoInputError):
        segment([series.path], tmp_path / "alone", formats=("dicom-seg",), **line)


def test_segment_writes_both_formats_of_the_same_mask(series, bundle, tmp_path):
    out = tmp_path / "out"
    formats = ("nifti", "dicom-seg")
    (case,) = segment([series.path], out, model=bundle.path, device="cpu", preview=False, formats=formats)
    assert case.status != "failed", case.reason
    seg = pydicom.dcmread(out / f"{case.series_id}.seg.dcm")
    mask = np.asarray(nib.load(out / f"{case.series_id}.nii.gz").dataobj)
    count = {n: 0 for n in KNEE.names}
    for frame, pixels in zip(seg.PerFrameFunctionalGroupsSequence, np.atleast_3d(seg.pixel_array), strict=True):
        count[frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber] += int((pixels > 0).sum())
    assert count == {n: int((mask == n).sum()) for n in KNEE.names}
    (out / f"{case.series_id}.seg.dcm").unlink()
    segment([series.path], out, model=bundle.path, device="cpu", preview=False, formats=formats, resume=True)
    assert (out / f"{case.series_id}.seg.dcm").is_file()
    with pytest.raises(UsageError, match="no format 'analyze'"):
        segment([series.path], out, model=bundle.path, device="cpu", formats=("analyze",))
