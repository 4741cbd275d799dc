"""Label maps of an ankle's bones become whole ankles: the bones stay, what lies round them is added."""

from functools import cache

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from orthodx.errors import StudyError, UsageError
from orthodx.joints import ANKLE
from orthodx.synth.ankle import SYNTHETIC
from orthodx.synth.ankle.labelmaps import complete, read_map
from orthodx.synth.ankle.procedural import SHAPE, build_ankle
from orthodx.synth.ankle.tissues import TISSUES

MM = 1.6
NAMES = {s.name: s.value for s in ANKLE.structures}
BONES = ("tibia", "fibula", "talus", "calcaneus", "other_foot_bones")


@cache
def average():
    """Structures of an average ankle that stands as maps have it, cut 60 mm above and before the joint."""
    shape = {k: mean for k, (mean, _) in SHAPE.items()} | {"seed": 5.0, "plantar_flexion": 0.0, "inversion": 0.0}
    structures = TISSUES.structure_of[build_ankle(shape, MM).tissues]
    return np.ascontiguousarray(structures[:, :-12, :-12])


def write_map(folder, name="bones", add=0, without=(), affine=None):
    """A map of its five bones, larger by 5 %, somewhere else in the world."""
    structures = average().copy()
    structures[(structures > 5) | np.isin(structures, [NAMES[name] for name in without])] = 0
    where = np.diag([MM * 1.05] * 3 + [1.0]) if affine is None else affine
    where[:3, 3] = (400, -30, 1200)
    folder.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image((structures + add * (structures > 0)).astype(np.uint8), where), folder / f"{name}.nii.gz")
    return folder / f"{name}.nii.gz", structures


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path, structures = write_map(tmp_path_factory.mktemp("maps"))
    source = read_map(path, MM)
    return structures, source, complete(source, np.random.default_rng(3))


def of(anatomy, name):
    return TISSUES.structure_of[anatomy.tissues] == NAMES[name]


def test_size_is_read_from_the_talus_and_bones_keep_their_volume(made):
    structures, source, anatomy = made
    assert source.scale == pytest.approx(1.05, abs=0.04)
    assert (anatomy.joint, anatomy.source) == ("ankle", "bones")
    for name in ("talus", "calcaneus"):
        assert of(anatomy, name).sum() == pytest.approx((structures == NAMES[name]).sum() * 1.05**3, rel=0.08), name


def test_leg_and_foot_go_on_to_the_ends_of_the_limb(made):
    anatomy = made[2]
    for name in ("tibia", "fibula"):
        assert of(anatomy, name)[:, :, -1].any(), name
        assert ndimage.label(of(anatomy, name), np.ones((3, 3, 3)))[1] == 1, name
    assert of(anatomy, "other_foot_bones")[:, -1].any()


def test_what_the_map_lacks_is_added_between_its_bones(made):
    anatomy = made[2]
    for name in ("fat", "muscle", "skin", "fluid", "tendon", "ligament", "joint_cartilage"):
        assert (anatomy.tissues == TISSUES[name]).any(), name
    for ligament, ends in (("atfl", ("fibula", "talus")), ("cfl", ("fibula", "calcaneus")),
                           ("talar_cartilage", ("talus",)), ("achilles_tendon", ("calcaneus",))):  # fmt: skip
        wide = ndimage.binary_dilation(of(anatomy, ligament), np.ones((3, 3, 3)))
        for bone in ends:
            assert (wide & of(anatomy, bone)).any(), (ligament, bone)


def test_soft_tissue_differs_with_the_seed_and_repeats_with_it(made):
    source, anatomy = made[1:]
    assert np.array_equal(complete(source, np.random.default_rng(3)).tissues, anatomy.tissues)
    other = complete(source, np.random.default_rng(4))
    assert not np.array_equal(other.tissues, anatomy.tissues)
    for one in (anatomy, other):
        right = np.argwhere(of(one, "fibula"))[:, 0].mean() > np.argwhere(of(one, "tibia"))[:, 0].mean()
        assert one.side == SYNTHETIC.side_of(one.tissues) == ("right" if right else "left")


def test_the_values_of_the_atlas_are_read_too(tmp_path):
    path, _ = write_map(tmp_path, "atlas", add=39)
    drawn = SYNTHETIC.open_maps(tmp_path, ["atlas"])
    assert [m.name for m in drawn.maps] == ["atlas"]
    assert set(read_map(path, 3.0).fields) == set(BONES)


def test_maps_that_cannot_be_an_ankle_are_refused_by_name(tmp_path):
    with pytest.raises(StudyError, match=r"notalus.*no talus"):
        read_map(write_map(tmp_path, "notalus", without=("talus",))[0])
    with pytest.raises(StudyError, match=r"turned.*RAS"):
        read_map(write_map(tmp_path, "turned", affine=np.diag([-MM, MM, MM, 1]))[0])
    with pytest.raises(UsageError, match="no label map"):
        SYNTHETIC.open_maps(tmp_path / "nothing")
