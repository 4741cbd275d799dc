"""Joints are data: those in the box are whole, a user's own is read from TOML or from nnU-Net's dataset.json."""

import json

import pytest

from orthodx.errors import UsageError
from orthodx.joints import JOINTS, KNEE, Joint, View, joint_beside, open_joint

OWN = """
name = "wrist"

[[structures]]
value = 7
name = "radius"
plausible_ml = [10, 200]
one_piece = true
snomed = { kind = ["62413002", "Radius"] }

[[structures]]
value = 2
name = "disc"
colour = "#3fe0d0"

[[abnormalities]]
code = "TFCC"
meaning = "tear of the triangular fibrocartilage"
harms = "disc"

[[abnormalities]]
code = "GANGLION"
"""


def own(tmp_path, text=OWN):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return open_joint(path)


@pytest.mark.parametrize("joint", JOINTS.values(), ids=str)
def test_the_joints_in_the_box_survive_a_model_json(joint):
    assert Joint.from_json(json.loads(json.dumps(joint.to_json()))) == joint
    assert joint.structures
    assert joint.codes
    assert all(a.harms is None or a.harms in joint.names.values() for a in joint.abnormalities)


def test_an_abnormality_says_which_views_show_it(tmp_path):
    joint = own(tmp_path, OWN.replace('harms = "disc"', 'seen_in = ["coronal", "axial"]'))
    assert [a.seen_in for a in joint.abnormalities] == [(View.CORONAL, View.AXIAL), ()]
    assert all(a.seen_in for one in JOINTS.values() for a in one.abnormalities)


def test_a_toml_joint_has_classes_in_its_own_order_and_defaults(tmp_path):
    joint = own(tmp_path)
    assert joint.names == {7: "radius", 2: "disc"}
    assert joint.values == (0, 7, 2)
    assert [joint.classes[v] for v in (0, 7, 2, 1)] == [0, 1, 2, 0]
    assert joint.structures[0].plausible_ml == (10.0, 200.0)
    assert joint.structures[0].colour.startswith("#")
    assert joint.lesion_values == {"TFCC": 1, "GANGLION": 2}
    assert joint.meanings["GANGLION"] == "GANGLION"
    assert joint.harmed(["GANGLION", "TFCC", "other"]) == (0, 2, 0)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("value = 2", "value = 7"), "structure value '7' stands twice"),
        (("value = 2", "value = 300"), "'disc' has the value 300"),
        (("value = 2", "value = true"), "'disc' has the value True"),
        (('"#3fe0d0"', '"blue"'), "'blue' is no colour"),
        (('harms = "disc"', 'harms = "disk"'), "harms 'disk', which is no structure"),
        (('"TFCC"', '"study_id"'), "cannot be called 'study_id'"),
        (('"GANGLION"', '"TFCC"'), "abnormality 'TFCC' stands twice"),
        (("[10, 200]", "[200, 10]"), "impossible plausible_ml"),
        (("[10, 200]", "[10]"), "no description of a joint"),
        (("one_piece", "one_peace"), "one_peace"),
        (("one_piece = true", "neck_mm = -1"), "impossible neck_mm"),
        (("one_piece = true", 'neck_mm = "thin"'), "impossible neck_mm"),
        (('colour = "#3fe0d0"', 'lies_on = ["radus"]'), "'radus'"),
        (('colour = "#3fe0d0"', 'lies_on = ["disc"]'), "no other structure"),
        (('colour = "#3fe0d0"', 'lies_on = "radius"'), "list of names"),
        (('harms = "disc"', 'seen_in = ["coronal", "oblique"]'), "seen_in of 'TFCC' has 'oblique'"),
        (('harms = "disc"', 'seen_in = "coronal"'), "seen_in of 'TFCC' has 'coronal'"),
        (('name = "wrist"', 'nam = "wrist"'), "'nam' means nothing here"),
        (('name = "wrist"', 'name = "../x"'), "cannot be called"),
        (("[[structures]]", "[[structures"), "no description of a joint"),
    ],
)
def test_what_is_wrong_with_a_toml_joint_is_named(tmp_path, change, why):
    with pytest.raises(UsageError) as caught:
        own(tmp_path, OWN.replace(*change))
    assert str(caught.value).startswith("mine.toml: ")
    assert why in str(caught.value)
    assert caught.value.hint


def test_an_unknown_joint_and_a_missing_file_are_usage(tmp_path):
    with pytest.raises(UsageError, match="no joint is called 'elbow'"):
        open_joint("elbow")
    with pytest.raises(UsageError, match="cannot be read"):
        open_joint(tmp_path / "none.toml")
    assert open_joint("knee") is KNEE


@pytest.mark.parametrize(
    "labels", [{"background": 0, "talus": 2, "tibia": 1, "ignore": 3}, {"0": "background", "1": "tibia", "2": "talus"}]
)
def test_the_labels_of_nnunet_are_structures(tmp_path, labels):
    folder = tmp_path / "Dataset007_Ankle"
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz"}))
    joint = joint_beside(folder / "imagesTr")
    assert joint == joint_beside(folder)
    assert joint.name == "Dataset007_Ankle"
    assert joint.names == {1: "tibia", 2: "talus"}
    assert joint_beside(tmp_path) is None


def test_regions_of_nnunet_are_refused(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "whole": [1, 2]}}))
    with pytest.raises(UsageError, match="'whole' is a region"):
        joint_beside(tmp_path)
