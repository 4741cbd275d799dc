"""Lesions: each changes what it should and only there, and looks injured on the sequences that show injury."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from orthodx.joints import KNEE
from orthodx.synth.knee import SYNTHETIC
from orthodx.synth.knee.injuries import PAINTERS
from orthodx.synth.knee.lesions import (
    LEAST_ML,
    VALUES,
    MeniscusTear,
    PatellarDislocation,
)
from orthodx.synth.knee.tissues import TISSUES
from orthodx.synth.lesion_bone import BoneBruise, Osteophyte
from orthodx.synth.lesion_fluid import Effusion
from orthodx.synth.lesion_ligament import LigamentTear
from orthodx.synth.lesions import as_records, from_records
from orthodx.synth.signals import sequence_signal
from orthodx.synth.source import SyntheticSource

STRUCTURE_OF = TISSUES.structure_of
paint, labels_of = SYNTHETIC.paint, SYNTHETIC.labels_of


def ligament(code, severe):
    return LigamentTear(
        code=code, level=0.4, share=0.8 if severe else 0.35, swelling_mm=2.5 if severe else 1.0,
        gap_mm=6.0 if severe else 0.0, droop_deg=20.0 if severe and code == "ACL" else 0.0,
        oedema_mm=5.0 if severe else 2.5, seed=3,
    )  # fmt: skip


def meniscus(code, pattern, severe=True):
    arc = 210.0 if pattern == "bucket_handle" else 80.0 if severe else 45.0
    where = 0.0 if pattern == "bucket_handle" else -70.0
    return MeniscusTear(code=code, pattern=pattern, where_deg=where, arc_deg=arc, width_mm=1.6, seed=5)


# label -> (mild, severe, tissue near which everything happens, how far it may reach in mm)
INJURIES = {
    "ACL": (ligament("ACL", False), ligament("ACL", True), "acl", 13),
    "PCL": (ligament("PCL", False), ligament("PCL", True), "pcl", 13),
    "MCL": (ligament("MCL", False), ligament("MCL", True), "mcl", 13),
    "LCL": (ligament("LCL", False), ligament("LCL", True), "lcl", 13),
    "MM": (meniscus("MM", "oblique", False), meniscus("MM", "bucket_handle"), "medial_meniscus", 25),
    "LM": (meniscus("LM", "vertical", False), meniscus("LM", "vertical"), "lateral_meniscus", 2),
}


@pytest.fixture(scope="module")
def painted(knee):
    return {code: [paint(knee, [lesion]) for lesion in pair[:2]] for code, pair in INJURIES.items()}


def marked_ml(mask, knee, value):
    return float((mask == value).sum()) * knee.spacing_mm**3 / 1000


@pytest.mark.parametrize("code", INJURIES)
def test_an_injury_changes_its_structure_and_its_neighbourhood_only(knee, painted, code):
    *_, tissue, reach = INJURIES[code]
    healthy = knee.tissues == TISSUES[tissue]
    for injured, mask in painted[code]:
        changed = injured.tissues != knee.tissues
        assert changed.any()
        assert (mask[changed] == VALUES[code]).all()
        assert set(np.unique(mask)) == {0, VALUES[code]}
        far = ndimage.distance_transform_edt(~healthy, sampling=knee.spacing_mm)
        assert far[mask > 0].max() < reach
        bone_or_cartilage = np.isin(STRUCTURE_OF[knee.tissues], range(1, 8))
        assert not (changed & bone_or_cartilage).any()


@pytest.mark.parametrize("code", INJURIES)
def test_a_worse_injury_marks_more_and_only_its_own_label(knee, painted, code):
    mild, severe = (marked_ml(mask, knee, VALUES[code]) for _, mask in painted[code])
    assert LEAST_ML[code] <= mild < severe
    for _, mask in painted[code]:
        labels = labels_of(mask, knee.spacing_mm)
        assert list(labels) == list(KNEE.codes)
        assert {c for c, positive in labels.items() if positive} == {code}


@pytest.mark.parametrize("code", INJURIES)
def test_torn_tissue_is_still_that_structure_bright_on_pd_fs_and_dark_on_t1(knee, painted, code):
    tissue = INJURIES[code][2]
    injured, mask = painted[code][1]
    torn = injured.tissues[(mask > 0) & (knee.tissues == TISSUES[tissue]) & (injured.tissues != knee.tissues)]
    pdfs, t1 = (sequence_signal(TISSUES, *of) for of in (("PD", 3000, 30, 3.0, True), ("T1", 600, 12, 3.0, False)))
    assert pdfs[torn].mean() > 2 * pdfs[TISSUES[tissue]]
    assert t1[torn].mean() < 0.6 * t1[TISSUES["fat"]]
    assert STRUCTURE_OF[TISSUES[f"{tissue}_torn"]] == STRUCTURE_OF[TISSUES[tissue]]


def test_only_a_complete_tear_parts_the_ligament(knee, painted):
    mild, severe = (injured.tissues for injured, _ in painted["ACL"])
    assert not ((mild == TISSUES["fluid"]) & (knee.tissues == TISSUES["acl"])).any()
    assert ((severe == TISSUES["fluid"]) & (knee.tissues == TISSUES["acl"])).any()


def test_a_bucket_handle_lies_in_the_notch_and_the_body_is_too_small(knee, painted):
    injured, _ = painted["MM"][1]
    before, after = (np.argwhere(STRUCTURE_OF[t] == 8) for t in (knee.tissues, injured.tissues))
    new = np.argwhere((injured.tissues == TISSUES["medial_meniscus"]) & (knee.tissues != TISSUES["medial_meniscus"]))
    acl = np.argwhere(knee.tissues == TISSUES["acl"]).mean(0)
    assert len(new) > 20
    assert abs(new[:, 0].mean() - acl[0]) < 0.6 * abs(before[:, 0].mean() - acl[0])
    assert len(after) < len(before)


def test_degeneration_reaches_no_surface_and_is_no_tear(knee):
    _, mask = paint(knee, [meniscus("MM", "degeneration")])
    inside = mask == VALUES["meniscal_degeneration"]
    assert inside.any()
    assert (ndimage.binary_dilation(inside) <= (knee.tissues == TISSUES["medial_meniscus"])).all()
    assert not any(labels_of(mask, knee.spacing_mm).values())


@pytest.mark.parametrize("volume_ml", [12.0, 45.0])
def test_an_effusion_has_the_volume_it_was_drawn_with(knee, volume_ml):
    injured, mask = paint(knee, [Effusion(volume_ml=volume_ml, seed=1)])
    new = (injured.tissues == TISSUES["fluid"]) & (knee.tissues != TISSUES["fluid"])
    assert new.sum() * knee.spacing_mm**3 / 1000 == pytest.approx(volume_ml, rel=0.1)
    np.testing.assert_array_equal(STRUCTURE_OF[injured.tissues], STRUCTURE_OF[knee.tissues])
    assert labels_of(mask, knee.spacing_mm)["EFFU"] == 1


def test_it_counts_how_much_fluid_there_is_not_where_it_came_from(knee):
    _, trace = paint(knee, [Effusion(volume_ml=2.0, seed=1)])
    assert not (trace == VALUES["EFFU"]).any()
    wet, _ = paint(knee, [Effusion(volume_ml=30.0, seed=1)])
    _, found = paint(wet, [])
    assert labels_of(found, knee.spacing_mm)["EFFU"] == 1


@pytest.mark.parametrize("mirror", [False, True])
def test_a_dislocated_patella_lies_lateral_with_two_bruises(knee, mirror):
    knee = knee.mirrored() if mirror else knee
    lesion = PatellarDislocation(
        shift_mm=10, tilt_deg=15, patella_bruise_mm=8, condyle_bruise_mm=10, seed=2
    )  # fmt: skip
    injured, mask = paint(knee, [lesion])
    lateral = 1 if knee.side == "right" else -1

    def x(where):
        return np.argwhere(where)[:, 0].mean() * knee.spacing_mm * lateral

    patella_before, patella_after = (STRUCTURE_OF[t] == 4 for t in (knee.tissues, injured.tissues))
    assert x(patella_after) - x(patella_before) == pytest.approx(10, abs=1.5)
    assert patella_after.sum() == pytest.approx(patella_before.sum(), rel=0.06)
    assert x(injured.tissues == TISSUES["patella_bruise"]) < x(patella_after)
    assert x(injured.tissues == TISSUES["femur_bruise"]) > x(STRUCTURE_OF[knee.tissues] == 1) + 10
    for value in (1, 2, 5, 6, 8, 9, 10, 11):
        np.testing.assert_array_equal(STRUCTURE_OF[injured.tissues] == value, STRUCTURE_OF[knee.tissues] == value)
    assert [c for c, positive in labels_of(mask, knee.spacing_mm).items() if positive] == ["PD"]


def test_bruises_and_osteophytes_are_signs_without_a_label(knee):
    bruised, mask = paint(knee, [BoneBruise(site="posterolateral_tibia", radius_mm=9, seed=1)])
    assert (knee.tissues[mask == VALUES["bone_bruise"]] == TISSUES["tibia"]).all()
    assert (bruised.tissues == TISSUES["tibia_bruise"]).sum() > 50
    spurred, spur = paint(knee, [Osteophyte(site="medial_tibia", size_mm=6)])
    grown = (STRUCTURE_OF[spurred.tissues] == 2) & (STRUCTURE_OF[knee.tissues] != 2)
    assert grown.any()
    assert (ndimage.label(STRUCTURE_OF[spurred.tissues] == 2)[1]) == ndimage.label(STRUCTURE_OF[knee.tissues] == 2)[1]
    for m in (mask, spur):
        assert not any(labels_of(m, knee.spacing_mm).values())


def test_lesions_replay_from_their_records(knee):
    lesions = (INJURIES["ACL"][1], meniscus("LM", "radial"), Effusion(volume_ml=20, seed=4))
    again = from_records(as_records(lesions), PAINTERS)
    assert again == lesions
    for first, second in zip(paint(knee, lesions), paint(knee, again), strict=True):
        np.testing.assert_array_equal(getattr(first, "tissues", first), getattr(second, "tissues", second))


def test_a_lesion_of_what_is_not_there_leaves_no_mark(knee):
    bare = replace(
        knee, tissues=np.where(knee.tissues == TISSUES["acl"], TISSUES["fat"], knee.tissues).astype(np.uint8)
    )
    injured, mask = paint(bare, [INJURIES["ACL"][1]])
    np.testing.assert_array_equal(injured.tissues, bare.tissues)
    assert not mask.any()


def test_injured_knees_train_like_healthy_ones(knee, painted):
    from orthodx.grid.spec import GridSpec
    from orthodx.joints import View

    injured, _ = painted["ACL"][1]
    source = SyntheticSource([(injured.tissues, injured.affine)], GridSpec(), crop=(6, 48, 48), seed=4)
    image, truth = source[1, View.SAGITTAL]
    assert torch.isfinite(image).all()
    assert int(truth.max()) <= 11
