"""What is measured of a study: known numbers on every voxel and orientation, sides by anatomy, blanks where unknown."""

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from orthodx.joints import ANKLE, KNEE, Joint, plates_of
from orthodx.measuring.of_study import AREA, EXTRUSION, MEAN, VOLUME, best, measure_study
from orthodx.studies.volume import Volume

# isotropic and oblique, sagittal slices
SCANS = (((0.8, 0.8, 0.8), (6, -9, 4), "right"), ((3.0, 0.5, 0.5), (0, 0, 0), "left"))


def measured(rows, volumes, joint=KNEE):
    """(structure, plate, measure) -> row."""
    found = measure_study(rows, volumes.get, joint)
    return {(r["structure"], r["plate"], r["measure"]): r for r in found.rows}


def of_one(volume, as_rows, **told):
    return measured(as_rows(volume, **told), {"one": volume})


@pytest.mark.parametrize(("spacing", "turn", "side"), SCANS, ids=str)
def test_every_plate_has_its_own_thickness(boxes, as_rows, known, spacing, turn, side):
    volume = boxes(spacing, Rotation.from_euler("xyz", turn, degrees=True).as_matrix(), side)
    found, (mm, _) = of_one(volume, as_rows, laterality=side), known
    for structure, plate, truth in (
        ("femoral_cartilage", "medial", mm["medial"]),
        ("femoral_cartilage", "lateral", mm["lateral"]),
        ("femoral_cartilage", "trochlea", mm["trochlea"]),
        ("tibial_cartilage", "medial", mm["medial"]),
        ("tibial_cartilage", "lateral", mm["lateral"]),
        ("patellar_cartilage", "whole", mm["patella"]),
    ):
        # where a box ends nothing is as thick as in its middle, which real cartilage tapers to
        assert found[structure, plate, MEAN]["value"] == pytest.approx(truth, rel=0.2), (structure, plate)
        assert found[structure, plate, MEAN]["note"] == ""


def test_of_both_knees_in_one_study_each_has_its_own_numbers(boxes, as_rows):
    volumes = {side: boxes((1.0, 1.0, 1.0), side=side) for side in ("left", "right")}
    volumes["right"].data[volumes["right"].data == 1] = 0  # a right knee without a femur
    rows = [row for side, v in volumes.items() for row in as_rows(v, series_id=side, laterality=side)]
    found = measure_study(rows, volumes.get, KNEE)
    ml = {(r["laterality"], r["structure"]): r["value"] for r in found.rows if r["measure"] == VOLUME}
    assert {side for side, _ in ml} == {"left", "right"}
    assert ml["left", "femur"] > 0
    assert ml["right", "femur"] is None
    assert ml["left", "tibia"] == pytest.approx(ml["right", "tibia"], rel=0.01)
    assert {layer.side for layer in found.layers} == {"left", "right"}
    alone = measure_study([row for row in rows if row["laterality"] == "left"], volumes.get, KNEE)
    assert alone.rows == [row for row in found.rows if row["laterality"] == "left"]
    assert {layer.side for layer in alone.layers} == {""}


def test_both_knees_of_untold_side_are_known_by_their_places(boxes, as_rows):
    volumes = {}
    for side, x in (("left", -90), ("right", 90)):
        volume = boxes((1.0, 1.0, 1.0), side=side)
        volume.affine[0, 3] += x
        volumes[side] = volume
    volumes["left"].data[volumes["left"].data == 2] = 0
    rows = [row for side, v in volumes.items() for row in as_rows(v, series_id=side, laterality="")]
    found = measure_study(rows, volumes.get, KNEE).rows
    ml = {(r["laterality"], r["structure"]): r for r in found if r["measure"] == VOLUME}
    assert {side for side, _ in ml} == {"left", "right"}
    assert {r["series_id"] for (side, _), r in ml.items() if r["value"] is not None and side == "left"} == {"left"}
    assert ml["left", "tibia"]["value"] is None
    assert ml["right", "tibia"]["value"] > 0
    assert all("by their places" in row["note"] for row in found)
    told = [row | {"laterality": "right"} for row in rows]  # a person says otherwise
    assert {r["laterality"] for r in measure_study(told, volumes.get, KNEE).rows} == {"right"}


@pytest.mark.parametrize("spacing", [(0.8, 0.8, 0.8), (3.0, 0.5, 0.5)], ids=str)
def test_areas_are_those_of_the_plates(boxes, as_rows, spacing):
    found = of_one(boxes(spacing), as_rows, laterality="right")
    for plate, area in (("medial", 27 * 36), ("lateral", 27 * 36), ("whole", 2 * 27 * 36)):
        assert found["tibial_cartilage", plate, AREA]["value"] == pytest.approx(area, rel=0.12)


def test_all_48_orientations_of_the_array_give_one_answer(boxes, as_rows):
    straight = boxes((1.2, 3.0, 1.2), Rotation.from_euler("xyz", (4, -5, 7), degrees=True).as_matrix())
    wanted = of_one(straight, as_rows, laterality="right")
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            back = np.zeros((4, 4))  # index in the turned array -> index in the straight one
            back[3, 3] = 1
            for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
                back[old, new], back[old, 3] = flip, 0 if flip > 0 else straight.shape[old] - 1
            data = straight.data.transpose(order)[tuple(slice(None, None, f) for f in flips)]
            found = of_one(Volume(data, straight.affine @ back, "turned"), as_rows, laterality="right")
            assert found.keys() == wanted.keys()
            for key, row in found.items():
                nothing = wanted[key]["value"] is None
                same = (
                    row["value"] is None if nothing else row["value"] == pytest.approx(wanted[key]["value"], rel=1e-6)
                )
                assert same, (key, order, flips)


@pytest.mark.parametrize("side", ["right", "left"])
def test_without_laterality_the_fibula_tells_the_sides(boxes, as_rows, known, side):
    found = of_one(boxes((0.8, 0.8, 0.8), side=side), as_rows)
    assert found["tibial_cartilage", "lateral", MEAN]["value"] == pytest.approx(known[0]["lateral"], rel=0.16)


def test_with_neither_the_sides_are_blank_and_the_rest_is_there(boxes, as_rows, known):
    found = of_one(boxes((0.8, 0.8, 0.8), fibula=False), as_rows)
    for structure, plate in (("tibial_cartilage", "medial"), ("femoral_cartilage", "lateral")):
        assert found[structure, plate, MEAN]["value"] is None
        assert "no laterality, no fibula" in found[structure, plate, MEAN]["note"]
    assert found["femoral_cartilage", "trochlea", MEAN]["value"] == pytest.approx(known[0]["trochlea"], rel=0.16)
    assert found["medial_meniscus", "", EXTRUSION]["value"] is None


def test_a_manifest_that_contradicts_the_fibula_leaves_the_sides_blank(boxes, as_rows):
    row = of_one(boxes((0.8, 0.8, 0.8)), as_rows, laterality="left")["tibial_cartilage", "medial", MEAN]
    assert row["value"] is None
    assert "fibula is not on the lateral side of a left knee" in row["note"]


def test_half_a_plateau_has_no_sides(boxes, as_rows):
    volume = boxes((0.8, 0.8, 0.8))
    half = Volume(np.ascontiguousarray(volume.data[volume.shape[0] // 3 :]), volume.affine, "half")
    row = of_one(half, as_rows, laterality="right")["tibial_cartilage", "medial", MEAN]
    assert row["value"] is None
    assert "the upper end of the tibia is not whole" in row["note"]


@pytest.mark.parametrize("spacing", [(0.5, 3.0, 0.5), (0.8, 0.8, 0.8)], ids=str)
@pytest.mark.parametrize(("turn", "side"), [((0, 0, 0), "left"), ((4, -7, 3), "right")], ids=str)
def test_extrusion_is_from_edge_to_edge(boxes, as_rows, known, spacing, turn, side):
    turned = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    found = of_one(boxes(spacing, turned, side), as_rows, laterality=side)
    for half in ("medial", "lateral"):
        assert found[f"{half}_meniscus", "", EXTRUSION]["value"] == pytest.approx(known[1][half], abs=0.8)


@pytest.mark.parametrize("spacing", [(3.0, 0.5, 0.5), (0.5, 0.5, 3.0)], ids=str)
def test_other_planes_show_no_extrusion(boxes, as_rows, spacing):
    row = of_one(boxes(spacing), as_rows, laterality="right")["medial_meniscus", "", EXTRUSION]
    assert (row["value"], row["series_id"]) == (None, "")
    assert "coronal" in row["note"]


def test_a_whole_structure_counts_before_a_finer_one_that_is_cut(boxes, as_rows):
    coarse, fine = boxes((1.0, 1.0, 1.0)), boxes((0.7, 0.7, 0.7), half=(46.0, 42.0, 31.0))
    rows = as_rows(coarse, "coarse") + as_rows(fine, "fine", center="Riverside")
    found = measured(rows, {"coarse": coarse, "fine": fine})
    patella, cartilage = (found[name, "", VOLUME] for name in ("patella", "tibial_cartilage"))
    assert (patella["series_id"], patella["cut"]) == ("coarse", 0)
    assert (cartilage["series_id"], cartilage["cut"]) == ("fine", 0)
    assert found["femur", "", VOLUME]["cut"] == 1  # its shaft leaves every field of view
    assert cartilage["center"] == "Riverside"
    assert cartilage["value"] == pytest.approx(2 * 27 * 36 * 2.5 / 1000, rel=0.2)


def test_slices_across_a_structure_show_it_better_than_slices_along_it(boxes, as_rows):
    volumes = {"sagittal": boxes((3.0, 0.8, 0.8)), "coronal": boxes((0.8, 3.0, 0.8)), "axial": boxes((0.8, 0.8, 3.0))}
    rows = {name: as_rows(volume, name) for name, volume in volumes.items()}
    found = measured(rows["coronal"] + rows["axial"], volumes)
    assert found["tibial_cartilage", "medial", MEAN]["series_id"] == "coronal"
    assert found["patellar_cartilage", "whole", MEAN]["series_id"] == "axial"
    found = measured(rows["sagittal"] + rows["axial"], volumes)
    assert found["tibial_cartilage", "medial", MEAN]["series_id"] == "sagittal"


def test_a_sure_mask_counts_before_an_unsure_finer_one():
    row = {"structure": "acl", "voxels": 9, "cut": 0}
    rows = [
        {**row, "unsure": q, "voxel_mm": mm, "series_id": mm} for q, mm in ((True, 0.5), (False, 1.0), (False, 1.5))
    ]
    assert best(rows)["series_id"] == 1.0
    assert best([{**row, "voxels": 0}]) is None


def test_what_no_series_shows_is_blank(boxes, as_rows):
    found = of_one(boxes((0.8, 0.8, 0.8)), as_rows)
    assert (found["acl", "", VOLUME]["value"], found["acl", "", VOLUME]["note"]) == (None, "in no series")


def test_a_mask_that_is_gone_leaves_volumes_only(boxes, as_rows):
    found = measured(as_rows(boxes((0.8, 0.8, 0.8))), {})
    assert found["tibia", "", VOLUME]["value"] > 100
    assert found["tibial_cartilage", "whole", MEAN]["value"] is None


def test_joints_of_old_models_have_the_plates_of_their_namesake():
    old = Joint(KNEE.name, KNEE.structures, KNEE.abnormalities, KNEE.pairs)
    assert plates_of(old) == KNEE.plates
    assert plates_of(Joint("knee", KNEE.structures[:2])) == ()
    unsided = plates_of(Joint("knee", KNEE.structures))
    assert [p.name for p in unsided] == ["whole", "whole", "whole"]
    assert [p.layer for p in plates_of(ANKLE)] == ["talar_cartilage"]
    assert plates_of(Joint("elbow", KNEE.structures)) == ()
