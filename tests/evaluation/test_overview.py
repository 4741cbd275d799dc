"""What the tables and the line below them say of groups, of small numbers, and of numbers that are not there."""

import pytest

from orthodx.evaluation.overview import by_target, differences_told, overview, with_interval
from orthodx.evaluation.rows import REST, Row
from orthodx.studies.readable import counted


def row(metric="auroc", **facts):
    return Row(task="diagnosis", target=facts.pop("target", "ACL"), metric=metric, **facts)


def group(name, p=None, p_holm=1.0, **facts):
    """A group's row, and the one of its difference from the rest where p is known."""
    own = [row(grouping="center", group=name, value=0.8, low=0.7, high=0.9, n=60, positives=30, **facts)]
    if p is not None:
        own.append(row(grouping="center", group=name, against=REST, value=0.1, p=p, p_holm=p_holm, n=60, **facts))
    return own


@pytest.mark.parametrize(
    ("positives", "n", "text"),
    [
        (4, 40, "0.900† (0.500–0.990)"),
        (37, 40, "0.900† (0.500–0.990)"),
        (5, 40, "0.900 (0.500–0.990)"),
        (35, 40, "0.900 (0.500–0.990)"),
        (None, 40, "0.900 (0.500–0.990)"),
    ],
)
def test_an_auroc_of_few_is_marked_and_the_mark_is_explained(positives, n, text):
    one = row(value=0.9, low=0.5, high=0.99, positives=positives, n=n)
    assert with_interval(one) == text
    title = by_target([one], "diagnosis", "Diagnosis", ["auroc"]).title
    assert ("† fewer than 5 positive or negative" in title) == ("†" in text)


def test_a_number_without_an_interval_has_none():
    assert with_interval(row(value=0.5, low=0.1)) == with_interval(row(value=0.5)) == "0.500"
    assert with_interval(row(note="one class only")) == "one class only"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], ""),
        ([row(value=0.8)], ""),
        ([*group("A"), *group("B")], "not testable: 2 of 2"),
        ([*group("A", 0.5), *group("B")], "0 of 1 differ; not testable: 1 of 2"),
        ([*group("A", 0.001, 0.002), *group("B", 0.5)], "1 of 2 differ"),
    ],
)
def test_no_difference_and_no_test_are_told_apart(rows, told):
    assert differences_told(rows) == told


def test_groups_are_among_the_tables():
    (sheet,) = (one for one in overview([row(value=0.8), *group("A", 0.5), *group("B")]) if "by center" in one.title)
    assert [line[:2] for line in sheet.lines] == [("ACL", "A"), ("ACL", "B")]


@pytest.mark.parametrize(
    ("number", "things", "text"),
    [
        (1, "studies", "1 study"), (0, "studies", "0 studies"), (2, "studies have", "2 studies have"),
        (1, "files have", "1 file has"), (1, "series have", "1 series has"), (1, "rows match", "1 row matches"),
        (1, "patients train", "1 patient trains"), (1, "values are", "1 value is"),
    ],
)  # fmt: skip
def test_one_is_no_plural(number, things, text):
    assert counted(number, things) == text


def test_groups_that_are_all_too_small_are_one_line_each():
    few = [
        row(grouping="center", group=name, target=target, n=3, note="n too small")
        for target in ("ACL", "PCL")
        for name in ("A", "B")
    ]
    (sheet,) = (one for one in overview([row(value=0.8), *few]) if "by center" in one.title)
    assert [line[:4] for line in sheet.lines] == [("any", "A", "3", "n too small"), ("any", "B", "3", "n too small")]


def test_of_small_groups_that_differ_the_targets_are_told():
    few = [
        row(grouping="center", group="A", target=target, n=2, positives=positives, note="n too small")
        for target, positives in (("ACL", 1), ("PCL", 1), ("MM", 0), ("LM", 1), ("MCL", 1))
    ]
    (sheet,) = (one for one in overview([row(value=0.8), *few]) if "by center" in one.title)
    assert [line[:3] for line in sheet.lines] == [("ACL, PCL, LM and 1 more", "A", "2 (1)"), ("MM", "A", "2 (0)")]


def test_a_difference_that_stands_on_few_is_marked():
    rows = [row(against="other", value=0.1, n=8, positives=positives) for positives in (3, 5)]
    (sheet,) = (one for one in overview([row(value=0.8), *rows]) if "compared" in one.title)
    assert "fewer than 5" in sheet.title
    assert ["†" in line[4] for line in sheet.lines] == [True, True]
