"""One volume whose slices a tag tells apart stays one; copies are read once; signs of missing slices are told."""

import contextlib
import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

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
def folder(tmp_path):
    return write_dicom_series(tmp_path / "knee", DATA, AFFINE, ROW, 7)


def retagged(folder, change):
    """change: called with each dataset, in slice order, and its number."""
    for k, path in enumerate(sorted(folder.iterdir())):
        ds = pydicom.dcmread(path)
        change(ds, k)
        ds.save_as(path)


def converted(folder, out):
    """Outcomes by status."""
    found = {"converted": [], "skipped": [], "refused": []}
    with contextlib.suppress(NoInputError):
        convert([folder], out, tell=lambda outcome, done, total: found[outcome.status].append(outcome))
    return found


def is_right(path, data=DATA, affine=AFFINE):
    made, truth = nib.as_closest_canonical(nib.load(path)), nib.as_closest_canonical(nib.Nifti1Image(data, affine))
    return np.allclose(made.affine, truth.affine, atol=2e-3) and np.array_equal(made.get_fdata(), truth.get_fdata())


def echo_jitter_in_turn(ds, k):
    ds.EchoTime = 30 + 0.002 * (k % 2)


def echo_jitter_of_two_slices(ds, k):
    ds.EchoTime = 30.011 if k in (4, 5) else 30


def echo_jitter_in_blocks(ds, k):
    ds.EchoTime = 30 + 0.004 * (k >= 5)


def every_echo_time_another(ds, k):
    ds.EchoTime = 30 + 0.003 * k


def temporal_position_counts_slices(ds, k):
    ds.TemporalPositionIdentifier = k + 1


def temporal_position_of_halves(ds, k):
    ds.TemporalPositionIdentifier = 1 + k // 5


def image_type_words_vary(ds, k):
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "SE", *(["FILTERED"] if k % 3 else [])]


def one_derived_slice(ds, k):
    ds.ImageType = ["DERIVED" if k == 6 else "ORIGINAL", "PRIMARY", "M", "SE"]


def map_in_the_name_of_a_weighting(ds, k):
    ds.ImageType = ["ORIGINAL", "PRIMARY", "T1 MAP"]


def everything_at_once(ds, k):
    echo_jitter_in_turn(ds, k)
    one_derived_slice(ds, k)
    temporal_position_counts_slices(ds, k)


ONE = (
    echo_jitter_in_turn, echo_jitter_of_two_slices, echo_jitter_in_blocks, every_echo_time_another,
    temporal_position_counts_slices, temporal_position_of_halves, image_type_words_vary, one_derived_slice,
    map_in_the_name_of_a_weighting, everything_at_once,
)  # fmt: skip


@pytest.mark.parametrize("change", ONE, ids=lambda change: change.__name__)
def test_a_tag_that_does_not_define_a_volume_splits_none(folder, tmp_path, change):
    retagged(folder, change)
    found = converted(folder, tmp_path / "out")
    (outcome,) = found["converted"]
    assert is_right(tmp_path / "out" / outcome.row["path"])
    assert outcome.row["slices"] == SLICES
    assert not outcome.row["warnings"]


def test_echo_times_that_truly_differ_within_one_volume_are_told(folder, tmp_path):
    retagged(folder, lambda ds, k: setattr(ds, "EchoTime", 30 if k else 90))
    (outcome,) = converted(folder, tmp_path / "out")["converted"]
    assert is_right(tmp_path / "out" / outcome.row["path"])
    assert "echo times from 30 to 90 ms" in outcome.row["warnings"]


@pytest.mark.parametrize("gone", [4, 5])
def test_a_hole_in_a_jittered_series_stays_a_hole(folder, tmp_path, gone):
    retagged(folder, echo_jitter_in_turn)
    (folder / f"IM{gone + 1:04d}.dcm").unlink()
    found = converted(folder, tmp_path / "out")
    assert not found["converted"]
    assert "not evenly spaced" in found["refused"][0].reason


def second_echo(folder, jitter, without=()):
    for k, path in enumerate(sorted(folder.iterdir())):
        ds = pydicom.dcmread(path)
        ds.EchoTime = 30 + jitter * (k % 2)
        ds.save_as(path)
        if k in without:
            continue
        ds.SOPInstanceUID, ds.EchoTime, ds.InstanceNumber = generate_uid(), 80 + jitter * (k % 3), SLICES + k + 1
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.PixelData = (DATA[:, :, k].T + 7).astype("<i2").tobytes()
        ds.save_as(path.with_name(f"second{k:02d}.dcm"))


@pytest.mark.parametrize("jitter", [0, 0.003])
def test_two_echoes_stay_two_volumes_jittered_or_not(folder, tmp_path, jitter):
    second_echo(folder, jitter)
    outcomes = converted(folder, tmp_path / "out")["converted"]
    assert len(outcomes) == 2
    for outcome in outcomes:
        added = 7 if float(outcome.row["te"]) > 50 else 0
        assert is_right(tmp_path / "out" / outcome.row["path"], DATA + np.int16(added))


@pytest.mark.parametrize(("without", "jitter"), [((9,), 0), ((0,), 0), ((8, 9), 0.003)])
def test_an_end_that_one_echo_lacks_joins_nothing_and_is_told(folder, tmp_path, without, jitter):
    second_echo(folder, jitter, without)
    warnings = {o.row["slices"]: o.row["warnings"] for o in converted(folder, tmp_path / "out")["converted"]}
    assert set(warnings) == {SLICES - len(without), SLICES}
    assert "another part of its series has slices where this one has none" in warnings[SLICES - len(without)]
    assert "another part" not in warnings[SLICES]


def test_water_and_fat_whose_echo_times_jitter_are_two_volumes(folder, tmp_path):
    for k, path in enumerate(sorted(folder.iterdir())):
        ds = pydicom.dcmread(path)
        ds.EchoTime, ds.ImageType = 30 + 0.002 * (k % 2), ["ORIGINAL", "PRIMARY", "W"]
        ds.save_as(path)
        ds.SOPInstanceUID, ds.EchoTime, ds.ImageType = generate_uid(), 30.001, ["DERIVED", "PRIMARY", "F"]
        ds.EchoTime = 30 + 0.002 * (k % 3)
        ds.PixelData = (DATA[:, :, k].T + 7).astype("<i2").tobytes()
        ds.save_as(path.with_name(f"fat{k:02d}.dcm"))
    outcomes = converted(folder, tmp_path / "out")["converted"]
    images = [tmp_path / "out" / o.row["path"] for o in outcomes]
    assert sorted(is_right(image, DATA + np.int16(added)) for image in images for added in (0, 7)) == [0, 0, 1, 1]


def test_one_turned_slice_leaves_a_jittered_volume_one(folder, tmp_path):
    def change(ds, k):
        echo_jitter_in_turn(ds, k)
        if k == 9:
            ds.ImageOrientationPatient = [0, 0, 1, 0, 1, 0]

    retagged(folder, change)
    found = converted(folder, tmp_path / "out")
    (outcome,) = found["converted"]
    assert is_right(tmp_path / "out" / outcome.row["path"], DATA[:, :, :9])
    assert "2 orientations" in outcome.row["warnings"]
    assert "a single slice is no volume" in found["refused"][0].reason


def test_parts_that_do_not_meet_are_not_joined(folder, tmp_path):
    def change(ds, k):
        ds.EchoTime = 30 + 0.003 * (k >= 5)
        if k >= 5:
            ds.ImagePositionPatient = [ds.ImagePositionPatient[0] - 60, *ds.ImagePositionPatient[1:]]

    retagged(folder, change)
    assert [o.row["slices"] for o in converted(folder, tmp_path / "out")["converted"]] == [5, 5]


def test_b_values_are_never_mixed(folder, tmp_path):
    retagged(folder, lambda ds, k: setattr(ds, "DiffusionBValue", 1000.0 * (k >= 5)))
    found = converted(folder, tmp_path / "out")
    assert not found["converted"]
    assert "4D: 2 time points or b-values" in found["refused"][0].reason


def test_series_without_a_uid_are_kept_apart_by_folder(tmp_path):
    for n in range(2):
        folder = write_dicom_series(tmp_path / f"in/{n}", DATA[:, :, n::2], AFFINE @ np.diag([1, 1, 2, 1]), ROW, 7)
        retagged(folder, lambda ds, k, n=n: delattr(ds, "SeriesInstanceUID"))
    outcomes = converted(tmp_path / "in", tmp_path / "out")["converted"]
    assert [o.row["slices"] for o in outcomes] == [5, 5]
    assert len({o.series_id for o in outcomes}) == 2


def test_a_slice_left_out_of_its_series_is_told_there(folder, tmp_path):
    retagged(folder, lambda ds, k: setattr(ds, "ImageType", ["DERIVED", "PRIMARY", "T1 MAP"]) if k == 9 else None)
    (outcome,) = converted(folder, tmp_path / "out")["converted"]
    assert is_right(tmp_path / "out" / outcome.row["path"], DATA[:, :, :9])
    assert "1 left out of its series: a derived map: its values are no signal" in outcome.row["warnings"]


def test_time_points_with_positions_of_their_own_are_still_4d(folder, tmp_path):
    for k, path in enumerate(sorted(folder.iterdir())):
        ds = pydicom.dcmread(path)
        ds.TemporalPositionIdentifier = 1
        ds.save_as(path)
        ds.TemporalPositionIdentifier, ds.SOPInstanceUID = 2, generate_uid()
        ds.save_as(path.with_name(f"later{k}.dcm"))
    found = converted(folder, tmp_path / "out")
    assert not found["converted"]
    assert "4D: 2 time points" in found["refused"][0].reason


def copy_all(folder):
    shutil.copytree(folder, folder / "backup")


def copy_one(folder):
    shutil.copy(folder / "IM0004.dcm", folder / "IM0004 (1).dcm")


def copy_thrice(folder):
    for n in (1, 2, 3):
        shutil.copy(folder / "IM0010.dcm", folder / f"again{n}")


@pytest.mark.parametrize(("twice", "files"), [(copy_all, 10), (copy_one, 1), (copy_thrice, 3)])
def test_a_file_that_is_there_twice_is_named_and_read_once(folder, tmp_path, twice, files):
    twice(folder)
    found = converted(folder, tmp_path / "out")
    (outcome,), (copies,) = found["converted"], found["skipped"]
    assert is_right(tmp_path / "out" / outcome.row["path"])
    assert copies.files == files
    assert "read once" in copies.reason
    assert any(name in copies.label for name in ("backup", "IM0004 (1).dcm", "again", "IM0010.dcm"))


def packed_otherwise(ds):
    ds.compress(pydicom.uid.RLELossless, generate_instance_uid=False)


def with_a_private_tag(ds):
    ds.private_block(0x0029, "BACKUP", create=True).add_new(1, "LO", "x")


@pytest.mark.parametrize("change", [packed_otherwise, with_a_private_tag])
def test_the_same_image_saved_by_another_program_is_a_copy(folder, tmp_path, change):
    for path in sorted(folder.iterdir()):
        ds = pydicom.dcmread(path)
        change(ds)
        (folder / "backup").mkdir(exist_ok=True)
        ds.save_as(folder / "backup" / path.name)
    found = converted(folder, tmp_path / "out")
    (outcome,), (copies,) = found["converted"], found["skipped"]
    assert is_right(tmp_path / "out" / outcome.row["path"])
    assert "backup/IM0001.dcm, IM0002.dcm" in copies.label


def test_a_copy_that_was_cut_is_named_beside_the_whole_one(folder, tmp_path):
    (folder / "copy of a").mkdir()
    whole = (folder / "IM0004.dcm").read_bytes()
    (folder / "copy of a/IM0004.dcm").write_bytes(whole[:-200])
    found = converted(folder, tmp_path / "out")
    assert not found["converted"]
    (refused,) = found["refused"]
    assert "knee/IM0004.dcm" in refused.reason
    assert "copy of a/IM0004.dcm" in refused.reason
    assert "copy of a" not in (tmp_path / "out/failures.csv").read_text()


def test_a_copy_with_other_pixels_is_no_copy(folder, tmp_path):
    ds = pydicom.dcmread(folder / "IM0004.dcm")
    ds.PixelData = bytes(len(ds.PixelData))
    ds.save_as(folder / "IM0004 (1).dcm")
    found = converted(folder, tmp_path / "out")
    assert not found["converted"]
    assert "same position" in found["refused"][0].reason


def numbers_from(first, step=1):
    return lambda ds, k: setattr(ds, "InstanceNumber", first + step * k)


def thick_as(thickness, spacing=""):
    def change(ds, k):
        ds.SliceThickness = str(thickness)
        if spacing == "":
            del ds.SpacingBetweenSlices
        else:
            ds.SpacingBetweenSlices = str(spacing)

    return change


def slices_by_ge(count):
    return lambda ds, k: ds.private_block(0x0021, "GEMS_RELA_01", create=True).add_new(0x4F, "SS", count)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (numbers_from(0), ""),
        (numbers_from(1), ""),
        (numbers_from(4), "begins at 4"),
        (numbers_from(1, 2), ""),  # an echo of two, as GE counts: the gap is as the header says
        (lambda ds, k: (numbers_from(1, 2)(ds, k), thick_as(2)(ds, k)), "steps of 2"),
        (lambda ds, k: numbers_from(5, 2)(ds, k), "begins at 5"),
        (lambda ds, k: numbers_from(2, 2)(ds, k), ""),
        (lambda ds, k: setattr(ds, "InstanceNumber", k + 1 + 3 * (k > 6)), "has gaps"),
        (lambda ds, k: setattr(ds, "ImagesInAcquisition", 14), "announced 14 images"),
        (lambda ds, k: setattr(ds, "ImagesInAcquisition", 20), "announced 20 images"),  # one half of them
        # four echoes counted slice by slice, one of which was sent, whole or but for a slice
        (lambda ds, k: (numbers_from(1, 4)(ds, k), setattr(ds, "ImagesInAcquisition", 40)), ""),
        (lambda ds, k: (numbers_from(1, 4)(ds, k), setattr(ds, "ImagesInAcquisition", 44)), "announced 44 images"),
        (lambda ds, k: setattr(ds, "ImagesInAcquisition", 10), ""),
        (thick_as(2, 3), "lie 4.00 mm apart, the header says 3.00 mm"),
        (lambda ds, k: setattr(ds, "InConcatenationTotalNumber", 12), "the scanner wrote 12 objects, 10 are here"),
        (slices_by_ge(12), "announced 12 slices, 10 are here"),
        (slices_by_ge(10), ""),
        (lambda ds, k: setattr(ds, "InstanceNumber", (k + 1) * 10**8), ""),  # a number no one counts up to
        (thick_as(2), "every second one may be missing"),
        (thick_as(3), ""),
        (thick_as(2, 4), ""),  # the gap is as the header says
    ],
)
def test_signs_of_missing_slices_are_told_where_they_are_likely(folder, tmp_path, change, told):
    retagged(folder, change)
    (outcome,) = converted(folder, tmp_path / "out")["converted"]
    assert is_right(tmp_path / "out" / outcome.row["path"])
    assert (told in outcome.row["warnings"]) if told else not outcome.row["warnings"]


def test_numbers_of_two_echoes_together_have_no_gap(folder, tmp_path):
    second_echo(folder, 0)
    retagged(folder, lambda ds, k: setattr(ds, "InstanceNumber", 1 + 2 * (k % SLICES) + (float(ds.EchoTime) > 50)))
    assert [o.row["warnings"] for o in converted(folder, tmp_path / "out")["converted"]] == ["", ""]


@pytest.mark.parametrize("change", [{"PixelRepresentation": 3}, {"SamplesPerPixel": 0}], ids=str)
def test_values_that_mean_nothing_are_refused_by_name(folder, tmp_path, change):
    retagged(folder, lambda ds, k: [setattr(ds, name, value) for name, value in change.items()] if k == 2 else None)
    found = converted(folder, tmp_path / "out")
    assert not found["converted"]
    assert next(iter(change)) in " ".join(o.reason for o in found["refused"])


def test_every_file_that_spoils_a_series_is_named_on_the_terminal_and_none_in_the_tables(folder, tmp_path):
    def change(ds, k):
        if k in (2, 3):
            del ds.ImagePositionPatient
        if k == 7:
            ds.PhotometricInterpretation = "MONOCHROME1"

    retagged(folder, change)
    (refused,) = converted(folder, tmp_path / "out")["refused"]
    for words in ("IM0003.dcm", "IM0004.dcm", "IM0008.dcm", "no usable ImagePositionPatient", "not MONOCHROME2"):
        assert words in refused.reason
    assert "IM00" not in "".join(path.read_text() for path in (tmp_path / "out").glob("*.csv"))
