"""`orthodx models calibrate`: the copy knows what is familiar, rates its masks and has new thresholds."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from orthodx.bundles.bundle import open_bundle, save_bundle
from orthodx.cli.app import app
from orthodx.inference.diagnose import diagnose
from orthodx.inference.segment import segment
from orthodx.networks.heads.skip_segment import SkipSegmentHead
from orthodx.networks.weights import load_file
from orthodx.studies.labels import read_records
from orthodx.studies.nifti import write_image
from orthodx.studies.tables import write_table
from orthodx.training.diagnosis.calibration import fit_thresholds
from orthodx.trials import record_share
from orthodx.trials.spoiling import spoiled

AFFINE = np.array([[0, 0, -3.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])  # sagittal
pytestmark = pytest.mark.usefixtures("one_thread")


def bright_is_femur(self, features, image):
    """Logits (1, 12, D, H, W): the brighter, the surer a femur."""
    p = torch.full((1, 12, *image.shape[2:]), 1e-4)
    p[:, 1] = (0.5 + image[:, 0] / 2).clamp(0.001, 0.999)
    p[:, 0] = 1 - p[:, 1]
    return p.log()


def series_of(number, *, strange=False):
    """An image (32, 32, 6) with a bright block on grey noise, and its truth; a strange one is stripes."""
    rng = np.random.default_rng(number)
    image, truth = rng.normal(300, 40, (32, 32, 6)), np.zeros((32, 32, 6), np.uint8)
    if strange:
        image[::4] = 2000
        return image.clip(0), truth
    low = rng.integers(4, 10)
    image[low : low + 16, 8:26, 1:5] += 700
    truth[low : low + 16, 8:26, 1:5] = 1
    return image.clip(0), truth


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """14 patients with an image, a truth and a label each."""
    folder = tmp_path_factory.mktemp("known") / "cohort"
    (folder / "truth").mkdir(parents=True)
    rows = []
    for number in range(14):
        image, truth = series_of(number)
        name = f"k{number:02d}"
        (folder / name).mkdir()
        write_image(folder / name / f"{name}.nii.gz", image.astype(np.int16), AFFINE)
        write_image(folder / "truth" / f"{name}.nii.gz", truth, AFFINE)
        rows.append({"study_id": name, "ACL": int(number % 2), "PCL": "", "MM": int(number == 3)})
    write_table(folder / "labels.csv", rows, ("study_id", "ACL", "PCL", "MM"))
    image, _ = series_of(99, strange=True)
    write_image(folder.parent / "stripes.nii.gz", image.astype(np.int16), AFFINE)
    return folder


@pytest.fixture(scope="module")
def both(bundle, diagnosis, tmp_path_factory):
    """An untrained bundle that segments and diagnoses, with encoders of its own for either."""
    told = diagnosis.info.diagnosis
    own = {view: dataclasses.replace(part, file=f"own_{part.file}") for view, part in told.encoders.items()}
    weights = {file: load_file(bundle.path / file) for file in bundle.info.sha256}
    weights |= {own[view].file: load_file(diagnosis.path / part.file) for view, part in told.encoders.items()}
    weights[told.file] = load_file(diagnosis.path / told.file)
    info = dataclasses.replace(bundle.info, diagnosis=dataclasses.replace(told, encoders=own))
    return save_bundle(tmp_path_factory.mktemp("both") / "tiny", info, weights)


def calibrate(*words):
    return CliRunner().invoke(app, ["models", "calibrate", *map(str, words)])


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def rated(known, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(SkipSegmentHead, "forward", bright_is_femur)
    done = calibrate(bundle.path, known, "--out", tmp_path / "new", "--device", "cpu", "--seed", "3")
    assert done.exit_code == 0, done.output
    assert "segment: 14 series are familiar" in done.output
    return open_bundle(tmp_path / "new")


def test_masks_are_rated_and_strange_series_are_named(rated, known, tmp_path):
    assert set(rated.info.quality) == {"femur"}
    assert rated.info.training[-1]["stage"] == "calibrate"
    told = rows(rated.path / "calibration.csv")
    assert {row["image"] for row in told} == {"as it is", "spoiled"}
    assert len({row["series_id"] for row in told}) == 14
    cases = segment([known / "k00", known.parent / "stripes.nii.gz"], tmp_path / "m", model=rated.path, preview=False)
    status = {row["series_id"]: row for row in rows(tmp_path / "m/status.csv")}
    assert float(status["k00"]["strangeness"]) < 1 < float(status["stripes"]["strangeness"])
    assert "unlike what tiny has learned from" in status["stripes"]["reason"]
    assert "unlike" not in status["k00"]["reason"]
    quality = {case.series_id: case.volumes[0]["quality"] for case in cases}
    true = np.mean([float(row["dice"]) for row in told if row["image"] == "as it is" and row["structure"] == "femur"])
    assert quality["k00"] == pytest.approx(true, abs=0.1)


def test_weights_stay_as_they_were(rated, bundle):
    same = {file: digest for file, digest in bundle.info.sha256.items() if rated.info.sha256[file] == digest}
    assert same == bundle.info.sha256
    assert set(rated.info.sha256) - set(same) == {"familiarity_segment.safetensors"}


def test_thresholds_are_fitted_and_a_strange_study_gets_no_answer(known, diagnosis, tmp_path):
    same = (diagnosis.path, known, "--specificity", "0.5", "--debug")
    done = calibrate(*same, "--out", tmp_path / "kept", "--labels", known / "labels.csv")
    assert "ACL: threshold 0.99, not fitted: no threshold" in done.output  # of an untrained model
    turned = [row | {"ACL": 1 - int(row["ACL"])} for row in rows(known / "labels.csv")]
    write_table(tmp_path / "turned.csv", turned, list(turned[0]))
    done = calibrate(*same, "--out", tmp_path / "new", "--labels", tmp_path / "turned.csv")
    assert done.exit_code == 0, done.output
    assert "thresholds of 1 labels" in done.output.replace("1 label ", "1 labels ")
    new, old = open_bundle(tmp_path / "new").info, diagnosis.info
    assert new.diagnosis.thresholds["ACL"] != old.diagnosis.thresholds["ACL"]
    assert new.diagnosis.thresholds | {"ACL": 0} == old.diagnosis.thresholds | {"ACL": 0}
    assert new.training[-1]["positives"] | {"ACL": 7, "MM": 1, "PCL": 0} == new.training[-1]["positives"]
    out = tmp_path / "p.csv"
    why = tmp_path / "why"
    studies = [known / "k00", known.parent / "stripes.nii.gz"]
    cases = diagnose(studies, out, model=tmp_path / "new", explain=why, device="cpu")
    answers = {(row["study_id"], row["label"]): row for row in rows(tmp_path / "p.answers.csv")}
    strange = next(case.study_id for case in cases if "stripes" in case.source)
    usual = next(case.study_id for case in cases if "stripes" not in case.source)
    assert answers[strange, "ACL"]["positive"] == ""
    assert answers[usual, "ACL"]["positive"] in ("0", "1")
    status = {row["study_id"]: row for row in rows(tmp_path / "p.status.csv")}
    assert "unlike what tiny has learned from" in status[strange]["reason"]
    told = json.loads((why / f"{strange}.json").read_text())
    assert told["strangeness"] > 1
    assert told["labels"]["PCL"]["positive"] is None
    assert {row["positive"] for row in rows(why / "explanation.csv") if row["study_id"] == strange} == {""}
    shown = CliRunner().invoke(
        app, ["diagnose", str(studies[1]), "--out", str(tmp_path / "q.csv"), "--model", str(tmp_path / "new")]
    )
    case = next(case for case in cases if case.study_id == strange)
    assert case.positive == []
    assert {"PCL", "LCL"} <= set(case.above)
    assert f"no answer ({', '.join(case.above)} would be positive)" in shown.output


def test_one_task_leaves_the_other_as_it_is(both, known, tmp_path, monkeypatch):
    monkeypatch.setattr(SkipSegmentHead, "forward", bright_is_femur)
    turned = [row | {"ACL": 1 - int(row["ACL"])} for row in rows(known / "labels.csv")]
    write_table(tmp_path / "turned.csv", turned, list(turned[0]))
    line = (known, "--labels", tmp_path / "turned.csv", "--specificity", "0.5", "--device", "cpu")
    done = calibrate(both.path, *line, "--task", "segment", "--out", tmp_path / "masks")
    assert done.exit_code == 0, done.output
    masks = open_bundle(tmp_path / "masks").info
    assert (set(masks.familiarity), masks.diagnosis) == ({"segment"}, both.info.diagnosis)
    done = calibrate(tmp_path / "masks", *line, "--task", "diagnose", "--out", tmp_path / "all")
    assert done.exit_code == 0, done.output
    all_of_it = open_bundle(tmp_path / "all").info
    assert set(all_of_it.familiarity) == {"segment", "diagnose"}
    assert all_of_it.quality == masks.quality
    assert all_of_it.quality
    file = masks.familiarity["segment"].file
    assert all_of_it.sha256[file] == masks.sha256[file]
    assert all_of_it.diagnosis.thresholds != masks.diagnosis.thresholds


def test_health_records_are_read(known, diagnosis, tmp_path):
    write_table(
        tmp_path / "ehr.csv", [{"study_id": f"k{n:02d}", "age": 20 + n} for n in range(14)], ("study_id", "age")
    )
    done = calibrate(diagnosis.path, known, "--out", tmp_path / "new", "--ehr", tmp_path / "ehr.csv")
    assert done.exit_code == 0, done.output


def test_a_record_gets_the_share_that_it_is_worth(known, diagnosis, tmp_path, monkeypatch):
    ages = [{"study_id": f"k{n:02d}", "age": 20 + 5 * n} for n in range(14)]
    write_table(tmp_path / "ehr.csv", ages, ("study_id", "age"))
    records = read_records(tmp_path / "ehr.csv")
    model, codes = diagnosis.diagnoser(), list(diagnosis.info.diagnosis.diagnoser.labels)
    with torch.inference_mode():
        told = model.record_logits([records[row["study_id"]] for row in ages])
        before = (1 - model.record.alpha).tolist()
    truth = (told > told.median(0).values).int().tolist()
    acl = codes.index("ACL")
    answers = [{**row, "ACL": own[acl]} for row, own in zip(ages, truth, strict=True)]
    write_table(tmp_path / "labels.csv", answers, ("study_id", "ACL"))
    line = (diagnosis.path, known, "--ehr", tmp_path / "ehr.csv", "--labels", tmp_path / "labels.csv")
    done = calibrate(*line, "--out", tmp_path / "few")
    assert done.exit_code == 0, done.output
    assert (
        open_bundle(tmp_path / "few").info.sha256["diagnose.safetensors"]
        == (diagnosis.info.sha256["diagnose.safetensors"])
    )
    monkeypatch.setattr(record_share, "FEWEST_RECORDS", 14)
    done = calibrate(*line, "--out", tmp_path / "new")
    assert done.exit_code == 0, done.output
    assert "the record's share: ACL " in done.output
    new = open_bundle(tmp_path / "new")
    shares = (1 - new.diagnoser().record.alpha).tolist()
    assert shares[acl] > 0.9  # it tells
    assert shares[:acl] + shares[acl + 1 :] == pytest.approx(before[:acl] + before[acl + 1 :])  # of no known answer
    diagnose([known], tmp_path / "p.csv", model=new.path, ehr=tmp_path / "ehr.csv", device="cpu")
    found = {row["study_id"]: float(row["ACL"]) for row in rows(tmp_path / "p.csv")}
    assert all((found[row["study_id"]] >= new.info.diagnosis.thresholds["ACL"]) == row["ACL"] for row in answers)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--specificity", "1"), "a specificity of 1 is impossible"),
        (("--out", "."), "is not empty"),
        (("--task", "diagnose"), "tiny cannot diagnose"),
    ],
)
def test_what_cannot_be_is_refused(known, bundle, tmp_path, words, said):
    done = calibrate(bundle.path, known, *(("--out", tmp_path / "new") if "--out" not in words else ()), *words)
    assert done.exit_code == 2
    assert said in done.output.replace("\n", " ")


def test_an_image_that_cannot_be_used_is_named(known, diagnosis, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more/broken.nii.gz").write_bytes(b"no image")
    done = calibrate(diagnosis.path, known, tmp_path / "more", tmp_path / "nowhere", "--out", tmp_path / "new")
    assert done.exit_code == 0, done.output
    assert "broken left out: " in done.output
    assert "nowhere left out: no such file or folder" in done.output


def test_too_few_calibrate_nothing(known, bundle, tmp_path):
    one = calibrate(bundle.path, known / "k00", "-o", tmp_path / "a")
    assert (one.exit_code, "one patient calibrates nothing" in one.output) == (2, True)
    two = calibrate(bundle.path, known / "k00", known / "k01", "--out", tmp_path / "a")
    assert (two.exit_code, "2 series calibrate nothing" in two.output) == (2, True)


def test_a_least_specificity_moves_a_threshold_up():
    p = np.linspace(0.05, 0.95, 19)[:, None]
    truth = (p > 0.32).astype(float)
    truth[[9, 11, 13]] = 0
    free, strict = (fit_thresholds(p, truth, ["ACL"], specificity=least)["ACL"] for least in (0.0, 0.95))
    assert free == pytest.approx(0.325)
    negatives = p[truth == 0]
    assert (negatives < strict).mean() >= 0.95 > (negatives < free).mean()


def test_spoiled_images_are_images():
    data = np.asfortranarray(np.random.default_rng(0).gamma(2, 100, (24, 24, 6)))
    ways = [spoiled(data, np.random.default_rng(seed)) for seed in range(12)]
    assert all(one.shape == data.shape and np.isfinite(one).all() and one.min() >= 0 for one in ways)
    assert len({round(float(one.std()), 2) for one in ways}) > 8
    assert np.array_equal(ways[3], spoiled(data, np.random.default_rng(3)))


def test_help_has_an_example():
    long = CliRunner().invoke(app, ["models", "calibrate", "--help"])
    short = CliRunner().invoke(app, ["models", "calibrate", "-h"])
    assert long.exit_code == 0
    assert long.output == short.output
    assert "orthodx models calibrate my-model/" in long.output
