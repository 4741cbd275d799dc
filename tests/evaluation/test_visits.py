"""Who was seen when: by days or by order, in the manifest or in a table of its own; never by dates."""

import pytest

from orthodx.errors import StudyError
from orthodx.evaluation.notices import Notices
from orthodx.evaluation.visits import visits_of


def rows(*studies, **columns):
    """Manifest rows of one patient P, a sagittal series a study."""
    out = [dict(patient_id="P", study_id=s, series_id=f"{s}-1") for s in studies]
    for name, values in columns.items():
        for one, value in zip(out, values, strict=True):
            one[name] = value
    return out


def seen(manifest, table=None, notices=None):
    views = {row["series_id"]: "sagittal" for row in manifest}
    found = visits_of(manifest, views, table, notices or Notices())
    return {(f"{one.patient_id} {one.laterality}".strip()): one.visits for one in found}


def test_days_give_order_and_distance_from_the_first():
    found = seen(rows("a", "b", "c", days=["400", "30", "100.5"]))["P"]
    assert [(v.study_id, v.days) for v in found] == [("b", 0), ("c", 70.5), ("a", 370)]
    assert found[0].series == {"sagittal": "b-1"}


def test_an_order_gives_no_days():
    found = seen(rows("a", "b", visit=["2", "1"]))["P"]
    assert [(v.study_id, v.days) for v in found] == [("b", None), ("a", None)]


def test_a_table_comes_before_the_manifest(tmp_path):
    (tmp_path / "seen.csv").write_text("Study ID;Days\nb;0\na;90\n")
    found = seen(rows("a", "b", days=["0", "1"]), tmp_path / "seen.csv")["P"]
    assert [v.study_id for v in found] == ["b", "a"]


@pytest.mark.parametrize("bad", ["2021-05-01", "", "soon", "20210501"])
def test_dates_and_blanks_are_refused_by_study_and_the_rest_goes_on(bad):
    notices = Notices()
    found = seen(rows("a", "b", "c", days=["0", bad, "9"]), notices=notices)["P"]
    assert [v.study_id for v in found] == ["a", "c"]
    (line,) = notices.refused
    assert "b: " in line
    assert "never dates" in line


def test_a_study_with_two_numbers_is_refused():
    notices = Notices()
    manifest = [*rows("a", "b", days=["0", "5"]), dict(patient_id="P", study_id="b", series_id="b-2", days="6")]
    assert not seen(manifest, notices=notices)
    assert "both 5 and 6" in notices.refused[0]


def test_a_left_joint_is_not_held_against_a_right_one():
    sides = ["left", "right", "right", "left", "left"]
    manifest = rows("a", "b", "c", "d", "e", days=["0", "0", "5", "5", "9"], laterality=sides)
    found = {who: [v.study_id for v in visits] for who, visits in seen(manifest).items()}
    assert found == {"P left": ["a", "d", "e"], "P right": ["b", "c"]}
    assert not seen(rows("a", "b", days=["0", "5"], laterality=["left", "right"]))


def test_both_joints_in_one_study_are_parted_and_a_blank_side_is_the_only_one_known():
    manifest = rows("a", "a", "b", "b", days=["0", "0", "5", "5"], laterality=["left", "right"] * 2)
    for one, series in zip(manifest, "lrLR", strict=True):
        one["series_id"] = series
    found = seen(manifest)
    assert [v.series["sagittal"] for v in found["P left"]] == ["l", "L"]
    assert [v.series["sagittal"] for v in found["P right"]] == ["r", "R"]
    assert list(seen(rows("a", "b", days=["0", "5"], laterality=["", "left"]))) == ["P left"]
    assert list(seen(rows("a", "b", "c", days=["0", "5", "9"], laterality=["L", "unknown", "Left"]))) == ["P left"]
    four = rows(*"abcd", days=["0", "0", "5", "5"], laterality=["RT", "LT", "right", "left"])
    assert {name: [v.study_id for v in visits] for name, visits in seen(four).items()} == {
        "P right": ["a", "c"],
        "P left": ["b", "d"],
    }
    odd = rows(*"abcd", days=["0", "0", "5", "5"], laterality=["droite", "gauche", "droite", "gauche"])
    assert list(seen(odd)) == ["P droite", "P gauche"]


def test_a_study_of_two_patients_is_refused():
    notices = Notices()
    manifest = rows("a", "b", "c", days=["0", "5", "9"])
    manifest.append(dict(patient_id="Q", study_id="b", series_id="b-2", days="5"))
    assert [v.study_id for v in seen(manifest, notices=notices)["P"]] == ["a", "c"]
    assert "series of 2 patients" in notices.refused[0]


def test_patients_seen_once_are_told_and_nameless_ones_refused():
    notices = Notices()
    manifest = [*rows("a", "b", days=["0", "5"]), dict(patient_id="Q", study_id="q", series_id="q-1", days="0")]
    manifest.append(dict(patient_id="", study_id="z", series_id="z-1", days="0"))
    assert set(seen(manifest, notices=notices)) == {"P"}
    assert notices.notes == ["patients seen once only, who have no change: 1"]
    assert "z" in notices.refused[0]


def test_without_days_or_order_nothing_can_be_told(tmp_path):
    with pytest.raises(StudyError, match="no column 'days' or 'visit'"):
        seen(rows("a", "b"))
    (tmp_path / "seen.csv").write_text("study,days\na,0\n")
    with pytest.raises(StudyError, match="no column 'study_id'"):
        seen(rows("a", "b"), tmp_path / "seen.csv")
