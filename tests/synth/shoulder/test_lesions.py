"""Lesions: each changes what it should and only there, worse ones more, and looks injured where injury is seen."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from orthodx.joints import SHOULDER, View
from orthodx.synth.deformation import NO_DEFORMATION
from orthodx.synth.lesions import as_records, from_records
from orthodx.synth.patients import UNHURT
from orthodx.synth.scanner import make_plane, on_plane, render, sample_scan
from orthodx.synth.shoulder import SYNTHETIC
from orthodx.synth.shoulder.injuries import PAINTERS
from orthodx.synth.shoulder.lesions import (
    LEAST_ML,
    VALUES,
    AcArthrosis,
    BicepsInjury,
    BoneBruise,
    BursalFluid,
    CartilageLoss,
    CuffTear,
    FattyMuscle,
    JointEffusion,
    LabralTear,
    MagicAngle,
    SheathFluid,
    TuberosityCyst,
)
from orthodx.synth.shoulder.tissues import TISSUES
from orthodx.synth.signals import sequence_signal

STRUCTURE_OF = TISSUES.structure_of
paint, labels_of = SYNTHETIC.paint, SYNTHETIC.labels_of


def cuff(code, depth, **other):
    shape = {
        "zone_mm": 14.0 if depth < 1 else 24.0, "swelling_mm": 0.8, "surface": "joint", "where": 0.2,
        "width": 0.5 if depth < 1 else 0.9, "from_foot_mm": 0.0, "length_mm": 8.0 if depth < 1 else 20.0, "seed": 3,
    }  # fmt: skip
    return CuffTear(code=code, depth=depth, **{**shape, **other})


def biceps(**other):
    return BicepsInjury(**{"swelling_mm": 0.6, "share": 0.3, "gap_mm": 0.0, "shift_deg": 0.0, "seed": 3, **other})


def labrum(arc):
    return LabralTear(where_deg=120.0, arc_deg=arc, width_mm=1.2, cyst_mm=0.0, seed=3)


def worn(bone, radius_mm, oedema_mm):
    return CartilageLoss(bone=bone, radius_mm=radius_mm, depth=1.0, oedema_mm=oedema_mm, spur_mm=0.0, seed=3)


def ac(spur_mm, oedema_mm):
    return AcArthrosis(spur_mm=spur_mm, capsule_mm=1.5, oedema_mm=oedema_mm, fluid=0.5, seed=3)


# what is painted -> (mild, severe, the label, tissue near which everything happens, how far it may reach in mm)
INJURIES = {
    "SSP": (cuff("SSP", 0.0), cuff("SSP", 1.0), "SSP", "supraspinatus_tendon", 4),
    "ISP": (cuff("ISP", 0.5), cuff("ISP", 1.0), "ISP", "infraspinatus_tendon", 4),
    "SSC": (cuff("SSC", 0.0), cuff("SSC", 1.0), "SSC", "subscapularis_tendon", 4),
    "biceps_torn": (biceps(), biceps(swelling_mm=1.5, share=0.8, gap_mm=12.0), "LHBT_injury", "biceps_long_head", 5),
    "biceps_shifted": (biceps(), biceps(share=0.6, shift_deg=40.0), "LHBT_injury", "biceps_long_head", 24),
    "ac": (ac(1.5, 0.0), ac(4.0, 9.0), "AC", "ac_disc", 16),
    "effusion": (JointEffusion(volume_ml=1.5, seed=3), JointEffusion(volume_ml=9.0, seed=3), "GHJ", "labrum", 40),
    "labrum": (labrum(50.0), labrum(120.0), "GHJ", "labrum", 4),
    "head_worn": (worn("humerus", 6, 0.0), worn("humerus", 13, 9.0), "GHJ", "glenohumeral_cartilage", 20),
    "glenoid_worn": (worn("scapula", 8, 3.0), worn("scapula", 13, 8.0), "GHJ", "glenohumeral_cartilage", 22),
    "sheath": (
        SheathFluid(volume_ml=0.6, seed=3), SheathFluid(volume_ml=3.0, seed=3), "LHBT_effusion", "biceps_long_head", 9,
    ),
    "bursa": (
        BursalFluid(volume_ml=1.0, wall_mm=0.0, seed=3), BursalFluid(volume_ml=6.0, wall_mm=1.0, seed=3), "SASD",
        "bursa", 8,
    ),
}  # fmt: skip
NO_LABEL = {
    "bone_bruise": BoneBruise(site="greater_tuberosity", radius_mm=8, dent_mm=0.0, seed=3),
    "magic_angle": MagicAngle(length_mm=6.0, seed=3),
    "tuberosity_cyst": TuberosityCyst(radius_mm=2.2, where_mm=-6.0, seed=3),
    "fatty_muscle": FattyMuscle(of="SSP", share=0.4, seed=3),
    "ac_wear": AcArthrosis(spur_mm=1.5, capsule_mm=1.3, oedema_mm=0.0, fluid=0.0, seed=3, code="ac_wear"),
}
TRACES = {
    "GHJ": JointEffusion(volume_ml=0.08, seed=3),
    "LHBT_effusion": SheathFluid(volume_ml=0.15, seed=3),
    "SASD": BursalFluid(volume_ml=0.3, wall_mm=0.0, seed=3),
}


@pytest.fixture(scope="module")
def painted(shoulder):
    return {name: [paint(shoulder, [lesion]) for lesion in pair[:2]] for name, pair in INJURIES.items()}


def ml(mask, shoulder, value):
    return float((mask == value).sum()) * shoulder.spacing_mm**3 / 1000


@pytest.mark.parametrize("name", INJURIES)
def test_an_injury_changes_its_neighbourhood_only_and_marks_what_it_changes(shoulder, painted, name):
    *_, code, tissue, reach = INJURIES[name]
    far = ndimage.distance_transform_edt(shoulder.tissues != TISSUES[tissue], sampling=shoulder.spacing_mm)
    for injured, mask in painted[name]:
        changed = injured.tissues != shoulder.tissues
        assert changed.any()
        assert (mask[changed] == VALUES[code]).all()
        assert set(np.unique(mask)) == {0, VALUES[code]}
        assert far[mask > 0].max() < reach


@pytest.mark.parametrize("name", INJURIES)
def test_a_worse_injury_marks_more_and_only_its_own_label(shoulder, painted, name):
    code = INJURIES[name][2]
    mild, severe = (ml(mask, shoulder, VALUES[code]) for _, mask in painted[name])
    assert LEAST_ML[code] <= mild < severe
    for _, mask in painted[name]:
        labels = labels_of(mask, shoulder.spacing_mm)
        assert list(labels) == list(SHOULDER.codes)
        assert {c for c, positive in labels.items() if positive} == {code}


@pytest.mark.parametrize("name", INJURIES)
def test_an_injury_is_seen_in_each_view_where_its_mask_is(shoulder, painted, name):
    injured, mask = painted[name][1]
    value = VALUES[INJURIES[name][2]]
    at = np.argwhere(mask == value).mean(0) * shoulder.spacing_mm + shoulder.affine[:3, 3]
    signal = sequence_signal(TISSUES, "T2" if "worn" not in name else "T1", 3500, 60, 3.0, True)
    for view in View:
        plane = make_plane(view, (11, 96, 96), (3.0, 1.2), 3.0, at).turned(0.0)
        params = sample_scan(np.random.default_rng(2), plane, signal, 1e-6)
        images = [
            render(torch.from_numpy(a.tissues), a.affine, params, NO_DEFORMATION, TISSUES)[0].numpy()
            for a in (shoulder, injured)
        ]
        seen = on_plane(torch.from_numpy(mask), shoulder.affine, params, NO_DEFORMATION).numpy() == value
        apart = ndimage.distance_transform_edt(~seen, sampling=(3.0, 1.2, 1.2)) > 8
        assert seen.any()
        change = np.abs(images[1] - images[0] * np.median(images[1][apart] / (images[0][apart] + 1e-6)))
        assert change[seen].mean() > 4 * change[apart].mean(), view


@pytest.mark.parametrize("code", ["SSP", "ISP", "SSC"])
def test_torn_tendon_is_still_that_structure_and_fluid_lies_in_a_gap_only(shoulder, painted, code):
    tissue = INJURIES[code][3]
    mild, severe = (injured.tissues == TISSUES["fluid"] for injured, _ in painted[code])
    inside = STRUCTURE_OF[shoulder.tissues] == STRUCTURE_OF[TISSUES[tissue]]
    assert (severe & inside).sum() > 3 * (mild & inside).sum()
    for part in ("tendinosis", "torn"):
        assert STRUCTURE_OF[TISSUES[f"{tissue}_{part}"]] == STRUCTURE_OF[TISSUES[tissue]]
        t2 = sequence_signal(TISSUES, "T2", 3500, 60, 3.0, True)
        assert t2[TISSUES[tissue]] < t2[TISSUES[f"{tissue}_{part}"]] < t2[TISSUES["fluid"]]


def test_tendinosis_has_no_fluid_a_partial_tear_does_not_go_through(shoulder):
    grey, _ = paint(shoulder, [cuff("SSP", 0.0)])
    assert not ((grey.tissues == TISSUES["fluid"]) & (shoulder.tissues != TISSUES["fluid"])).any()
    for surface in ("joint", "bursa", "inside"):
        torn, _ = paint(shoulder, [cuff("SSP", 0.4, surface=surface)])
        gap = (torn.tissues == TISSUES["fluid"]) & (shoulder.tissues == TISSUES["supraspinatus_tendon"])
        full, _ = paint(shoulder, [cuff("SSP", 1.0, width=0.5, length_mm=8.0)])
        through = (full.tissues == TISSUES["fluid"]) & (shoulder.tissues == TISSUES["supraspinatus_tendon"])
        assert 0 < gap.sum() < 0.85 * through.sum()


def test_the_stump_of_a_retracted_tendon_is_thicker_than_the_tendon_was(shoulder):
    torn, _ = paint(shoulder, [cuff("SSP", 1.0, swelling_mm=0.0, width=1.0, length_mm=26.0)])
    grown = (STRUCTURE_OF[torn.tissues] == 4) & (STRUCTURE_OF[shoulder.tissues] != 4)
    gone = (STRUCTURE_OF[torn.tissues] != 4) & (STRUCTURE_OF[shoulder.tissues] == 4)
    lateral = 1 if shoulder.side == "right" else -1
    assert grown.sum() * shoulder.spacing_mm**3 > 30
    assert (np.argwhere(gone)[:, 0].mean() - np.argwhere(grown)[:, 0].mean()) * lateral * shoulder.spacing_mm > 8


def test_a_shifted_biceps_tendon_lies_medially_and_out_of_its_groove(shoulder, painted):
    injured, _ = painted["biceps_shifted"][1]
    lateral = 1 if shoulder.side == "right" else -1
    z = np.arange(shoulder.tissues.shape[2]) * shoulder.spacing_mm + shoulder.affine[2, 3]
    level = (z > -12) & (z < 2)
    x = [np.argwhere((STRUCTURE_OF[a.tissues] == 7)[:, :, level])[:, 0].mean() for a in (shoulder, injured)]
    assert (x[0] - x[1]) * lateral * shoulder.spacing_mm > 5
    volume = [(STRUCTURE_OF[a.tissues] == 7).sum() for a in (shoulder, injured)]
    assert volume[1] > 0.7 * volume[0]


@pytest.mark.parametrize("name", NO_LABEL)
def test_signs_without_a_label_stay_without_one(shoulder, name):
    injured, mask = paint(shoulder, [NO_LABEL[name]])
    assert (injured.tissues != shoulder.tissues).any()
    assert set(np.unique(mask)) == {0, VALUES[name]}
    assert not any(labels_of(mask, shoulder.spacing_mm).values())


def test_a_muscle_wastes_to_fat_above_or_below_the_spine_of_the_scapula(shoulder):
    height = {}
    for muscle in ("SSP", "ISP"):
        wasted, mask = paint(shoulder, [FattyMuscle(of=muscle, share=0.3, seed=3)])
        changed = wasted.tissues != shoulder.tissues
        assert (shoulder.tissues[changed] == TISSUES["muscle"]).all()
        assert (wasted.tissues[changed] == TISSUES["fat"]).all()
        assert 2 < ml(mask, shoulder, VALUES["fatty_muscle"]) < 60
        height[muscle] = np.argwhere(changed)[:, 2].mean() * shoulder.spacing_mm
    assert height["SSP"] > height["ISP"] + 25


@pytest.mark.parametrize("code", TRACES)
def test_traces_of_fluid_are_no_finding(shoulder, code):
    _, mask = paint(shoulder, [TRACES[code]])
    assert not any(labels_of(mask, shoulder.spacing_mm).values())


@pytest.mark.parametrize(
    ("lesion", "volume_ml"),
    [
        (JointEffusion(volume_ml=6.0, seed=1), 6.0),
        (SheathFluid(volume_ml=1.5, seed=1), 1.5),
        (BursalFluid(volume_ml=4.0, wall_mm=0.0, seed=1), 4.0),
    ],
)
def test_fluid_has_the_volume_it_was_drawn_with(shoulder, lesion, volume_ml):
    injured, _ = paint(shoulder, [lesion])
    new = (injured.tissues == TISSUES["fluid"]) & (shoulder.tissues != TISSUES["fluid"])
    assert new.sum() * shoulder.spacing_mm**3 / 1000 == pytest.approx(volume_ml, rel=0.15)


def test_an_impaction_dents_the_back_of_the_head(shoulder):
    dent = BoneBruise(site="posterolateral_head", radius_mm=8, dent_mm=4.0, seed=3)
    injured, _ = paint(shoulder, [dent])
    before, after = (STRUCTURE_OF[a.tissues] == 1 for a in (shoulder, injured))
    lost = np.argwhere(before & ~after)
    assert 0.1 < len(lost) * shoulder.spacing_mm**3 / 1000 < 3
    assert lost[:, 1].mean() < np.argwhere(before)[:, 1].mean()


def test_a_left_shoulder_is_injured_as_the_mirror_of_the_right_one(shoulder):
    for lesion in (cuff("SSP", 1.0, seed=1), JointEffusion(volume_ml=6.0, seed=1), biceps(shift_deg=40.0)):
        here, there = (paint(a, [lesion])[0] for a in (shoulder, shoulder.mirrored()))
        places = []
        for injured, before in ((here, shoulder), (there.mirrored(), shoulder)):
            new = (injured.tissues == TISSUES["fluid"]) & (before.tissues != TISSUES["fluid"])
            places.append([*np.argwhere(new).mean(0), new.sum() ** (1 / 3)])
        np.testing.assert_allclose(places[0], places[1], atol=1.0)


def test_the_same_lesions_paint_the_same_shoulder_and_replay_from_their_records(shoulder):
    lesions = tuple(pair[1] for pair in INJURIES.values())
    again = from_records(as_records(lesions), PAINTERS)
    assert again == lesions
    first, second = paint(shoulder, lesions), paint(shoulder, again)
    np.testing.assert_array_equal(first[0].tissues, second[0].tissues)
    np.testing.assert_array_equal(first[1], second[1])


def test_patients_have_their_mechanisms_injuries():
    patients = [SYNTHETIC.patient_of(5, i, "Harbour") for i in range(800)]

    def share(of, among):
        chosen = [p for p in patients if among(p)]
        return sum(of(p) for p in chosen) / len(chosen)

    def codes(p):
        return {lesion.code for lesion in p.lesions if getattr(lesion, "volume_ml", 9) > 0.4}

    def open_cuff(p):
        return any(isinstance(one, CuffTear) and one.depth >= 1 for one in p.lesions)

    assert share(lambda p: "SASD" in codes(p), open_cuff) > 0.75
    assert share(lambda p: "SASD" in codes(p), lambda p: not open_cuff(p)) < 0.45
    assert not any(set(SHOULDER.codes) & codes(p) for p in patients if p.mechanism == UNHURT)
    ages = [np.mean([p.age for p in patients if p.age and p.mechanism == m]) for m in ("dislocation", "wear")]
    assert ages[0] + 25 < ages[1]
    assert any(p.lesions for p in patients if p.mechanism == UNHURT)
    for code in SHOULDER.codes:
        assert 0.05 < share(lambda p, c=code: c in codes(p), lambda p: True) < 0.6, code
