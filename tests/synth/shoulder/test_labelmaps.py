"""Label maps of a shoulder's bones become whole shoulders: the bones stay, what lies round them is added."""

from functools import cache

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from orthodx.errors import StudyError, UsageError
from orthodx.joints import SHOULDER
from orthodx.synth.shoulder import SYNTHETIC
from orthodx.synth.shoulder.labelmaps import complete, read_map
from orthodx.synth.shoulder.procedural import SHAPE, build_shoulder
from orthodx.synth.shoulder.tissues import TISSUES

MM = 1.6
NAMES = {s.name: s.value for s in SHOULDER.structures}


@cache
def average():
    """Structures of an average shoulder whose arm hangs as maps have it."""
    shape = {k: mean for k, (mean, _) in SHAPE.items()} | {"seed": 5.0, "abduction": 0.0, "physis": 0.0}
    return TISSUES.structure_of[build_shoulder({**shape, "scapular_plane": 36.0}, MM).tissues]


def write_map(folder, name="bones", add=0, without=(), affine=None):
    """A map of its three bones, larger by 5 %, somewhere else in the world."""
    structures = average().copy()
    structures[(structures > 3) | np.isin(structures, [NAMES[name] for name in without])] = 0
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


def test_size_and_plane_are_read_from_the_bones(made):
    _, source, anatomy = made
    assert source.scale == pytest.approx(1.05, abs=0.04)
    assert source.plane_deg == pytest.approx(36.0, abs=5.0)
    assert anatomy.joint == "shoulder"
    assert anatomy.source == "bones"


def test_bones_keep_their_volume_and_the_rest_is_added(made):
    structures, _, anatomy = made
    for name in ("humerus", "scapula", "clavicle"):
        wanted = (structures == NAMES[name]).sum() * (MM * 1.05) ** 3
        assert of(anatomy, name).sum() * MM**3 == pytest.approx(wanted, rel=0.15), name
    ml = {s: of(anatomy, s).sum() * MM**3 / 1000 for s in NAMES}
    for name in ("supraspinatus_tendon", "infraspinatus_tendon", "subscapularis_tendon", "glenohumeral_cartilage"):
        assert 1.5 < ml[name] < 10, name
    assert ml["labrum"] > 0.5
    assert ml["biceps_long_head"] > 0.7
    for name in ("muscle", "fat", "skin", "bursa", "ac_disc"):
        assert (anatomy.tissues == TISSUES[name]).any(), name
    foot = ndimage.binary_dilation(of(anatomy, "humerus")) & of(anatomy, "supraspinatus_tendon")
    assert foot.sum() > 10


def test_soft_tissue_and_side_differ_with_the_seed_and_repeat_with_it(made):
    _, source, anatomy = made
    assert np.array_equal(complete(source, np.random.default_rng(3)).tissues, anatomy.tissues)
    others = [complete(source, np.random.default_rng(seed)) for seed in (4, 5)]
    assert {a.side for a in (anatomy, *others)} == {"right", "left"}
    assert not np.array_equal(others[0].tissues, anatomy.tissues)
    for other in others:
        assert SYNTHETIC.side_of(other.tissues) == other.side


def test_the_values_of_the_atlas_are_read_as_well(made, tmp_path):
    path, _ = write_map(tmp_path, add=59)
    assert read_map(path, MM).scale == pytest.approx(made[1].scale)


def test_maps_that_cannot_be_a_shoulder_are_refused_by_name(tmp_path):
    with pytest.raises(StudyError, match=r"armless.*no humerus"):
        read_map(write_map(tmp_path, "armless", without=("humerus",))[0])
    with pytest.raises(StudyError, match=r"turned.*RAS"):
        read_map(write_map(tmp_path, "turned", affine=np.diag([-MM, MM, MM, 1]))[0])
    with pytest.raises(UsageError, match=r"no label map .*nothing"):
        SYNTHETIC.open_maps(tmp_path / "nothing")
