"""Which joint an evaluation is of: that of the results it scores."""

import json

import pandas as pd
import pytest

from orthodx.evaluation.inputs import Inputs, joint_of
from orthodx.evaluation.notices import Notices
from orthodx.joints import ANKLE, KNEE


@pytest.fixture
def results(tmp_path):
    """Predictions of an ankle, and masks of a knee that lie beside them."""
    predictions, masks, truth = tmp_path / "own.csv", tmp_path / "masks", tmp_path / "truth"
    predictions.write_text("study_id,ATFL\n")
    (tmp_path / "own.run.json").write_text(json.dumps({"joint": ANKLE.to_json()}))
    for folder in (masks, truth):
        folder.mkdir()
    (masks / "run.json").write_text(json.dumps({"joint": KNEE.to_json()}))
    return predictions, masks, truth


def test_masks_that_are_not_scored_do_not_say_which_joint_it_is(results):
    predictions, masks, truth = results
    known = {"labels": None, "manifest": None, "ehr": None}
    alone = Inputs(predictions=predictions, masks=masks, truth=None, **known)
    assert joint_of(None, alone, None, Notices()).name == "ankle"
    both = Inputs(predictions=predictions, masks=masks, truth=truth, **known)
    assert joint_of(None, both, None, Notices()).name == "knee"
    assert joint_of("shoulder", both, None, Notices()).name == "shoulder"


@pytest.mark.parametrize(
    ("told", "joint"), [("ankle", "ankle"), ("Ankle ", "ankle"), ("SHOULDER", "shoulder"), ("", "knee")]
)
def test_a_manifest_says_the_joint_in_any_case(told, joint):
    nothing = dict.fromkeys(("predictions", "masks", "truth", "labels", "manifest", "ehr"))
    manifest = pd.DataFrame({"joint": [told, told]})
    assert joint_of(None, Inputs(**nothing), manifest, Notices()).name == joint
