"""What a NIfTI file may be, and the one line said of each that it may not."""

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest

from orthodx.errors import StudyError
from orthodx.studies.discover import find_series
from orthodx.studies.nifti import read_volume, write_mask

AFFINE = np.array([[-0.5, 0, 0, 30], [0, 0.5, 0, -20], [0, 0, 3.0, -40], [0, 0, 0, 1]])


def image(data=None, affine=AFFINE, codes=(1, 1)):
    data = np.random.default_rng(0).normal(100, 20, (20, 24, 10)).astype(np.float32) if data is None else data
    made = nib.Nifti1Image(data, affine)
    made.set_sform(affine, code=codes[1])
    made.set_qform(affine, code=codes[0], strip_shears=True)
    return made


def save(tmp_path, made, name="case.nii.gz"):
    path = tmp_path / name
    nib.save(made, path)
    return path


def test_a_good_image_is_read_with_its_place(tmp_path):
    volume = read_volume(save(tmp_path, image()))
    assert volume.shape == (20, 24, 10)
    np.testing.assert_allclose(volume.affine, AFFINE)
    np.testing.assert_allclose(volume.spacing_mm, [0.5, 0.5, 3])


def test_a_quaternion_that_rounding_made_longer_than_one_is_read(tmp_path):
    turned = np.eye(4)
    turned[:3, :3] = np.array([[-1, 2, 2], [2, -1, 2], [2, 2, -1]]) / 3 * (0.5, 0.5, 3.0)  # half a turn about (1, 1, 1)
    path = save(tmp_path, image(affine=turned), "case.nii")
    raw = bytearray(path.read_bytes())
    struct.pack_into("<3f", raw, 256, *[0.57735056] * 3)  # b, c and d, whose squares add up to 1 + 9e-7
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="w2 should be positive"):
        nib.load(path).header.get_qform()
    np.testing.assert_allclose(read_volume(path).affine, turned, atol=1e-6)


@pytest.mark.parametrize("degrees", [179.9, 179.68, 179.0])
def test_a_turn_of_almost_half_a_circle_is_no_disagreement(degrees, tmp_path):
    turn, axis = np.radians(degrees), np.array([1, 2, 2]) / 3
    cross = np.cross(np.eye(3), axis)
    turned = np.eye(4)
    turned[:3, :3] = np.eye(3) + np.sin(turn) * cross + (1 - np.cos(turn)) * cross @ cross
    data = np.arange(300 * 300, dtype=np.float32).reshape(300, 300, 1).repeat(9, 2)
    np.testing.assert_allclose(read_volume(save(tmp_path, image(data, turned))).affine, turned, atol=1e-6)


def test_a_fourth_axis_of_one_is_dropped(tmp_path):
    assert read_volume(save(tmp_path, image(np.ones((9, 9, 9, 1), np.float32)))).shape == (9, 9, 9)


def _rgb():
    return nib.Nifti1Image(np.zeros((9, 9, 9), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])), AFFINE)


def _sheared():
    sheared = AFFINE.copy()
    sheared[0, 2] = 2.0
    made = nib.Nifti1Image(np.zeros((9, 9, 9), np.float32), sheared)
    made.set_sform(sheared, 1)
    return made


def _conflict():
    made = image()
    moved = AFFINE.copy()
    moved[0, 3] += 25
    made.set_sform(moved, 1)
    return made


def _with_nan():
    data = np.ones((9, 9, 9), np.float32)
    data[0, 0, 0] = np.nan
    return image(data)


BAD = {
    "2D": (lambda: image(np.zeros((9, 9), np.float32)), "2 dimensions"),
    "4D": (lambda: image(np.zeros((9, 9, 9, 3), np.float32)), "4 dimensions"),
    "colour": (_rgb, "colour"),
    "complex": (lambda: image(np.zeros((9, 9, 9), np.complex64)), "complex"),
    "NaN voxels": (_with_nan, "NaN"),
    "sheared": (_sheared, "sheared"),
    "no orientation": (lambda: image(codes=(0, 0)), "orientation"),
    "sform against qform": (_conflict, "disagree by 25.0 mm"),
    "tiny": (lambda: image(np.zeros((3, 3, 3), np.float32)), "only"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_refused_by_name(tmp_path, name):
    make, reason = BAD[name]
    path = save(tmp_path, make())
    with pytest.raises(StudyError, match=reason) as caught:
        read_volume(path)
    assert "case.nii.gz" in str(caught.value)
    assert "\n" not in str(caught.value)


def _patch(path, offset, fmt, *values):
    raw = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into(fmt, raw, offset, *values)
    path.write_bytes(gzip.compress(bytes(raw)))


def test_the_reason_names_the_file_and_not_the_folders_round_it(tmp_path):
    (tmp_path / "Jane").mkdir()
    for name in ("x.nii.gz", "x.nii"):
        (tmp_path / "Jane" / name).write_bytes(b"no image")
        with pytest.raises(StudyError) as caught:
            read_volume(tmp_path / "Jane" / name)
        assert str(caught.value).count(name) >= 1
        assert "Jane" not in str(caught.value)


@pytest.mark.parametrize(("code", "unit"), [(1, "metres"), (3, "microns"), (9, "metres"), (5, "unknown unit")])
def test_lengths_that_are_no_mm_are_refused_by_their_unit(tmp_path, code, unit):
    path = save(tmp_path, image())
    _patch(path, 123, "<B", code)
    with pytest.raises(StudyError, match=f"lengths are in .*{unit}"):
        read_volume(path)


@pytest.mark.parametrize("code", [0, 2, 2 + 8, 8])
def test_mm_and_silence_about_it_are_read(tmp_path, code):
    path = save(tmp_path, image())
    _patch(path, 123, "<B", code)
    assert read_volume(path).shape == image().shape


@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (1, 2), (2, 1), (0, 4), (3, 3)])
def test_a_mask_has_the_place_and_the_codes_of_its_image(tmp_path, codes):
    affine = np.array([[0, 0, -4.0, 30], [0.6, 0, 0, -20], [0, -0.7, 0, 40], [0, 0, 0, 1]])
    given = nib.Nifti1Image(np.random.default_rng(0).normal(size=(20, 24, 9)).astype(np.float32), None)
    given.set_qform(affine, code=codes[0])
    given.set_sform(affine, code=codes[1])
    volume = read_volume(save(tmp_path, given))
    write_mask(tmp_path / "mask.nii.gz", np.ones(volume.shape, np.uint8), volume)
    made = nib.load(tmp_path / "mask.nii.gz")
    assert (int(made.header["qform_code"]), int(made.header["sform_code"])) == codes
    np.testing.assert_allclose(made.affine, affine, atol=1e-5)


@pytest.mark.parametrize("shape", [(40, 40, 1), (40, 1, 40), (1, 40, 40)])
def test_a_single_slice_is_no_image_and_may_be_a_mask(tmp_path, shape):
    path = save(tmp_path, nib.Nifti1Image(np.arange(1600, dtype=np.float32).reshape(shape), np.eye(4)))
    with pytest.raises(StudyError, match="a single slice is no volume"):
        find_series([path]).series[0].load()
    assert read_volume(path).shape == shape


def test_header_damage_is_refused(tmp_path):
    huge = save(tmp_path, image(), "huge.nii.gz")
    _patch(huge, 40, "<4h", 3, 32000, 32000, 32000)
    with pytest.raises(StudyError, match="claims"):
        read_volume(huge)
    empty = save(tmp_path, image(), "empty.nii.gz")
    _patch(empty, 40, "<4h", 3, 20, 24, 0)
    with pytest.raises(StudyError):
        read_volume(empty)
    nan = save(tmp_path, image(), "nan.nii.gz")
    _patch(nan, 280, "<f", float("nan"))
    with pytest.raises(StudyError, match="NaN"):
        read_volume(nan)
    flat = save(tmp_path, image(), "flat.nii.gz")
    _patch(flat, 280, "<4f", 0, 0, 0, 0)
    with pytest.raises(StudyError, match="impossible"):
        read_volume(flat)


def test_truncated_and_foreign_files_are_refused(tmp_path):
    whole = save(tmp_path, image())
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(whole.read_bytes()[:2000])
    text = tmp_path / "text.nii.gz"
    text.write_text("not an image")
    for path in (cut, text, tmp_path / "absent.nii.gz"):
        with pytest.raises(StudyError, match=path.name):
            read_volume(path)


def test_a_mask_lies_on_exactly_the_image(tmp_path):
    path = save(tmp_path, image(codes=(1, 2)))
    labels = np.random.default_rng(1).integers(0, 12, (20, 24, 10))
    write_mask(tmp_path / "mask.nii.gz", labels, read_volume(path))
    mask, source = nib.load(tmp_path / "mask.nii.gz"), nib.load(path)
    np.testing.assert_array_equal(mask.affine, source.affine)
    assert mask.get_data_dtype() == np.uint8
    assert (int(mask.header["qform_code"]), int(mask.header["sform_code"])) == (1, 2)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), labels)
    assert not list(tmp_path.glob(".part-*"))
