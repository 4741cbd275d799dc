"""Splits: whole patients, nobody on both sides, centers and labels alike, and small fractions inside larger ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orthodx.errors import UsageError
from orthodx.training.diagnosis.splits import Case, label_fraction, person_index, refuse_leakage, split

SHARES = np.array((0.4, 0.25, 0.1, 0.05))  # of patients with each label


def case(study, patient, center="A", labels=(0.0,), images=()):
    return Case(study_id=study, patient_id=patient, center=center, labels=labels, images=frozenset(images))


def cohort(patients=200, seed=0):
    """One study a patient, at three centers of 50, 30 and 20 %; a tenth of the labels unknown."""
    rng = np.random.default_rng(seed)
    values = (rng.random((patients, len(SHARES))) < SHARES).astype(float)
    values[rng.random(values.shape) < 0.1] = np.nan
    centers = rng.choice(list("ABC"), patients, p=(0.5, 0.3, 0.2))
    return [case(f"s{i:03d}", f"p{i:03d}", centers[i], tuple(values[i])) for i in range(patients)]


def truth(cases, chosen):
    return np.array([cases[i].labels for i in chosen])


def patients(cases, chosen):
    return {cases[i].patient_id for i in chosen}


@st.composite
def some_cases(draw):
    """Up to 25 patients with up to 4 studies at any of 4 centers, labels of any kind."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=2, max_size=25))
    label = st.sampled_from((0.0, 1.0, np.nan))
    cases = [
        case(f"{p}-{s}", f"p{p}", draw(st.sampled_from("ABCD")), (draw(label), draw(label)))
        for p, studies in enumerate(sizes)
        for s in range(studies)
    ]
    return draw(st.permutations(cases))


@settings(max_examples=60, deadline=None)
@given(some_cases(), st.floats(0.01, 0.99), st.integers(0, 5))
def test_every_patient_is_on_one_side_only(cases, validation, seed):
    parts = split(cases, validation, seed)
    both = np.concatenate([parts.train, parts.validation])
    assert sorted(both) == list(range(len(cases)))
    assert len(parts.held_out) == 0
    one, two = patients(cases, parts.train), patients(cases, parts.validation)
    assert one
    assert two
    assert not one & two
    assert abs(len(two) - validation * len(one | two)) <= 1
    refuse_leakage([cases[i] for i in parts.train], [cases[i] for i in parts.validation])


@settings(max_examples=60, deadline=None)
@given(some_cases(), st.integers(0, 5), st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)), st.randoms())
def test_a_fraction_holds_whole_patients_its_share_of_them_and_every_smaller_fraction(cases, seed, fractions, random):
    everyone = patients(cases, range(len(cases)))
    small, large = (label_fraction(cases, f, seed) for f in sorted(fractions))
    assert set(small) <= set(large)
    for fraction, chosen in zip(sorted(fractions), (small, large), strict=True):
        kept = patients(cases, chosen)
        assert kept
        assert abs(len(kept) - fraction * len(everyone)) <= 1
        assert not kept & patients(cases, set(range(len(cases))) - set(chosen))
    shuffled = random.sample(cases, len(cases))
    again = label_fraction(shuffled, min(fractions), seed)
    assert {shuffled[i].study_id for i in again} == {cases[i].study_id for i in small}


def test_published_fractions_are_nested_and_the_whole_is_the_whole():
    cases = cohort()
    chosen = [set(label_fraction(cases, f, seed=3)) for f in (0.1, 0.25, 0.5, 1.0)]
    assert [len(c) for c in chosen] == [20, 50, 100, 200]
    assert chosen[0] < chosen[1] < chosen[2] < chosen[3] == set(range(200))


def test_a_seed_gives_the_same_patients_and_another_seed_others():
    cases = cohort()
    one, two = label_fraction(cases, 0.1, seed=1), label_fraction(cases, 0.1, seed=2)
    np.testing.assert_array_equal(one, label_fraction(cases, 0.1, seed=1))
    assert len(set(one) & set(two)) < 15
    assert set(split(cases, 0.2, 1).validation) != set(split(cases, 0.2, 2).validation)


@pytest.mark.parametrize("seed", range(4))
def test_fractions_and_validation_look_like_the_whole(seed):
    cases = cohort(seed=seed)
    shares = np.nanmean(truth(cases, range(200)), 0)
    for chosen in (label_fraction(cases, 0.25, seed), split(cases, 0.25, seed).validation):
        assert np.abs(np.nanmean(truth(cases, chosen), 0) - shares).max() < 0.06
        for center in "ABC":
            whole = np.mean([c.center == center for c in cases])
            assert np.mean([cases[i].center == center for i in chosen]) == pytest.approx(whole, abs=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_a_rare_label_keeps_a_positive_in_a_tenth(seed):
    cases = [case(f"s{i:03d}", f"p{i:03d}", labels=(float(i % 3 == 0), float(i == 77))) for i in range(100)]
    chosen = label_fraction(cases, 0.1, seed)
    assert 77 in chosen
    assert 2 <= (truth(cases, chosen)[:, 0] == 1).sum() <= 5


@pytest.mark.parametrize("seed", range(4))
def test_of_two_positive_patients_each_side_gets_one_and_an_only_one_trains(seed):
    cases = [case(f"s{i:02d}", f"p{i:02d}", labels=(float(i in (3, 30)), float(i == 17))) for i in range(40)]
    parts = split(cases, 0.2, seed)
    assert len({3, 30} & set(parts.train)) == 1
    assert 17 in parts.train


def test_held_out_centers_are_in_neither_and_take_their_patients_along():
    cases = [*cohort(60), case("s998", "mover", "C", (0.0,) * 4), case("s999", "mover", "A", (1.0,) * 4)]
    parts = split(cases, 0.3, 0, ["C"])
    away = {i for i, c in enumerate(cases) if c.center == "C" or c.patient_id == "mover"}
    assert set(parts.held_out) == away
    assert {60, 61} <= away
    assert not away & {*parts.train, *parts.validation}
    assert len(parts.train) + len(parts.validation) + len(away) == len(cases)


def test_the_same_images_under_two_names_are_one_patient():
    cases = [case(f"s{i}", f"p{i}", images={f"hash{i}", "shared" if i in (1, 4) else f"own{i}"}) for i in range(6)]
    cases.append(case("s6", "p4"))  # a further study of a merged patient comes along
    for seed in range(8):
        said = []
        parts = split(cases, 0.4, seed, say=said.append)
        assert said == ["patients who share an image are taken as one: p1 = p4"]
        assert {1, 4, 6} <= set(parts.train) or {1, 4, 6} <= set(parts.validation)
        chosen = set(label_fraction(cases, 0.5, seed))
        assert len({1, 4, 6} & chosen) in (0, 3)


def test_folds_see_the_same_persons_as_the_split():
    one, two, three = case("s1", "p1", images=["x"]), case("s2", "p2", images=["x"]), case("s3", "p1 ")
    blank = [case("s4", " "), case("s5", " ")]
    assert person_index([*blank, one, two, three]).tolist() == [1, 2, 0, 0, 0]


def test_studies_without_a_patient_stand_alone():
    said = []
    parts = split([case("a", ""), case("b", " "), case("c", "p")], 0.34, 0, say=said.append)
    assert len(parts.train) == 2
    assert said == ["2 studies name no patient; each counts as a patient of its own"]


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        (case("a", "p"), case("b", "p"), "patient 'p' is in training (study 'a') and in validation (study 'b')"),
        (case("a", "p"), case("b", " p "), "patient 'p' is in training (study 'a') and in validation (study 'b')"),
        (case("a", "p"), case("a", "q"), "study 'a' is in training and in validation"),
        (
            case("a", "p", images=["x", "y"]), case("b", "q", images=["y"]),
            "study 'a' of patient 'p' in training and study 'b' of patient 'q' in validation hold the same image",
        ),
    ],
)  # fmt: skip
def test_leakage_is_refused_by_name(train, validation, message):
    clean, other = case("c", "r", images=["z"]), case("d", "", images=["w"])
    with pytest.raises(UsageError) as caught:
        refuse_leakage([clean, train], [other, validation])
    assert str(caught.value) == message
    assert caught.value.hint


def test_leaks_are_counted_and_clean_sides_pass():
    refuse_leakage([case("a", ""), case("b", "p")], [case("c", ""), case("d", "q")])
    with pytest.raises(UsageError, match=r"patient 'p'.*\(and 1 more\)"):
        refuse_leakage([case("a", "p"), case("b", "q")], [case("c", "p"), case("d", "q")])


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_a_share_that_leaves_a_side_empty_is_refused(share):
    with pytest.raises(UsageError, match="is not between 0 and 1"):
        split(cohort(10), share, 0)
    if share != 1:
        with pytest.raises(UsageError, match="is not above 0 and at most 1"):
            label_fraction(cohort(10), share, 0)


def test_too_few_patients_and_unknown_centers_are_refused():
    with pytest.raises(UsageError, match="1 patient cannot be parted"):
        split([case("a", "p"), case("b", "p")], 0.5, 0)
    with pytest.raises(UsageError, match="0 patients cannot be parted"):
        split([case("a", "p"), case("b", "q")], 0.5, 0, ["A"])
    with pytest.raises(UsageError, match="no study is of center 'Z'") as caught:
        split(cohort(10), 0.5, 0, ["Z", "A"])
    assert "A, B, C" in caught.value.hint
    with pytest.raises(UsageError, match="no study has a label"):
        label_fraction([], 0.5, 0)
