"""Label maps become whole limbs: what the map shows stays where it is, what it lacks is added."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from orthodx.errors import StudyError, UsageError
from orthodx.synth.knee.labelmaps import complete, open_maps, read_map
from orthodx.synth.knee.procedural import build_knee, sample_shape
from orthodx.synth.knee.tissues import TISSUES
from orthodx.synth.label_maps import map_paths

MM = 1.6
KEPT = ("femur", "tibia", "patella", "femoral_cartilage", "tibial_cartilage", "patellar_cartilage")


def write_map(folder, name="knee", without=(), affine=None):
    """A map of bones and cartilages only, cut 60 mm above and below the joint, as real maps are."""
    knee = build_knee(sample_shape(np.random.default_rng(5)), MM)
    structure = np.zeros_like(knee.tissues)
    for structure_name in KEPT:
        mask = knee.tissues == TISSUES[structure_name]
        for part in ("_cortex", "_physis"):
            mask |= knee.tissues == TISSUES.get(structure_name + part, 255)
        structure[mask] = 0 if structure_name in without else TISSUES[structure_name]
    z = (np.arange(structure.shape[2]) * MM) + knee.affine[2, 3]
    structure = np.ascontiguousarray(structure[:, :, np.abs(z) < 60])
    where = knee.affine.copy() if affine is None else affine
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.nii.gz"
    nib.save(nib.Nifti1Image(structure, where), path)
    return path, structure


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path, structure = write_map(tmp_path_factory.mktemp("maps"))
    source = read_map(path, MM)
    return path, structure, source, complete(source, np.random.default_rng(3))


def solid(anatomy, name):
    mask = anatomy.tissues == TISSUES[name]
    for part in ("_cortex", "_physis"):
        mask |= anatomy.tissues == TISSUES.get(name + part, 255)
    return mask


def test_what_the_map_shows_keeps_its_shape(made):
    _, structure, _, anatomy = made
    cut = np.abs(np.arange(anatomy.tissues.shape[2]) * MM + anatomy.affine[2, 3]) < 50
    for name in ("femur", "patella"):
        mask = solid(anatomy, name)[:, :, cut if name == "femur" else slice(None)]
        wanted = (structure == TISSUES[name]).sum() * (1.0 if name == "patella" else 50 / 60)
        assert mask.sum() == pytest.approx(wanted, rel=0.2)


def test_shafts_go_on_to_the_ends_of_the_limb(made):
    anatomy = made[3]
    assert solid(anatomy, "femur")[:, :, -1].any()
    assert solid(anatomy, "tibia")[:, :, 0].any()
    for name in ("femur", "tibia"):
        assert ndimage.label(solid(anatomy, name))[1] <= 2


def test_what_the_map_lacks_is_added(made):
    anatomy = made[3]
    ml = {n: (anatomy.tissues == TISSUES[n]).sum() * MM**3 / 1000 for n in TISSUES}
    for name in ("fibula", "fat", "muscle", "skin", "fluid", "mcl", "patellar_tendon", "fat_pad"):
        assert ml[name] > 0, name
    assert 0.5 < ml["acl"] < 5
    assert 0.5 < ml["pcl"] < 5
    assert 0.3 < ml["medial_meniscus"] < 6


def test_soft_tissue_differs_with_the_seed_and_repeats_with_it(made):
    source, anatomy = made[2], made[3]
    assert np.array_equal(complete(source, np.random.default_rng(3)).tissues, anatomy.tissues)
    assert not np.array_equal(complete(source, np.random.default_rng(4)).tissues, anatomy.tissues)


def test_left_knees_are_mirrored_in_the_world(made):
    source = made[2]
    for seed in range(8):
        anatomy = complete(source, np.random.default_rng(seed))
        x = np.argwhere(anatomy.tissues == TISSUES["fibula"])[:, 0].mean() * MM + anatomy.affine[0, 3]
        assert (x > 0) == (anatomy.side == "right")  # the fibula is lateral, and lateral is +x on the right


def test_a_map_of_a_left_knee_is_one_of_a_right_knee_mirrored(tmp_path):
    knee = build_knee(sample_shape(np.random.default_rng(5)), MM)
    assert knee.side == "right"
    structure = np.zeros_like(knee.tissues)
    for name in (*KEPT, "fibula", "medial_meniscus", "lateral_meniscus"):
        structure[knee.tissues == TISSUES[name]] = TISSUES[name]
    for name, without in (("P1.right", ()), ("P1.nofibula", ("fibula",))):
        kept = np.where(np.isin(structure, [TISSUES[one] for one in without]), 0, structure)
        for side, data in (("", kept), (".mirrored", np.ascontiguousarray(kept[::-1]))):
            nib.save(nib.Nifti1Image(data, knee.affine), tmp_path / f"{name}{side}.nii.gz")
        one, two = (read_map(tmp_path / f"{name}{side}.nii.gz", MM) for side in ("", ".mirrored"))
        assert one.fields.keys() == two.fields.keys()
        for field in one.fields:
            np.testing.assert_allclose(
                one.fields[field], two.fields[field], atol=0.7, err_msg=field
            )  # of 1.6 mm voxels
    assert [path.name for path in map_paths(tmp_path, "knee", ["P1.right.mirrored", "P1.right"])] == [
        "P1.right.mirrored.nii.gz",
        "P1.right.nii.gz",
    ]


def test_maps_that_cannot_be_a_knee_are_refused_by_name(tmp_path):
    with pytest.raises(StudyError, match=r"nopatella.*no patella"):
        read_map(write_map(tmp_path, "nopatella", without=("patella",))[0])
    with pytest.raises(StudyError, match=r"turned.*RAS"):
        read_map(write_map(tmp_path, "turned", affine=np.diag([-MM, MM, MM, 1]))[0])
    with pytest.raises(UsageError, match="no label map"):
        open_maps(tmp_path / "nothing")
    with pytest.raises(UsageError, match="'other'"):
        open_maps(tmp_path, ["other"])
