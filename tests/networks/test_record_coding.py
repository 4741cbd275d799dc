"""Health records become numbers: the fit is on training records, and the unknown says nothing."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from orthodx.bundles.model_json import config_of
from orthodx.networks.diagnosis.record_coding import FURTHEST, LEAST_SEEN, RecordCoding
from orthodx.networks.diagnosis.tabular import LateFusion
from orthodx.studies.records import Record

FULL = Record(age=40, height=170, weight=70, sex="M", patient_type="inpatient", event="fall")
RECORDS = [
    FULL,
    replace(FULL, age=20, height=None, sex="F", patient_type="outpatient"),
    replace(FULL, age=60, height=180, weight=90, patient_type="outpatient"),
    replace(FULL, age=None, height=190, event="skiing", patient_type="outpatient"),
    Record(event="skiing", patient_type="inpatient"),
    Record(event="skiing", patient_type="inpatient"),
    Record(event="fall"),
    Record(event="fell off the neighbour's roof", patient_type="day case"),
    None,
]
maybe = st.none()
records = st.builds(
    Record, age=maybe | st.floats(0, 120), height=maybe | st.floats(40, 250), weight=maybe | st.floats(1, 400),
    sex=maybe | st.sampled_from(["M", "F"]), patient_type=maybe | st.sampled_from(["inpatient", "outpatient"]),
    event=maybe | st.text(max_size=3),
)  # fmt: skip


@pytest.fixture
def coding():
    return RecordCoding.fit(RECORDS)


def test_numbers_are_standardised_by_what_is_known(coding):
    assert coding.means == pytest.approx((40, 180, 75))
    continuous = coding.encode(RECORDS[:3])[0]
    assert continuous.dtype == torch.float32
    assert continuous[:, 0].tolist() == pytest.approx([0, -1.2247, 1.2247], abs=1e-4)
    assert continuous[1, 1] == 0  # a missing height is the mean one


def test_categories_are_one_hot_with_unknown_last_and_events_count_from_one(coding):
    _, sex, kind, event = coding.encode([*RECORDS[:2], Record(), replace(FULL, patient_type="alien", event="alien")])
    assert coding.patient_types == ("inpatient", "outpatient")
    assert coding.events == ("fall", "skiing")  # the more frequent first
    assert sex.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert kind.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert event.tolist() == [1, 1, 0, 0]
    assert event.dtype == torch.long


def test_a_missing_record_is_all_unknown(coding):
    for missing, empty in zip(coding.encode([None]), coding.encode([Record()]), strict=True):
        assert torch.equal(missing, empty)
    assert coding.encode([None])[0].tolist() == [[0, 0, 0]]
    assert coding.known([None, Record(), Record(event="never heard of"), Record(sex="F"), FULL]).tolist() == [
        False, False, False, True, True,
    ]  # fmt: skip


def test_a_word_of_one_person_is_not_kept(coding):
    assert LEAST_SEEN == 3
    assert "roof" not in json.dumps(asdict(coding))
    assert coding.encode([RECORDS[7]])[3].tolist() == [0]


def test_events_fit_the_embedding():
    many = [Record(event=f"event {i:02d}") for i in range(30) for _ in range(3)] + [Record(event="event 29")]
    coding = RecordCoding.fit(many, max_events=20)
    assert coding.sizes["events"] == 20
    assert coding.events[:2] == ("event 29", "event 00")
    assert RecordCoding.fit(many, max_events=1).events == ()


def test_a_column_without_spread_in_training_says_nothing():
    coding = RecordCoding.fit([Record(age=30), Record(age=30)])
    assert coding.encode([Record(age=80, height=190)])[0].tolist() == [[0, 0, 0]]
    assert coding.known([Record(age=80, height=190)]).tolist() == [False]
    assert RecordCoding.fit([]).encode([FULL])[1].tolist() == [[1, 0, 0]]


def test_late_fusion_takes_what_encode_gives(coding):
    fusion = LateFusion(width=5, labels=4, **coding.sizes)
    logits = fusion(torch.zeros(len(RECORDS), 5), *coding.encode(RECORDS))
    assert logits.shape == (len(RECORDS), 4)
    assert [part.shape[0] for part in coding.encode([])] == [0, 0, 0, 0]


@settings(max_examples=60, deadline=None)
@given(st.lists(maybe | records, max_size=8), st.lists(maybe | records, max_size=4))
def test_any_records_give_finite_bounded_inputs_and_json_gives_the_same_coding(training, seen):
    coding = RecordCoding.fit(training, max_events=4)
    assert config_of(RecordCoding, json.loads(json.dumps(asdict(coding)))) == coding
    continuous, sex, kind, event = coding.encode(seen)
    assert continuous.shape == (len(seen), 3)
    assert continuous.isfinite().all()
    assert (continuous.abs() <= FURTHEST).all()
    assert (sex.sum(1) == 1).all()
    assert (kind.sum(1) == 1).all()
    assert (event < coding.sizes["events"]).all()
    silent = ~coding.known(seen)
    for part, unknown in zip(coding.encode(seen), coding.encode([None]), strict=True):
        assert (part[silent] == unknown).all()


@pytest.mark.parametrize(
    "damage", [{"means": [1, 2]}, {"sds": [1, -1, 1]}, {"sds": [1, float("nan"), 1]}, {"events": ["a", "a"]},
               {"events": None}, {"more": []}],
)  # fmt: skip
def test_a_damaged_coding_is_refused(coding, damage):
    with pytest.raises(ValueError):  # noqa: PT011  (each has words of its own)
        config_of(RecordCoding, {**asdict(coding), **damage})
