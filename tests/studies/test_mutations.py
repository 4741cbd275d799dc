"""One good series, spoiled in every way we know: the right volume, or a refusal with its reason. Never a wrong one."""

import contextlib
import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from orthodx.errors import NoInputError
from orthodx.studies.convert import convert
from orthodx.synth.dicom_writer import write_dicom_series

SLICES = 10
ROW = dict(
    patient_id="P1", study_id="S1", series_id="A", center="Harbour", vendor="SIEMENS", laterality="left",
    view="sagittal", sequence="pd", field_strength=3.0, tr=3000.0, te=30.0, fat_suppressed=True,
)  # fmt: skip
AFFINE = np.array([[0, 0, -4.0, 30], [0.6, 0, 0, -20], [0, -0.7, 0, 40], [0, 0, 0, 1]])
DATA = np.random.default_rng(3).integers(1, 2000, (20, 24, SLICES)).astype(np.int16)


@pytest.fixture(autouse=True)
def _own_key(tmp_path, monkeypatch):
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))


@pytest.fixture
def good(tmp_path):
    """The folder and its datasets, in slice order."""
    folder = write_dicom_series(tmp_path / "dcm", DATA, AFFINE, ROW, 7)
    return folder, [pydicom.dcmread(p) for p in sorted(folder.iterdir())]


def save(folder, datasets):
    for path in folder.iterdir():
        path.unlink()
    for k, ds in enumerate(datasets):
        ds.save_as(folder / f"IM{k + 1:04d}.dcm")


def run(folder, out):
    try:
        return convert([folder], out)
    except NoInputError:
        return []


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def unlike(path, data=DATA, affine=AFFINE):
    """Where an image differs from the truth, compared in the world."""
    made = nib.as_closest_canonical(nib.load(path))
    truth = nib.as_closest_canonical(nib.Nifti1Image(np.asarray(data, np.float64), affine))
    if made.shape != truth.shape:
        return f"shape {made.shape}"
    if not np.allclose(made.affine, truth.affine, atol=2e-3):
        return f"affine {made.affine}"
    return "" if np.allclose(made.get_fdata(), truth.get_fdata(), rtol=1e-6, atol=1e-3) else "values"


def pixels(ds, values, dtype, stored, signed):
    bits = np.dtype(dtype).itemsize * 8
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, stored, stored - 1, int(signed)
    ds.PixelData = np.ascontiguousarray(values.T.astype(dtype)).tobytes()


def nothing(series):
    return DATA


def shuffled_instance_numbers(series):
    for ds, n in zip(series, np.random.default_rng(0).permutation(SLICES), strict=True):
        ds.InstanceNumber = int(n) + 1
    return DATA


def shuffled_files(series):
    np.random.default_rng(1).shuffle(series)
    return DATA


def reversed_files(series):
    series.reverse()
    return DATA


def no_instance_numbers(series):
    for ds in series:
        del ds.InstanceNumber
    return DATA


def no_modality(series):
    for ds in series:
        del ds.Modality
    return DATA


def no_patient(series):
    for ds in series:
        del ds.PatientID, ds.PatientName, ds.StudyID
    return DATA


def thickness_lies(series):
    for ds in series:
        ds.SliceThickness, ds.SpacingBetweenSlices = "9", "9"
    return DATA


def no_thickness(series):
    for ds in series:
        del ds.SliceThickness, ds.SpacingBetweenSlices
    return DATA


def jitter_of_a_hundredth(series):
    for k, ds in enumerate(series):
        ds.ImagePositionPatient = [ds.ImagePositionPatient[0] + 0.01 * (-1) ** k, *ds.ImagePositionPatient[1:]]
    return None  # compared with the tags by the verification itself


def unsigned_12(series):
    for k, ds in enumerate(series):
        pixels(ds, DATA[:, :, k], "<u2", 12, signed=False)
    return DATA


def signed_12_without_sign_bits(series):
    for k, ds in enumerate(series):
        pixels(ds, (DATA[:, :, k].astype(int) - 1000) & 0xFFF, "<u2", 12, signed=True)
    return DATA.astype(int) - 1000


def unused_bits_are_dirty(series):
    for k, ds in enumerate(series):
        pixels(ds, DATA[:, :, k].astype(int) | 0xA000, "<u2", 12, signed=False)
    return DATA


def signed_16(series):
    for k, ds in enumerate(series):
        pixels(ds, DATA[:, :, k].astype(int) * 15 - 20_000, "<i2", 16, signed=True)
    return DATA.astype(int) * 15 - 20_000


def unsigned_16(series):
    for k, ds in enumerate(series):
        pixels(ds, DATA[:, :, k].astype(int) * 32, "<u2", 16, signed=False)
    return DATA.astype(int) * 32


def unsigned_8(series):
    for k, ds in enumerate(series):
        pixels(ds, DATA[:, :, k] // 8, "u1", 8, signed=False)
    return DATA // 8


def scaled(slope, intercept):
    def change(series):
        for ds in series:
            ds.RescaleSlope, ds.RescaleIntercept = str(slope), str(intercept)
        return DATA * slope + intercept

    return change


def slope_per_slice(series):
    for k, ds in enumerate(series):
        ds.RescaleSlope, ds.RescaleIntercept = str(1 + k / 4), str(-k)
    return DATA * (1 + np.arange(SLICES) / 4) - np.arange(SLICES)


def compressed(syntax):
    def change(series):
        for k, ds in enumerate(series):
            pixels(ds, DATA[:, :, k], "<u2", 16, signed=False)
            ds.compress(syntax, generate_instance_uid=False)
        return DATA

    return change


def implicit(series):
    for ds in series:
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return DATA


def first_slice_missing(series):
    del series[0]
    return DATA[:, :, 1:]


def private_tags(series):
    for ds in series:
        block = ds.private_block(0x0029, "SOMEONE", create=True)
        block.add_new(1, "OB", b"\0" * 5000)
    return DATA


def decimal_commas_elsewhere(series):
    for ds in series:
        ds.RepetitionTime = "3000"
        ds.MagneticFieldStrength = "3"
        ds.ImageComments = "x" * 5000
    return DATA


RIGHT = {
    f.__name__: f
    for f in (
        nothing, shuffled_instance_numbers, shuffled_files, reversed_files, no_instance_numbers, no_modality,
        no_patient, thickness_lies, no_thickness, jitter_of_a_hundredth, unsigned_12,
        signed_12_without_sign_bits, unused_bits_are_dirty, signed_16, unsigned_16, unsigned_8, slope_per_slice,
        implicit, private_tags, decimal_commas_elsewhere,
    )
} | {
    "slope 2 intercept -1024": scaled(2, -1024), "slope 0.1221": scaled(0.1221, 0.5), "RLE": compressed(RLELossless),
    "JPEG-LS": compressed(JPEGLSLossless),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_the_volume_is_right(name, good, tmp_path):
    folder, series = good
    truth = RIGHT[name](series)
    save(folder, series)
    (outcome,) = run(folder, tmp_path / "out")
    assert outcome.status == "converted", outcome.reason
    if truth is not None:
        assert unlike(tmp_path / "out" / outcome.row["path"], truth) == ""


def missing_slice(series):
    del series[4]


def same_place_other_pixels(series):
    twin = pydicom.dcmread(series[3].filename)
    twin.SOPInstanceUID, twin.InstanceNumber = generate_uid(), 77
    pixels(twin, DATA[:, :, 0], "<i2", 16, signed=True)
    series.append(twin)


def two_patients_interleaved(series):
    for ds in series[::2]:
        ds.PatientID = "P2"


def two_studies(series):
    for ds in series[5:]:
        ds.StudyInstanceUID = generate_uid()


def one_without_position(series):
    del series[0].ImagePositionPatient


def none_with_position(series):
    for ds in series:
        del ds.ImagePositionPatient


def raw(keyword, text, which=slice(0, 1)):
    """Put text into a numeric tag as a careless program would."""

    def change(series):
        for ds in series[which]:
            tag = pydicom.tag.Tag(keyword)
            ds[tag] = pydicom.dataelem.RawDataElement(tag, "DS", len(text), text.encode(), 0, False, True)

    return change


def mixed_spacing(series):
    series[5].PixelSpacing = ["0.8", "0.8"]


def every_second_slice_missing(series):
    del series[1::2]


def sheared(series):
    for k, ds in enumerate(series):
        ds.ImagePositionPatient = [ds.ImagePositionPatient[0], ds.ImagePositionPatient[1] + k, 40]


def one_slice_misplaced_along(series):
    x, y, z = series[4].ImagePositionPatient
    series[4].ImagePositionPatient = [x + 1, y, z]


def one_slice_misplaced_sideways(series):
    x, y, z = series[4].ImagePositionPatient
    series[4].ImagePositionPatient = [x, y + 1, z]


def two_positions_swapped_and_one_doubled(series):
    series[2].ImagePositionPatient = series[7].ImagePositionPatient


def every(**tags):
    def change(series):
        for ds in series:
            for keyword, value in tags.items():
                setattr(ds, keyword, value)

    return change


def colour(series):
    for ds in series:
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.PixelData = ds.PixelData * 3


def one_monochrome1(series):
    series[3].PhotometricInterpretation = "MONOCHROME1"


def look_up_table(series):
    item = Dataset()
    item.LUTDescriptor, item.LUTData, item.ModalityLUTType = [256, 0, 16], bytes(512), "US"
    for ds in series:
        ds.ModalityLUTSequence = Sequence([item])


def half_the_pixels(series):
    series[3].PixelData = series[3].PixelData[:200]


def no_pixels(series):
    del series[3].PixelData


def too_many_pixels(series):
    series[3].PixelData = series[3].PixelData * 2


def one_of_another_size(series):
    series[3].Rows = 20


def one_rotated(series):
    series[9].ImageOrientationPatient = [0, 0, 1, 0, 1, 0]


def time_points(series):
    for k in range(SLICES):
        twin = pydicom.dcmread(series[k].filename)
        twin.SOPInstanceUID, twin.TemporalPositionIdentifier = generate_uid(), 2
        series[k].TemporalPositionIdentifier = 1
        series.append(twin)


def hidden_time_points(series):
    for k in range(SLICES):
        twin = pydicom.dcmread(series[k].filename)
        twin.SOPInstanceUID, twin.InstanceNumber = generate_uid(), SLICES + k + 1
        series.append(twin)


def all_the_same_grey(series):
    for ds in series:
        ds.PixelData = b"\1\0" * (20 * 24)


def only_one(series):
    del series[1:]


def garbage_in_a_compressed_file(series):
    compressed(RLELossless)(series)
    series[3].PixelData = pydicom.encaps.encapsulate([b"\xff" * 100])


def high_bit_elsewhere(series):
    for ds in series:
        ds.BitsStored, ds.HighBit = 12, 15


REFUSED = {
    "missing slice": (missing_slice, "not evenly spaced, 8.00 mm"),
    "same place, other pixels": (same_place_other_pixels, "two slices lie at the same position"),
    "two patients interleaved": (two_patients_interleaved, "two patients or studies under one series UID"),
    "two studies": (two_studies, "two patients or studies under one series UID"),
    "one without position": (one_without_position, "IM0001.dcm: no usable ImagePositionPatient"),
    "none with position": (none_with_position, "no usable ImagePositionPatient"),
    "NaN position": (raw("ImagePositionPatient", "nan\\0\\0 "), "IM0001.dcm: no usable ImagePositionPatient"),
    "infinite position": (raw("ImagePositionPatient", "1e999\\0\\0 "), "no usable ImagePositionPatient"),
    "two numbers of position": (raw("ImagePositionPatient", "1\\2 "), "no usable ImagePositionPatient"),
    "words for position": (raw("ImagePositionPatient", "a\\b\\c "), "IM0001.dcm"),
    "no orientation": (raw("ImageOrientationPatient", ""), "no usable ImageOrientationPatient"),
    "zero spacing": (raw("PixelSpacing", "0\\0 "), "IM0001.dcm: an impossible PixelSpacing"),
    "negative spacing": (raw("PixelSpacing", "-1\\1", slice(None)), "an impossible PixelSpacing"),
    "mixed spacing": (mixed_spacing, "not evenly spaced"),
    "every second slice missing": (every_second_slice_missing, "the header says 4.00 mm"),
    "sheared": (sheared, "sheared"),
    "misplaced along": (one_slice_misplaced_along, "not evenly spaced"),
    "misplaced sideways": (one_slice_misplaced_sideways, "sheared"),
    "doubled position": (two_positions_swapped_and_one_doubled, "two slices lie at the same position"),
    "MONOCHROME1": (every(PhotometricInterpretation="MONOCHROME1"), "not MONOCHROME2"),
    "one MONOCHROME1": (one_monochrome1, "IM0004.dcm: grey values that are not MONOCHROME2"),
    "colour": (colour, "a colour image"),
    "look-up table": (look_up_table, "look-up table"),
    "zero slope": (raw("RescaleSlope", "0 "), "RescaleSlope"),
    "NaN intercept": (raw("RescaleIntercept", "nan "), "RescaleIntercept"),
    "half the pixels": (half_the_pixels, "IM0004.dcm cannot be decoded"),
    "no pixels": (no_pixels, "IM0004.dcm cannot be decoded"),
    "too many pixels": (too_many_pixels, "IM0004.dcm cannot be decoded"),
    "another size": (one_of_another_size, "not evenly spaced"),
    "one rotated": (one_rotated, "a single slice is no volume"),
    "long cosines": (every(ImageOrientationPatient=[0, 1.1, 0, 0, 0, -1]), "no pair of perpendicular unit vectors"),
    "skew cosines": (every(ImageOrientationPatient=[0, 1, 0, 0, 0.6, -0.8]), "no pair of perpendicular unit vectors"),
    "localizer": (every(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "a localizer"),
    "mosaic": (every(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), "a mosaic"),
    "derived map": (every(ImageType=["DERIVED", "PRIMARY", "T2 MAP"]), "a derived map"),
    "projection": (every(ImageType=["DERIVED", "SECONDARY", "PROJECTION IMAGE"]), "a projection"),
    "structured report": (every(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22"), "a structured report"),
    "secondary capture": (every(SOPClassUID=SecondaryCaptureImageStorage), "a secondary capture"),
    "classic with several frames": (every(NumberOfFrames=3), "several frames"),
    "time points": (time_points, "4D: 2 time points"),
    "hidden time points": (hidden_time_points, "4D or repeated: 2 images at each of 10 positions"),
    "one grey value": (all_the_same_grey, "all voxels equal"),
    "a single slice": (only_one, "a single slice is no volume"),
    "garbage compressed": (garbage_in_a_compressed_file, "IM0004.dcm cannot be decoded"),
    "high bit elsewhere": (high_bit_elsewhere, "cannot be decoded"),
    "words for echo time": (raw("EchoTime", "long"), "IM0001.dcm: a header with unreadable values"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_series_is_refused_with_its_reason(name, good, tmp_path):
    folder, series = good
    change, reason = REFUSED[name]
    change(series)
    save(folder, series)
    told = []
    with contextlib.suppress(NoInputError):
        convert([folder], tmp_path / "out", tell=lambda outcome, done, total: told.append(outcome))
    assert reason in " | ".join(f"{o.label}: {o.reason}" for o in told)
    for outcome in told:  # a part that is whole in itself may stay, if it is right
        if outcome.status == "converted":
            assert name == "one rotated"
            assert "2 orientations" in outcome.row["warnings"]
            assert unlike(tmp_path / "out" / outcome.row["path"], DATA[:, :, :9]) == ""
    assert len(rows(tmp_path / "out/manifest.csv")) == sum(o.status == "converted" for o in told)


def test_a_missing_end_is_converted_with_a_warning(good, tmp_path):
    folder, series = good
    truth = first_slice_missing(series)
    every(ImagesInAcquisition=SLICES)(series)
    save(folder, series)
    (outcome,) = run(folder, tmp_path / "out")
    moved = AFFINE.copy()
    moved[:, 3] = AFFINE @ [0, 0, 1, 1]
    assert unlike(tmp_path / "out" / outcome.row["path"], truth, moved) == ""
    assert "announced 10 images in the acquisition, 9" in outcome.row["warnings"]


@pytest.mark.parametrize("keep", [100, 200, 700, -300])
def test_a_truncated_file_condemns_or_marks_its_series(good, tmp_path, keep):
    folder, _ = good
    victim = folder / "IM0010.dcm"
    victim.write_bytes(victim.read_bytes()[:keep])
    told = []
    try:
        convert([folder], tmp_path / "out", tell=lambda outcome, done, total: told.append(outcome))
    except NoInputError:
        return
    (outcome,) = [o for o in told if o.status == "converted"]
    assert unlike(tmp_path / "out" / outcome.row["path"], DATA[:, :, :9]) == ""
    if keep > 132:  # still known as DICOM
        assert "IM0010.dcm" in " ".join(o.label for o in told if o.status == "refused")
        assert "damaged file" in outcome.row["warnings"]


def test_big_endian_without_preamble_without_extension_and_dates_in_names(good, tmp_path):
    folder, series = good
    for k, path in enumerate(sorted(folder.iterdir())):
        place = folder / f"1960-02-{k + 1:02d}" / "a" / "b"
        place.mkdir(parents=True)
        if k % 3 == 0:
            series[k].file_meta.TransferSyntaxUID = ExplicitVRBigEndian
            series[k].PixelData = np.frombuffer(series[k].PixelData, "<i2").astype(">i2").tobytes()
            pydicom.dcmwrite(place / "image", series[k], little_endian=False, implicit_vr=False)
        elif k % 3 == 1:
            raw_file = path.read_bytes()
            (place / "image").write_bytes(raw_file[raw_file.index(b"\x08\x00\x08\x00CS") :])
        else:
            shutil.copy(path, place / "MUSTER_HANS_19600229")
        path.unlink()
    (outcome,) = run(folder, tmp_path / "out")
    assert unlike(tmp_path / "out" / outcome.row["path"]) == ""
    written = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert b"MUSTER" not in written
    assert b"1960" not in written


def test_an_unknown_character_set_changes_nothing(good, tmp_path):
    folder, series = good
    every(SpecificCharacterSet="ISO_IR 100", InstitutionName="Hôpital")(series)
    save(folder, series)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"ISO_IR 999"))
    (outcome,) = run(folder, tmp_path / "out")
    assert unlike(tmp_path / "out" / outcome.row["path"]) == ""


def test_other_files_are_counted_and_a_dicomdir_ignored(good, tmp_path):
    folder, _ = good
    (folder / "notes.txt").write_text("hello")
    (folder / "empty.dcm").write_bytes(b"")
    shutil.copy(folder / "IM0001.dcm", folder / "DICOMDIR")
    (outcome,) = run(folder, tmp_path / "out")
    assert unlike(tmp_path / "out" / outcome.row["path"]) == ""
    assert '"files_not_dicom": 3' in (tmp_path / "out/run.json").read_text()


def test_magnitude_and_phase_and_two_echoes_are_four_series(good, tmp_path):
    folder, series = good
    for kind, te in (("P", 30), ("M", 60), ("P", 60)):
        for k in range(SLICES):
            twin = pydicom.dcmread(folder / f"IM{k + 1:04d}.dcm")
            twin.SOPInstanceUID, twin.EchoTime, twin.ImageType = generate_uid(), te, ["ORIGINAL", "PRIMARY", kind]
            pixels(twin, DATA[:, :, k] + te + (kind == "P"), "<i2", 16, signed=True)
            series.append(twin)
    save(folder, series)
    outcomes = run(folder, tmp_path / "out")
    found = {(o.row["part"], o.row["te"]): o for o in outcomes}
    assert len(found) == 4
    for (part, te), outcome in found.items():
        added = 0 if (part, te) == ("magnitude", 30.0) else te + (part == "phase")
        assert unlike(tmp_path / "out" / outcome.row["path"], DATA + int(added)) == ""
    assert len({o.series_id for o in outcomes}) == 4


def enhanced(series, order):
    """All slices as one enhanced multi-frame object, frames in the given order."""
    ds = pydicom.dcmread(series[0].filename)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "EchoTime"):
        delattr(ds, keyword)
    shared, frames = Dataset(), []
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [Dataset()], [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = series[0].ImageOrientationPatient
    shared.PixelMeasuresSequence[0].PixelSpacing = series[0].PixelSpacing
    for k in order:
        frame = Dataset()
        frame.PlanePositionSequence, frame.MREchoSequence = [Dataset()], [Dataset()]
        frame.PixelValueTransformationSequence = [Dataset()]
        frame.PlanePositionSequence[0].ImagePositionPatient = series[k].ImagePositionPatient
        frame.MREchoSequence[0].EffectiveEchoTime = 30.0
        frame.PixelValueTransformationSequence[0].RescaleSlope = str(k + 1)
        frame.PixelValueTransformationSequence[0].RescaleIntercept = "5"
        frames.append(frame)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], frames
    ds.NumberOfFrames = len(order)
    ds.PixelData = b"".join(series[k].PixelData for k in order)
    return ds


def test_an_enhanced_object_is_read_frame_by_frame(good, tmp_path):
    folder, series = good
    save(folder, [enhanced(series, [3, 1, 0, 2, 9, 8, 7, 4, 5, 6])])
    (outcome,) = run(folder, tmp_path / "out")
    assert unlike(tmp_path / "out" / outcome.row["path"], DATA.astype(int) * (1 + np.arange(SLICES)) + 5) == ""
    assert (outcome.row["te"], outcome.row["field_strength"]) == (30.0, 3.0)


def test_each_echo_of_an_enhanced_object_has_its_own_time_in_its_sidecar(good, tmp_path):
    folder, series = good
    ds = enhanced(series, [k for k in range(SLICES) for _ in range(2)])
    for i, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        frame.MREchoSequence[0].EffectiveEchoTime = (30.0, 60.0)[i % 2]
    save(folder, [ds])
    found = {o.row["te"]: tmp_path / "out" / o.row["path"] for o in run(folder, tmp_path / "out")}
    sides = {
        te: json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text()) for te, path in found.items()
    }
    assert {te: side["EchoTime"] for te, side in sides.items()} == {30.0: 0.03, 60.0: 0.06}


def test_an_enhanced_object_with_a_frame_missing_is_refused(good, tmp_path):
    folder, series = good
    save(folder, [enhanced(series, [0, 1, 2, 4, 5, 6, 7, 8, 9])])
    assert run(folder, tmp_path / "out") == []
    assert "not evenly spaced" in rows(tmp_path / "out/failures.csv")[0]["reason"]


def test_there_are_at_least_forty_mutations():
    assert len(RIGHT) + len(REFUSED) >= 60


def test_the_test_would_see_a_wrong_volume(good, tmp_path):
    folder, _ = good
    (outcome,) = run(folder, tmp_path / "out")
    path = Path(tmp_path / "out" / outcome.row["path"])
    image = nib.load(path)
    flipped = nib.Nifti1Image(np.asarray(image.dataobj)[::-1], image.affine)
    nib.save(flipped, tmp_path / "flipped.nii.gz")
    assert unlike(tmp_path / "flipped.nii.gz") == "values"
