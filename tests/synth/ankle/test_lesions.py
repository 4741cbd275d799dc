"""Lesions of the ankle: each changes what it should where its mask is, and looks injured where injury shows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from orthodx.joints import ANKLE, View
from orthodx.synth.ankle import SYNTHETIC
from orthodx.synth.ankle.injuries import PAINTERS
from orthodx.synth.ankle.lesions import LEAST_ML, VALUES, AchillesTear, OsteochondralLesion, SoftOedema, Tendinosis
from orthodx.synth.ankle.tissues import TISSUES
from orthodx.synth.deformation import NO_DEFORMATION
from orthodx.synth.lesion_bone import BoneBruise, Osteophyte
from orthodx.synth.lesion_fluid import Effusion
from orthodx.synth.lesion_ligament import LigamentTear
from orthodx.synth.lesions import as_records, from_records
from orthodx.synth.scanner import make_plane, on_plane, render, sample_scan
from orthodx.synth.signals import sequence_signal

STRUCTURE_OF = TISSUES.structure_of
paint, labels_of = SYNTHETIC.paint, SYNTHETIC.labels_of
PD_FS, T1 = ("PD", 3000, 30, 3.0, True), ("T1", 600, 12, 3.0, False)


def ligament(code, severe):
    return LigamentTear(
        code=code, level=0.4, share=0.85 if severe else 0.45, swelling_mm=2.2 if severe else 1.0,
        gap_mm=5.0 if severe else 0.0, droop_deg=0.0, oedema_mm=5.0 if severe else 2.5, seed=3,
    )  # fmt: skip


def rupture(severe):
    return AchillesTear(
        level_mm=28.0, share=1.0 if severe else 0.4, gap_mm=16.0 if severe else 0.0, thickening=0.8 if severe else 0.4,
        wave_mm=2.0 if severe else 0.0, oedema_mm=9.0 if severe else 3.5, seed=4,
    )  # fmt: skip


def dome(fragment, side="medial", cyst=0.0, severe=True):
    return OsteochondralLesion(
        side=side, forward_mm=0.0, radius_mm=6.0 if severe else 3.5, depth_mm=5.5 if severe else 3.2,
        softened=0.9 if severe else 0.4, oedema_mm=3.5 if severe else 1.0, cyst_mm=cyst, fragment=fragment, seed=5,
    )  # fmt: skip


# label -> (mild, severe, tissues near which everything happens, how far it may reach in mm)
INJURIES = {
    "ATFL": (ligament("ATFL", False), ligament("ATFL", True), ("atfl",), 13),
    "CFL": (ligament("CFL", False), ligament("CFL", True), ("cfl",), 13),
    "ATR": (rupture(False), rupture(True), ("achilles_tendon",), 15),
    "OLT": (dome("none", severe=False), dome("displaced"), ("talus", "talus_cortex", "talar_cartilage"), 17),
}


@pytest.fixture(scope="module")
def painted(ankle):
    return {code: [paint(ankle, [lesion]) for lesion in pair[:2]] for code, pair in INJURIES.items()}


def marked_ml(mask, ankle, value):
    return float((mask == value).sum()) * ankle.spacing_mm**3 / 1000


def positive(labels):
    return {code for code, is_there in labels.items() if is_there}


@pytest.mark.parametrize("code", INJURIES)
def test_an_injury_changes_its_structure_and_its_neighbourhood_only(ankle, painted, code):
    *_, tissues, reach = INJURIES[code]
    healthy = np.isin(ankle.tissues, TISSUES.of(*tissues))
    for injured, mask in painted[code]:
        changed = injured.tissues != ankle.tissues
        assert changed.any()
        assert (mask[changed] == VALUES[code]).all()
        assert set(np.unique(mask)) == {0, VALUES[code]}
        far = ndimage.distance_transform_edt(~healthy, sampling=ankle.spacing_mm)
        assert far[mask > 0].max() < reach
        untouched = range(1, 7) if code != "OLT" else (1, 2, 4, 5, 7, 8, 9)
        assert not (changed & np.isin(STRUCTURE_OF[ankle.tissues], untouched)).any()


@pytest.mark.parametrize("code", INJURIES)
def test_a_worse_injury_marks_more_and_only_its_own_label(ankle, painted, code):
    mild, severe = (marked_ml(mask, ankle, VALUES[code]) for _, mask in painted[code])
    assert LEAST_ML[code] <= mild < severe
    for _, mask in painted[code]:
        labels = labels_of(mask, ankle.spacing_mm)
        assert list(labels) == list(ANKLE.codes)
        assert positive(labels) == {code}


@pytest.mark.parametrize("code", INJURIES)
@pytest.mark.parametrize("view", View)
def test_an_injury_is_bright_on_fat_suppressed_images_where_its_mask_is(ankle, painted, code, view):
    injured, mask = painted[code][1]
    where = np.argwhere(mask == VALUES[code])
    centre = ankle.affine[:3, :3] @ where.mean(0) + ankle.affine[:3, 3]
    plane = make_plane(view, (3, 96, 96), (3.0, 1.2), 2.7, centre)
    scan = sample_scan(np.random.default_rng(2), plane, sequence_signal(TISSUES, *PD_FS), 0.01)
    scan = replace(scan, wrap_rows=0, ghost=(0, 0.0), gibbs_keep=1.0)
    before, after = (
        render(torch.from_numpy(a.tissues), a.affine, scan, NO_DEFORMATION, TISSUES)[0] for a in (ankle, injured)
    )
    seen = on_plane(torch.from_numpy(mask), ankle.affine, scan, NO_DEFORMATION) > 0
    assert seen.sum() > 20
    assert float(after[seen].mean()) > 1.25 * float(before[seen].mean())


def test_torn_tissue_is_still_that_structure_bright_on_pd_fs_and_dark_on_t1():
    pdfs, t1 = (sequence_signal(TISSUES, *of) for of in (PD_FS, T1))
    for name in ("atfl", "cfl", "achilles_tendon"):
        torn = TISSUES[f"{name}_torn"]
        assert pdfs[torn] > 2 * pdfs[TISSUES[name]]
        assert t1[torn] < 0.6 * t1[TISSUES["fat"]]
        assert STRUCTURE_OF[torn] == STRUCTURE_OF[TISSUES[name]]
    assert pdfs[TISSUES["talus_bruise"]] > 1.5 * pdfs[TISSUES["talus"]]
    assert t1[TISSUES["talus_bruise"]] < t1[TISSUES["talus"]]


@pytest.mark.parametrize("code", ["ATFL", "CFL", "ATR"])
def test_only_a_complete_tear_parts_the_fibres(ankle, painted, code):
    name = {"ATR": "achilles_tendon"}.get(code, code.lower())
    mild, severe = (
        ((injured.tissues == TISSUES["fluid"]) & (ankle.tissues == TISSUES[name])).sum() for injured, _ in painted[code]
    )
    assert severe > 5 * mild


def test_a_torn_achilles_tendon_has_two_thick_ends_and_a_gap_as_long_as_drawn(ankle, painted):
    partial, torn = (STRUCTURE_OF[injured.tissues] == 9 for injured, _ in painted["ATR"])
    whole = STRUCTURE_OF[ankle.tissues] == 9
    empty = torn.sum((0, 1)) < 0.4 * whole.sum((0, 1))
    assert empty.sum() * ankle.spacing_mm == pytest.approx(INJURIES["ATR"][1].gap_mm, abs=5)
    assert (partial.any((0, 1)) == whole.any((0, 1))).all()
    depth = [t.any(0).sum(0).max() for t in (whole, torn)]
    assert depth[1] > 1.2 * depth[0]


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_thick_grey_tendon_is_not_torn(ankle, share):
    wear = Tendinosis(level_mm=28.0, length_mm=35.0, thickening=0.6, grey=share, seed=2)
    worn, mask = paint(ankle, [wear])
    assert (STRUCTURE_OF[worn.tissues] == 9).sum() > 1.08 * (STRUCTURE_OF[ankle.tissues] == 9).sum()
    assert (mask == VALUES["tendinosis"]).any()
    assert not positive(labels_of(mask, ankle.spacing_mm))
    assert bool((worn.tissues == TISSUES["achilles_tendon_torn"]).any()) == (share > 0)


@pytest.mark.parametrize(("side", "sign"), [("medial", -1), ("lateral", 1)])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_lesion_of_the_dome_lies_on_its_shoulder(ankle, side, sign, mirror):
    anatomy = ankle.mirrored() if mirror else ankle
    _, mask = paint(anatomy, [dome("loose", side)])
    x, talus = (np.argwhere(m)[:, 0].mean() for m in (mask > 0, STRUCTURE_OF[anatomy.tissues] == 3))
    lateral = 1 if anatomy.side == "right" else -1
    assert (x - talus) * anatomy.spacing_mm * lateral * sign > 5


def test_stages_of_the_dome_differ_as_they_should(ankle):
    def new(lesion, tissue):
        injured, mask = paint(ankle, [lesion])
        return ((injured.tissues == TISSUES[tissue]) & (mask > 0)).sum()

    def grown(fragment, tissue, **more):
        return new(dome(fragment, **more), tissue)

    assert grown("none", "fluid") == 0
    assert grown("none", "talus_bruise") > 50
    assert grown("attached", "talus_sclerosis") > 20
    assert 0 < grown("loose", "fluid") < grown("displaced", "fluid")
    assert grown("none", "fluid", cyst=3.0) > 20
    intact, _ = paint(ankle, [dome("loose")])
    gone, _ = paint(ankle, [dome("displaced")])
    cartilage = [(STRUCTURE_OF[a.tissues] == 6).sum() for a in (ankle, intact, gone)]
    assert cartilage[0] == cartilage[1] > cartilage[2]


def test_bruises_spurs_and_fluid_are_signs_without_a_label(ankle):
    from orthodx.synth.ankle.lesion_bone import RIMS, SITES

    for site, (bone, _) in SITES.items():
        bruised, mask = paint(ankle, [BoneBruise(site=site, radius_mm=8, seed=1)])
        assert (ankle.tissues[mask == VALUES["bone_bruise"]] == TISSUES[bone]).all()
        assert (bruised.tissues == TISSUES[f"{bone}_bruise"]).sum() > 20, site
        assert not positive(labels_of(mask, ankle.spacing_mm))
    for site, (bone, *_) in RIMS.items():
        spurred, mask = paint(ankle, [Osteophyte(site=site, size_mm=5)])
        value = STRUCTURE_OF[TISSUES[bone]]
        before, after = (STRUCTURE_OF[a.tissues] == value for a in (ankle, spurred))
        assert (after & ~before).any(), site
        assert ndimage.label(after, np.ones((3, 3, 3)))[1] == 1, site
        assert not positive(labels_of(mask, ankle.spacing_mm))


def test_oedema_of_the_fat_is_no_tear(ankle):
    from orthodx.synth.ankle.lesion_fluid import OEDEMA

    for site in OEDEMA:
        wet, mask = paint(ankle, [SoftOedema(site=site, size=1.0, density=0.6, seed=1)])
        changed = wet.tissues != ankle.tissues
        assert changed.sum() * ankle.spacing_mm**3 > 300, site
        assert (ankle.tissues[changed] == TISSUES["fat"]).all()
        assert (mask[changed] == VALUES["soft_oedema"]).all()
        assert not positive(labels_of(mask, ankle.spacing_mm))


@pytest.mark.parametrize("volume_ml", [2.0, 7.0])
def test_an_effusion_has_the_volume_it_was_drawn_with(ankle, volume_ml):
    wet, mask = paint(ankle, [Effusion(volume_ml=volume_ml, seed=1, code="effusion")])
    new = (wet.tissues == TISSUES["fluid"]) & (ankle.tissues != TISSUES["fluid"])
    assert new.sum() * ankle.spacing_mm**3 / 1000 == pytest.approx(volume_ml, rel=0.15)
    np.testing.assert_array_equal(STRUCTURE_OF[wet.tissues], STRUCTURE_OF[ankle.tissues])
    assert not positive(labels_of(mask, ankle.spacing_mm))


def test_a_left_ankle_is_injured_as_the_right_one_is(ankle):
    for lesion in (INJURIES["ATFL"][0], INJURIES["ATR"][1], dome("loose")):
        right, left = (paint(a, [lesion])[1] for a in (ankle, ankle.mirrored()))
        value = VALUES[lesion.code]
        assert (left == value).sum() == pytest.approx((right == value).sum(), rel=0.25)
        places = [np.argwhere(m == value).mean(0) for m in (right, left[::-1])]
        assert np.abs(places[0] - places[1]).max() * ankle.spacing_mm < 2.0


def test_lesions_replay_from_their_records(ankle):
    lesions = (*(pair[1] for pair in INJURIES.values()), Effusion(volume_ml=4, seed=4, code="effusion"))
    again = from_records(as_records(lesions), PAINTERS)
    assert again == lesions
    for first, second in zip(paint(ankle, lesions), paint(ankle, again), strict=True):
        np.testing.assert_array_equal(getattr(first, "tissues", first), getattr(second, "tissues", second))
    assert positive(labels_of(paint(ankle, lesions)[1], ankle.spacing_mm)) == set(ANKLE.codes)


@pytest.mark.parametrize("tissue", ["atfl", "cfl", "achilles_tendon"])
def test_a_lesion_of_what_is_not_there_leaves_no_mark(ankle, tissue):
    tissues = np.where(ankle.tissues == TISSUES[tissue], TISSUES["fat"], ankle.tissues).astype(np.uint8)
    code = next(a.code for a in ANKLE.abnormalities if a.harms == tissue)
    injured, mask = paint(replace(ankle, tissues=tissues), [INJURIES[code][1]])
    np.testing.assert_array_equal(injured.tissues, tissues)
    assert not mask.any()
