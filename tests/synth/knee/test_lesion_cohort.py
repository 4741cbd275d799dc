"""Cohorts with lesions on disk, and the promise that cohorts without them are what they always were."""

import json
from dataclasses import replace
from functools import partial

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.errors import UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.studies.discover import find_series
from orthodx.studies.manifest import read_manifest
from orthodx.studies.records import RECORD_COLUMNS
from orthodx.studies.tables import read_table
from orthodx.synth import grammar
from orthodx.synth.knee import SYNTHETIC
from orthodx.synth.knee.injuries import PAINTERS
from orthodx.synth.knee.lesions import LEAST_ML, VALUES
from orthodx.synth.knee.procedural import build_knee, random_knee
from orthodx.synth.knee.tissues import TISSUES, side_of
from orthodx.synth.lesions import from_records
from orthodx.synth.signals import mr_like_signal, random_signal
from orthodx.synth.source import SyntheticSource
from orthodx.synth.study_writer import write_cohort

COARSE = partial(random_knee, spacing_mm=1.6)


def load(path):
    return np.asarray(nib.load(path).dataobj)


@pytest.fixture(scope="module")
def injured(tmp_path_factory):
    out = tmp_path_factory.mktemp("injured")
    write_cohort(
        out, studies=3, seed=3, centers=("Outpost",), anatomy=COARSE, lesions=True, prevalence=1.0,
        formats=("nifti", "dicom"),
    )  # fmt: skip
    return out


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    out = tmp_path_factory.mktemp("plain")
    write_cohort(out, studies=1, seed=5, centers=("Outpost",), anatomy=COARSE)
    return out


def test_labels_and_records_have_a_row_a_study(injured):
    labels, records = read_table(injured / "labels.csv"), read_table(injured / "ehr.csv")
    assert list(labels.columns) == ["study_id", *KNEE.codes]
    assert list(records.columns) == ["study_id", *RECORD_COLUMNS]
    studies = sorted({row["study_id"] for row in read_manifest(injured / "manifest.csv")[0]})
    assert sorted(labels["study_id"]) == sorted(records["study_id"]) == studies
    assert set(labels[list(KNEE.codes)].to_numpy().ravel()) == {"0", "1"}


def test_each_series_has_its_lesion_mask_on_its_own_grid(injured):
    assert json.loads((injured / "lesions" / "values.json").read_text()) == VALUES
    labels = read_table(injured / "labels.csv").set_index("study_id")
    seen: dict[str, set[int]] = {}
    for row in read_manifest(injured / "manifest.csv")[0]:
        image, mask = nib.load(injured / row["path"]), nib.load(injured / "lesions" / f"{row['series_id']}.nii.gz")
        assert mask.shape == image.shape
        np.testing.assert_array_equal(mask.affine, image.affine)
        seen.setdefault(row["study_id"], set()).update(np.unique(np.asarray(mask.dataobj)).tolist())
    for study, values in seen.items():
        for code in KNEE.codes:
            if labels.loc[study, code] == "1":
                assert VALUES[code] in values, (study, code)


def test_the_dicom_of_an_injured_cohort_is_found(injured):
    found = find_series([injured / "dicom"])
    assert not found.refused
    assert len(found.series) == 9


def test_a_study_replays_from_its_record(injured):
    for path in injured.glob("*/study.json"):
        record = json.loads(path.read_text())
        knee = build_knee(record["anatomy"], 1.6, record["side"])
        _, mask = SYNTHETIC.paint(knee, from_records(record["lesions"], PAINTERS))
        assert SYNTHETIC.labels_of(mask, 1.6) == {code: record["labels"][code] for code in KNEE.codes}
        assert record["ehr"]["study_id"] == record["labels"]["study_id"] == path.parent.name


def test_lesions_leave_the_healthy_part_of_the_same_knee_alone(plain, tmp_path):
    write_cohort(tmp_path, studies=1, seed=5, centers=("Outpost",), anatomy=COARSE, lesions=True)
    healthy, hurt = (json.loads(next(p.glob("*/study.json")).read_text()) for p in (plain, tmp_path))
    assert {k: hurt[k] for k in healthy} == healthy
    name = next(plain.glob("truth/*sagittal*")).name
    differ = load(plain / "truth" / name) != load(tmp_path / "truth" / name)
    assert differ.mean() < 0.01


def test_resume_with_lesions_is_refused_where_there_were_none_and_keeps_what_is_whole(plain, tmp_path):
    write_cohort(tmp_path / "healthy", studies=1, seed=5, centers=("Outpost",), anatomy=COARSE)
    with pytest.raises(UsageError, match="other options"):
        write_cohort(
            tmp_path / "healthy", studies=1, seed=5, centers=("Outpost",), anatomy=COARSE, lesions=True, resume=True
        )
    tmp_path = tmp_path / "hurt"
    write_cohort(tmp_path, studies=1, seed=5, centers=("Outpost",), anatomy=COARSE, lesions=True)
    assert len(list((tmp_path / "lesions").glob("*.nii.gz"))) == 3
    before = (tmp_path / "labels.csv").read_bytes()
    stamp = next(tmp_path.glob("*/study.json")).stat().st_mtime_ns
    write_cohort(tmp_path, studies=1, seed=5, centers=("Outpost",), anatomy=COARSE, lesions=True, resume=True)
    assert (tmp_path / "labels.csv").read_bytes() == before
    assert next(tmp_path.glob("*/study.json")).stat().st_mtime_ns == stamp


def test_wrong_prevalences_are_named(tmp_path):
    for wish in ({"prevalence": 0.5}, {"prevalence": 1.5, "lesions": True}):
        with pytest.raises(UsageError, match="prevalence"):
            write_cohort(tmp_path, **wish)


def test_the_command_writes_lesions_and_refuses_what_makes_no_sense(tmp_path, monkeypatch):
    monkeypatch.setitem(grammar.REGISTERED, "knee", replace(SYNTHETIC, random_anatomy=COARSE))
    run = CliRunner().invoke
    asked = ["--studies", "1", "--center", "Outpost", "--quiet"]
    done = run(app, ["synth", str(tmp_path / "c"), "--lesions", "--prevalence", "0", *asked])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "c" / "ehr.csv").exists()
    for wrong in (["--lesions", "--map", "x"], ["--prevalence", "0.5"]):
        done = run(app, ["synth", str(tmp_path / "d"), *wrong, *asked])
        assert done.exit_code == 2
        assert not (tmp_path / "d").exists()


def test_the_side_of_a_bank_knee_is_seen_from_its_fibula(knee):
    assert side_of(knee.tissues) == knee.side
    assert side_of(knee.tissues[::-1]) != knee.side


def test_the_least_volumes_cover_every_abnormality():
    assert set(LEAST_ML) == set(KNEE.codes)


# What the release before lesions made. The generator's state is exact; grey values may differ by rounding on
# another processor, and by hundreds when a single number more or less is drawn.
KNEE_STATE = 304168872071841546060659667818795064906
KNEE_COUNTS = {
    "femur": 43157, "femoral_cartilage": 4463, "medial_meniscus": 999, "acl": 577, "pcl": 845, "mcl": 896, "lcl": 141,
    "muscle": 226668, "fat": 169858, "fluid": 3306, "capsule": 10676,
}  # fmt: skip
SAGITTAL_ROW = [250, 430, 416, 366, 322, 380, 427, 643, 111, 187]
SAMPLE_ROW = [-0.01345, 0.27108, -0.88015, -0.97176, -0.95521]
SIGNALS = [
    (random_signal, 31432134453043005769600034048953182515, {"femur": 0.274615, "acl": 0.366229, "vessel": 0.483598}),
    (mr_like_signal, 123722264987745696387552476892888651477, {"femur": 0.118435, "acl": 0.297293, "fluid": 0.939802}),
]


def test_without_lesions_an_anatomy_is_what_it_always_was():
    rng = np.random.default_rng(11)
    tissues = random_knee(rng, spacing_mm=1.6).tissues
    assert rng.bit_generator.state["state"]["state"] == KNEE_STATE
    for name, count in KNEE_COUNTS.items():
        assert abs(int((tissues == TISSUES[name]).sum()) - count) <= 3, name
    assert int(tissues.max()) < TISSUES["oedema"]


def test_without_lesions_a_cohort_is_what_it_always_was(plain):
    image = load(next(plain.glob("*/*sagittal.nii.gz"))).astype(int)
    assert np.abs(image[10::20, 10::20, image.shape[2] // 2].ravel()[64:74] - SAGITTAL_ROW).max() <= 3
    assert sorted(p.name for p in plain.iterdir() if not p.name.startswith(".")) == [
        "knee-0005-0000",
        "manifest.csv",
        "truth",
    ]
    assert set(json.loads(next(plain.glob("*/study.json")).read_text())) == {
        "rows",
        "anatomy",
        "source",
        "side",
        "seed",
    }


@pytest.mark.parametrize(("draw", "state", "levels"), SIGNALS)
def test_without_lesions_random_contrasts_are_what_they_always_were(draw, state, levels):
    rng = np.random.default_rng(2)
    signal = draw(rng, TISSUES)
    assert rng.bit_generator.state["state"]["state"] == state
    for name, level in levels.items():
        assert signal[TISSUES[name]] == pytest.approx(level, abs=1e-5)


def test_without_lesions_training_samples_are_what_they_always_were(knee):
    source = SyntheticSource([(knee.tissues, knee.affine)], GridSpec(), crop=(6, 48, 48), seed=4)
    image, truth = source[0, View.AXIAL]
    np.testing.assert_allclose(image[0, 3, 8, 8::8], SAMPLE_ROW, atol=0.005)
    assert abs(int((truth == 2).sum()) - 202) <= 3
