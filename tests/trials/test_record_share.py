"""A record weighs in an answer what it is worth on studies that the model has not seen."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from orthodx.trials.record_share import FEWEST_RECORDS, reweighed

LABELS = ("ACL", "PCL", "MM")


def reader(share=0.5):
    alpha = torch.full((3,), 1 - share)
    return SimpleNamespace(
        labels=LABELS,
        diagnoser=SimpleNamespace(record=SimpleNamespace(alpha=alpha)),
        info=SimpleNamespace(temperatures={"PCL": 2.0}),
    )


def cohort(n, heard=1.0):
    """Answers whose image tells of every label, and whose record tells of ACL, and of MM the contrary."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (n, 3)).astype(float)
    signs = 2 * truth - 1
    image = 1.5 * signs + rng.normal(0, 1.5, (n, 3))
    record = np.array([3, 0, -2]) * signs + rng.normal(0, 1, (n, 3))
    known = rng.random(n) < heard
    return truth, [
        SimpleNamespace(image_logit=one, record_logit=two if there else None)
        for one, two, there in zip(image, record, known, strict=True)
    ]


def test_a_record_that_tells_weighs_and_one_that_misleads_does_not():
    truth, answers = cohort(200)
    found = reweighed(reader(), answers, truth, ("ACL", "MM"))
    assert found.shares["ACL"] > 0.5
    assert found.shares["MM"] == pytest.approx(0.01)
    assert (found.shares["PCL"], found.temperatures["PCL"]) == (0.5, 2.0)  # not asked for
    image = np.stack([one.image_logit for one in answers])
    for i in (0, 2):
        assert roc_auc_score(truth[:, i], found.probability[:, i]) > roc_auc_score(truth[:, i], image[:, i]) - 0.02


def test_where_there_is_no_record_the_image_alone_speaks():
    truth, answers = cohort(200, heard=0.6)
    found = reweighed(reader(), answers, truth, LABELS)
    silent = [i for i, one in enumerate(answers) if one.record_logit is None]
    image = np.stack([answers[i].image_logit for i in silent])
    heat = np.array(list(found.temperatures.values()))
    np.testing.assert_allclose(found.probability[silent], 1 / (1 + np.exp(-image / heat)))


def test_too_few_records_change_nothing():
    truth, answers = cohort(FEWEST_RECORDS - 1)
    assert reweighed(reader(), answers, truth, LABELS) is None
