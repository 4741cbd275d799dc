"""Groups against the rest: small ones withheld, planted drops found, chance findings rare."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from orthodx.evaluation.diagnosis import Threshold, score_diagnoses
from orthodx.evaluation.diagnosis_groups import score_groups
from orthodx.evaluation.ranking import areas_differ, auroc, auroc_interval
from orthodx.evaluation.resampling import patient_mean
from orthodx.evaluation.rows import MACRO, MICRO, REST, Row, find, with_holm
from orthodx.evaluation.tables import Diagnoses
from orthodx.requests.evaluation import Settings

QUICK = Settings(resamples=100)


def cohort(seed, n=600, labels=2, drop=0.0):
    rng = np.random.default_rng([9, seed])
    center = rng.choice(list("ABC"), n).astype(object)
    positive = rng.random((n, labels)) < 0.35
    area = np.where(center == "A", 0.9 - drop, 0.9)[:, None]
    scores = 1 / (1 + np.exp(-rng.normal(positive * np.sqrt(2) * stats.norm.ppf(area))))
    ids = np.array([f"s{i}" for i in range(n)])
    return Diagnoses(ids, ids, tuple(f"L{i}" for i in range(labels)), scores, positive.astype(float)), center


def grouped(d, group, settings=QUICK):
    at = {x: Threshold(0.5, "") for x in d.labels}
    return with_holm(score_groups(d, at, {"center": group}, settings))


def test_a_planted_drop_is_found_and_chance_is_not():
    found = [any(r.p_holm < 0.05 and r.value < 0 for r in find(grouped(*cohort(i, drop=0.1)), group="A"))
             for i in range(4)]  # fmt: skip
    alarms = [any(r.p_holm < 0.05 for r in grouped(*cohort(i, labels=1))) for i in range(60)]
    assert all(found)
    assert sum(alarms) <= 6  # three expected at most; the full simulation is in examples/benchmarks


def test_small_cells_get_their_counts_instead_of_a_number():
    d, center = cohort(0, n=100)
    center[:] = "B"
    center[np.flatnonzero(d.truth[:, 0] == 1)[:9]] = "A"
    (row,) = find(grouped(d, center), group="A", target="L0", against="", metric="auroc")
    assert np.isnan(row.value)
    assert row.note == "n too small: 9 patients positive, 0 negative"
    assert find(grouped(d, center), group="A", target="L0", against=REST) == []


def test_one_class_has_a_note_and_the_other_metrics_go_on():
    d, _ = cohort(0, n=50)
    d.truth[:, 0] = 1
    rows = find(score_diagnoses(d, {x: Threshold(0.5, "") for x in d.labels}, QUICK), target="L0")
    assert {r.note for r in rows if r.metric in ("auroc", "average_precision")} == {"one class only"}
    assert not np.isnan(next(r.value for r in rows if r.metric == "sensitivity"))


def test_averages_are_the_mean_of_labels_and_the_pool():
    d, _ = cohort(1)
    rows = find(score_diagnoses(d, {x: Threshold(0.5, "") for x in d.labels}, QUICK), metric="auroc")
    area = {r.target: r.value for r in rows}
    assert area[MACRO] == pytest.approx((area["L0"] + area["L1"]) / 2)
    who = np.arange(1200)
    assert area[MICRO] == pytest.approx(auroc(d.probability.ravel(), d.truth.ravel() == 1, who, 1200).value)


def test_holm_is_statsmodels_over_all_tests_of_the_table():
    rows = [Row(task="t", target="x", metric="auroc", p=p) for p in (0.01, float("nan"), 0.02, 0.3)]
    wanted = multipletests([0.01, 0.02, 0.3], method="holm")[1]
    assert [r.p_holm for r in with_holm(rows) if r.p == r.p] == pytest.approx(wanted)
    assert np.isnan(with_holm(rows)[1].p_holm)


def test_the_interval_of_a_difference_agrees_with_its_test_and_shrinks_with_shared_patients():
    d, center = cohort(3, drop=0.1)
    who = np.arange(600)
    s, y = d.probability[:, 0], d.truth[:, 0] == 1
    part = [auroc(s[m], y[m], who[m], 600) for m in (center == "A", center != "A")]
    low, high, p = areas_differ(*part)
    assert low < part[0].value - part[1].value < high < 0
    assert p < 0.05
    low, high, _ = areas_differ(part[0], auroc(s, y, who, 600))
    alone = auroc_interval(part[0])
    assert high - low < alone[1] - alone[0]


def test_an_area_of_one_is_not_tested():
    perfect = auroc(np.arange(20.0), np.arange(20) >= 10, np.arange(20), 20)
    assert np.isnan(areas_differ(perfect, perfect)).all()


def test_intervals_cover_as_often_as_they_say():
    area, inside, means = 0.85, 0, 0
    for seed in range(200):
        rng = np.random.default_rng([4, seed])
        positive = np.arange(120) < 40
        scores = rng.normal(positive * np.sqrt(2) * stats.norm.ppf(area))
        low, high = auroc_interval(auroc(scores, positive, np.arange(120), 120))
        inside += low <= area <= high
        e = patient_mean(rng.beta(18, 4, 60).tolist(), [str(i) for i in range(60)], resamples=400, seed=seed)
        means += e.low <= 18 / 22 <= e.high
    assert 0.91 <= inside / 200 <= 0.99
    assert 0.90 <= means / 200 <= 0.99
