"""Which arms a transfer has, what each is asked, and how long those left will take."""

from dataclasses import replace
from pathlib import Path

import pytest

from orthodx.bundles.bundle import Part, open_bundle
from orthodx.errors import UsageError
from orthodx.joints import View
from orthodx.networks.encoders.published import PublishedConfig
from orthodx.networks.heads.fine_segment import FineSegmentConfig
from orthodx.requests import Task, TransferRequest
from orthodx.studies.readable import in_words
from orthodx.trials.arms import Arm, planned, rank
from orthodx.trials.parts import Parts
from orthodx.trials.remaining import Remaining

PARTS = Parts(Path("split"), (Path("s"),), patients=16, tested=4, inputs="", labels=Path("labels.csv"))


def plan(bundle=None, **options):
    bundle = bundle or open_bundle("knee-small-pretrained")
    return planned(TransferRequest("s", "out", start="b", joint="ankle", **options), bundle)


def test_every_kind_share_and_seed_is_an_arm_the_largest_shares_first():
    arms = plan(label_fraction=(0.25, 1.0), seeds=2, seed=3, baseline="resnet18").arms(PARTS)
    kinds = ("transferred", "scratch", "resnet18")
    assert arms == [Arm(kind, share, seed) for seed in (3, 4) for share in (1.0, 0.25) for kind in kinds]
    assert len({arm.name for arm in arms}) == len(arms)
    assert rank(arms) == Arm("transferred", 1.0, 3)
    assert {arm.kind for arm in plan(scratch=False).arms(PARTS)} == {"transferred"}


def test_numbers_of_patients_are_shares_of_those_who_can_train():
    made = plan(task="segment", label_count=(1, 4, 16))
    assert sorted({arm.share for arm in made.arms(PARTS)}) == [1 / 16, 4 / 16, 1.0]
    assert [arm.name for arm in made.arms(PARTS)][::2] == [f"transferred-n{n}-seed0" for n in (16, 4, 1)]
    assert made.arms(PARTS)[-1].told == "scratch, 1 patient, seed 0"
    with pytest.raises(UsageError, match="17 is more than the 16 patients"):
        plan(task="segment", label_count=(17,)).arms(PARTS)


@pytest.mark.parametrize(
    ("options", "share"), [({}, 0.05), ({"full": True}, 1.0), ({"task": "segment"}, 0.05), ({"probe": True}, None)]
)
def test_encoders_are_tuned_lightly_in_full_or_not_at_all(options, share):
    asked = plan(**options).asked(Arm("transferred", 0.5, 7), PARTS, Path("arm"))
    assert (asked.encoder_share, asked.probe) == (share, share is None)
    assert (asked.seed, asked.label_fraction, asked.joint, asked.only) == (7, 0.5, "ankle", PARTS.train)


def test_arms_differ_in_nothing_but_where_they_begin():
    made = plan()
    ours, scratch = (made.asked(Arm(kind, 1.0, 0), PARTS, Path("arm")) for kind in ("transferred", "scratch"))
    assert scratch.from_scratch
    assert scratch == replace(
        ours, encoders=None, encoder_share=None, from_scratch=True, name=Arm("scratch", 1.0, 0).name
    )
    baseline = plan(baseline="resnet18").asked(Arm("resnet18", 1.0, 0), PARTS, Path("arm"))
    assert baseline == replace(scratch, name=baseline.name, encoder="resnet18", preset="small", head="mean")
    masks = plan(task="segment", baseline="dynunet").asked(Arm("dynunet", 1.0, 0), PARTS, Path("arm"))
    assert (masks.task, masks.encoder, masks.head) == (Task.SEGMENT, "dynunet", "linear_segment")


def test_masks_are_learned_by_the_bundles_own_head_from_scratch_too():
    pretrained = open_bundle("knee-small-pretrained")
    heads = {"segment": Part("fine_segment", FineSegmentConfig(detail=2), "segment.safetensors")}
    bundle = replace(pretrained, info=replace(pretrained.info, heads=heads))
    for kind in ("transferred", "scratch"):
        asked = plan(bundle, task="segment").asked(Arm(kind, 1.0, 0), PARTS, Path("arm"))
        assert (asked.head, asked.detail) == ("fine_segment", 2)
        other = plan(bundle, task="segment", head="linear_segment").asked(Arm(kind, 1.0, 0), PARTS, Path("arm"))
        assert (other.head, other.detail) == ("linear_segment", None)
    baseline = plan(bundle, task="segment", baseline="dynunet").asked(Arm("dynunet", 1.0, 0), PARTS, Path("arm"))
    assert (baseline.head, baseline.detail) == ("linear_segment", None)


def test_the_encoders_are_of_the_kind_that_the_bundle_has():
    pretrained = open_bundle("knee-small-pretrained")
    published = {
        view: Part("published", PublishedConfig(), f"{view}.safetensors") for view in (View.AXIAL, View.CORONAL)
    }
    made = plan(replace(pretrained, info=replace(pretrained.info, encoders=published)))
    assert (made.encoder, made.preset, made.views) == ("published", "published", (View.AXIAL, View.CORONAL))
    strange = {View.AXIAL: Part("published", PublishedConfig(width=32), "a.safetensors")}
    with pytest.raises(UsageError, match="of no preset"):
        plan(replace(pretrained, info=replace(pretrained.info, encoders=strange)))
    both = {**strange, View.CORONAL: published[View.CORONAL]}
    with pytest.raises(UsageError, match="differ"):
        plan(replace(pretrained, info=replace(pretrained.info, encoders=both)))


def test_what_is_left_is_told_by_what_arms_of_a_kind_took():
    arms = [Arm(kind, share, 0) for share in (1.0, 0.25) for kind in ("transferred", "scratch")]
    left = Remaining(arms, weight=lambda arm: arm.share)
    assert left.told() == "; 4 arms left"
    left.seconds[arms[0]] = 40.0
    assert left.told() == "; 3 arms left, more than 10 s"  # nothing is known of the others
    left.seconds[arms[1]] = 400.0
    assert left.told() == "; 2 arms left, about 2 min"
    left.seconds |= {arms[2]: 9.0, arms[3]: 90.0}
    assert left.told() == ""
    assert [in_words(s) for s in (5, 600, 9000)] == ["5 s", "10 min", "2.5 h"]
