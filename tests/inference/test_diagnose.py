"""Diagnosis end to end with an untrained network: what counts, what does not, what is written, what fails alone."""

import csv
import json
import os
import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from orthodx.bundles.bundle import Bundle, save_bundle
from orthodx.bundles.model_json import write_info
from orthodx.errors import BundleError, NoInputError, StudyError, UsageError
from orthodx.evaluation.evaluate import evaluate
from orthodx.evaluation.notices import Notices
from orthodx.evaluation.run_facts import read_facts
from orthodx.inference import heat_picture
from orthodx.inference.answers import answer_rows
from orthodx.inference.diagnose import diagnose
from orthodx.inference.study_reader import Answer, StudyReader
from orthodx.joints import KNEE, View
from orthodx.networks.diagnosis.combinations import MOST_COMBINATIONS, combinations
from orthodx.studies.nifti import read_volume
from orthodx.studies.records import Record
from orthodx.studies.tables import write_table

LABELS = tuple(KNEE.codes)
VIEWS = [str(v) for v in View]
CPU = torch.device("cpu")


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def study(images, tmp_path):
    """Makes a folder `name` that holds copies of some images."""

    def make(name, *series):
        folder = tmp_path / "in" / name
        folder.mkdir(parents=True)
        for one in series:
            shutil.copy(images[one], folder / f"{name}_{one}.nii.gz")
        return folder

    return make


@pytest.fixture
def run(diagnosis, tmp_path, monkeypatch):
    """Diagnoses and returns study_id -> row of the table."""
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))

    def go(*studies, out="out/predictions.csv", model=None, **options):
        if not options.get("resume"):
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
        diagnose(studies, tmp_path / out, model=(model or diagnosis).path, device="cpu", workers=0, **options)
        return {row["study_id"]: row for row in table(tmp_path / out)}

    return go


def chances(row):
    return np.array([float(row[label]) for label in LABELS])


@pytest.fixture(scope="module")
def reader(diagnosis):
    return StudyReader(diagnosis, CPU)


@pytest.fixture(scope="module")
def readings(reader, images):
    return {
        name: reader.read(name, read_volume(path), View(name.split("_")[0]), with_heat=False)
        for name, path in images.items()
    }


def test_a_study_becomes_one_row_that_evaluate_reads(run, study, tmp_path, diagnosis):
    rows = run(study("a", *VIEWS), study("b", "coronal"))
    assert list(rows["a"]) == ["patient_id", "study_id", "views", "model", *LABELS]
    assert (rows["a"]["patient_id"], rows["a"]["views"], rows["a"]["model"]) == ("a", "sagittal+coronal+axial", "tiny")
    assert rows["b"]["views"] == "coronal"
    assert all(abs(chances(r) - 0.5).max() < 0.5 for r in rows.values())
    facts = read_facts(tmp_path / "out/predictions.csv", Notices())
    assert facts.thresholds == diagnosis.info.diagnosis.thresholds
    assert (facts.label_fraction, facts.start) == (0.5, "pretrained")
    assert facts.record["model"]["sha256"] == diagnosis.digest
    assert [i["study_id"] for i in facts.record["inputs"]] == ["a", "a", "a", "b"]
    assert [r["status"] for r in table(tmp_path / "out/predictions.status.csv")] == ["ok", "ok"]


def test_each_answer_has_its_threshold_its_meaning_and_the_view_that_was_missing(run, study, tmp_path, diagnosis):
    rows = run(study("a", *VIEWS), study("b", "coronal"))
    told = {(one["study_id"], one["label"]): one for one in table(tmp_path / "out/predictions.answers.csv")}
    assert list(told) == [(name, label) for name in "ab" for label in LABELS]
    for (name, label), one in told.items():
        assert one["probability"] == rows[name][label]
        assert float(one["threshold"]) == diagnosis.info.diagnosis.thresholds[label]
        assert int(one["positive"]) == (float(rows[name][label]) >= float(one["threshold"]))
        assert one["meaning"] == KNEE.meanings[label]
        assert one["by"] in rows[name]["views"].split("+")
    assert {one["not_seen_in"] for (name, _), one in told.items() if name == "a"} == {""}
    missing = {label: one["not_seen_in"] for (name, label), one in told.items() if name == "b"}
    assert missing == {
        "ACL": "sagittal", "PCL": "sagittal", "PD": "axial", "EFFU": "sagittal or axial",
        **dict.fromkeys(("MM", "LM", "MCL", "LCL"), ""),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("threshold", "record", "positive", "by"),
    [
        (0.0, None, True, "axial"),  # sagittal +0.6, coronal -0.2, axial +0.8
        (0.0, -9.0, False, "health record"),
        (0.0, 9.0, True, "health record"),
        (1.5, None, False, "coronal"),  # -0.15, -0.5, +0.2 from here
        (-4.0, None, True, "sagittal"),  # above a low threshold the view that counts most, though another is surer
    ],
)
def test_what_spoke_most_is_told_by_its_distance_from_the_threshold(threshold, record, positive, by):
    one = np.array([1.0])
    answer = Answer(
        labels=("ACL",), probability=one, threshold=one * (0.5 if positive else 2), threshold_logit=one * threshold,
        image_logit=one, weights=np.array([[0.6, 0.2, 0.2]]), view_logits=np.array([[1.0, -1.0, 4.0]]),
        probability_without_record=one, record_logit=None if record is None else one * record,
        record_share=None if record is None else one * 0.5,
    )  # fmt: skip
    (row,) = answer_rows("s", answer, [View.SAGITTAL], KNEE)
    assert row["by"] == by


@pytest.mark.parametrize("synthetic", [True, False])
def test_a_model_that_never_saw_a_real_lesion_says_so_once_and_in_every_picture(
    run, study, tmp_path, make_diagnosis, monkeypatch, synthetic
):
    model = make_diagnosis(tmp_path / "m")
    info = replace(model.info, diagnosis=replace(model.info.diagnosis, synthetic_only=synthetic))
    write_info(model.path, info)
    drawn, notes = [], []

    def draw(path, panels, title, model, unit):
        path.write_text("")
        drawn.append(model)

    monkeypatch.setattr(heat_picture, "write_heat_picture", draw)
    (tmp_path / "why").mkdir()
    run(study("a", *VIEWS), study("b", *VIEWS), model=model, explain=tmp_path / "why", note=notes.append)
    words = "trained on synthetic lesions only"
    assert sum(words in line for line in notes) == synthetic
    assert len(drawn) >= 2
    assert {words in line for line in drawn} == {synthetic}
    record = json.loads((tmp_path / "out/predictions.run.json").read_text())
    assert record["model"]["synthetic_only"] is synthetic


def test_evaluate_reads_the_probabilities_beside_the_answers(run, study, tmp_path):
    run(study("a", *VIEWS), study("b", "coronal"))
    rows = [{"study_id": name, **dict.fromkeys(LABELS, i)} for i, name in enumerate("ab")]
    write_table(tmp_path / "out/labels.csv", rows, ("study_id", *LABELS))
    done = evaluate(tmp_path / "report", folder=tmp_path / "out", resamples=100)
    assert {row.target for row in done.rows if row.metric == "auroc"} >= set(LABELS)


def test_the_temperature_divides_the_logit(reader, readings):
    answer = reader.answer([readings["axial"]], None)
    np.testing.assert_allclose(answer.probability, 1 / (1 + np.exp(-answer.image_logit / 1.5)), atol=1e-6)


def test_a_missing_view_counts_nothing_whatever_its_vector_holds(reader, readings):
    two = reader.answer([readings["sagittal"], readings["axial"]], None)
    np.testing.assert_allclose(two.weights.sum(1), 1, atol=1e-6)
    assert (two.weights[:, 1] == 0).all()
    assert np.isnan(two.view_logits[:, 1]).all()
    vectors = torch.stack([readings[v].vector for v in VIEWS])[None]
    vectors[:, 1] = 99.0
    masked = reader.diagnoser.image_logits(vectors, torch.tensor([[True, False, True]]))
    np.testing.assert_allclose(two.image_logit, masked[0].detach(), atol=1e-5)
    assert not np.allclose(two.image_logit, reader.answer([readings[v] for v in VIEWS], None).image_logit, atol=1e-4)


def test_several_series_of_a_view_are_the_mean_over_their_combinations(run, study):
    rows = run(
        study("both", "sagittal", "sagittal_2", "axial"), study("one", "sagittal", "axial"),
        study("two", "sagittal_2", "axial"),
    )  # fmt: skip
    assert np.abs(chances(rows["one"]) - chances(rows["two"])).max() > 1e-4
    np.testing.assert_allclose(chances(rows["both"]), (chances(rows["one"]) + chances(rows["two"])) / 2, atol=2e-6)


def test_many_combinations_are_taken_evenly():
    assert combinations([2, 3], 64).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    some = combinations([5, 7, 6], MOST_COMBINATIONS)
    assert len(some) == MOST_COMBINATIONS == len(np.unique(some, axis=0))
    assert all(set(column) == set(range(n)) for column, n in zip(some.T, (5, 7, 6), strict=True))


def test_the_order_of_series_changes_nothing(reader, readings):
    series = list(readings.values())
    first, last = reader.answer(series, None), reader.answer(series[::-1], None)
    np.testing.assert_array_equal(first.probability, last.probability)
    np.testing.assert_array_equal(first.weights, last.weights)


@pytest.mark.parametrize("stored", [[[0, -1], [1, 1], [2, -1]], [[2, 1], [0, -1], [1, 1]]])
def test_the_world_decides_not_the_order_in_which_voxels_are_stored(reader, images, readings, tmp_path, stored):
    nib.save(nib.load(images["coronal"]).as_reoriented(np.array(stored)), tmp_path / "turned.nii.gz")
    other = reader.read("turned", read_volume(tmp_path / "turned.nii.gz"), View.CORONAL, with_heat=False)
    here, there = (reader.answer([r], None).probability for r in (readings["coronal"], other))
    np.testing.assert_allclose(here, there, atol=2e-6)


def test_a_broken_series_is_left_out_and_the_study_goes_on(run, study, tmp_path, images):
    broken = study("a", "sagittal", "coronal")
    (broken / "a_axial.nii.gz").write_bytes(images["axial"].read_bytes()[:2000])
    rows = run(broken, study("b", "sagittal", "coronal"))
    np.testing.assert_array_equal(chances(rows["a"]), chances(rows["b"]))
    status = {r["study_id"]: r for r in table(tmp_path / "out/predictions.status.csv")}
    assert (status["a"]["status"], status["b"]["status"]) == ("warned", "ok")
    assert status["a"]["reason"].startswith("a_axial left out: a_axial.nii.gz: not a whole NIfTI image")
    assert status["a"]["views"] == "sagittal+coronal"


def test_a_study_without_a_readable_series_fails_alone(run, study, tmp_path):
    bad = study("bad")
    (bad / "x.nii.gz").write_text("no image")
    assert list(run(bad, study("good", "axial"))) == ["good"]
    status = {r["study_id"]: r for r in table(tmp_path / "out/predictions.status.csv")}
    assert status["bad"]["status"] == "failed"
    assert "x left out" in status["bad"]["reason"]
    with pytest.raises(NoInputError, match="no study could be read"):
        run(bad)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoInputError, match="no MR series"):
        run(tmp_path / "empty")


def test_folders_of_one_name_are_not_one_patient(run, study, tmp_path):
    first, other = study("knee", "sagittal"), tmp_path / "elsewhere" / "knee"
    shutil.copytree(first, other)
    answers = run(first, other)
    assert sorted(answers) == sorted([f"{first.parent.name}_knee", "elsewhere_knee"])
    assert len({row["patient_id"] for row in table(tmp_path / "out/predictions.csv")}) == 2


def test_a_manifest_says_what_belongs_together_and_whose_it_is(run, study, tmp_path):
    left, right = study("left", "sagittal"), study("right", "axial")
    lines = [
        "patient_id,study_id,series_id,path",
        "P1,S1,a,left/left_sagittal.nii.gz",
        "P1,S1,b,right/right_axial.nii.gz",
    ]
    manifest = left.parent / "manifest.csv"
    manifest.write_text("\n".join(lines))
    row = run(manifest)["S1"]
    assert (row["patient_id"], row["views"]) == ("P1", "sagittal+axial")
    np.testing.assert_array_equal(chances(row), chances(run(study("both", "sagittal", "axial"))["both"]))
    manifest.write_text("\n".join(lines).replace("P1,S1,b", "P2,S1,b"))
    assert list(run(manifest, right)) == ["right"]
    status = {r["study_id"]: r for r in table(tmp_path / "out/predictions.status.csv")}
    assert status["S1"]["reason"].startswith("study 'S1' has series of 2 patients (P1, P2)")


def test_an_oblique_series_warns(run, study, tmp_path):
    folder = study("a", "axial")
    path = folder / "a_axial.nii.gz"
    image = nib.load(path)
    angle = np.deg2rad(40)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = image.affine.copy()
    affine[:3] = turn @ affine[:3]
    oblique = nib.Nifti1Image(np.asarray(image.dataobj), affine)
    nib.save(oblique, path)
    run(folder)
    (status,) = table(tmp_path / "out/predictions.status.csv")
    assert (status["status"], status["reason"]) == ("warned", "a_axial is oblique: its view is uncertain")


def test_a_view_the_model_has_no_encoder_for_is_left_out(run, study, diagnosis, tmp_path):
    known = {v: p for v, p in diagnosis.info.diagnosis.encoders.items() if v != View.AXIAL}
    info = replace(diagnosis.info, diagnosis=replace(diagnosis.info.diagnosis, encoders=known))
    parts = {p.name: load_file(p) for p in diagnosis.path.glob("*.safetensors")}
    less = save_bundle(tmp_path / "less", info, parts)
    assert run(study("a", "sagittal", "axial"), model=less)["a"]["views"] == "sagittal"
    (status,) = table(tmp_path / "out/predictions.status.csv")
    assert status["reason"] == "a_axial left out: the model reads no axial series"


def test_the_health_record_speaks_only_where_something_is_known(run, study, tmp_path):
    studies = [study(name, "sagittal", "axial") for name in ("known", "blank", "absent")]
    ehr, notes = tmp_path / "ehr.csv", []
    ehr.write_text("study_id,age,sex,event\nknown,23,F,sport\nblank,,,\nstranger,50,M,fall\n")
    alone, rows = run(*studies), run(*studies, ehr=ehr, note=notes.append, explain=tmp_path / "why")
    assert np.abs(chances(rows["known"]) - chances(alone["known"])).max() > 1e-3
    for name in ("blank", "absent"):
        np.testing.assert_array_equal(chances(rows[name]), chances(alone[name]))
    assert notes[1:] == ["ehr.csv: 1 row matches no study here: stranger"]
    why = json.loads((tmp_path / "why/known.json").read_text())["labels"]["ACL"]
    assert why["record"]["share"] == pytest.approx(0.5)
    assert why["record"]["probability_without"] == pytest.approx(float(alone["known"]["ACL"]))
    assert json.loads((tmp_path / "why/blank.json").read_text())["labels"]["ACL"]["record"] is None
    cells = {(r["study_id"], r["label"]): r for r in table(tmp_path / "why/explanation.csv")}
    mixed = 0.5 * float(cells["known", "ACL"]["image_logit"]) + 0.5 * float(cells["known", "ACL"]["record_logit"])
    assert float(rows["known"]["ACL"]) == pytest.approx(1 / (1 + np.exp(-mixed / 1.5)), abs=1e-4)
    assert cells["blank", "ACL"]["record_logit"] == ""
    record = json.loads((tmp_path / "out/predictions.run.json").read_text())
    assert len(record["ehr"]["sha256"]) == 64
    assert record["notes"] == notes


def test_records_that_cannot_be_used_are_named(run, study, tmp_path, make_diagnosis):
    folder, ehr = study("a", "axial"), tmp_path / "ehr.csv"
    ehr.write_text("study_id,age\na,23\n")
    with pytest.raises(UsageError, match="reads no health records"):
        run(folder, ehr=ehr, model=make_diagnosis(tmp_path / "deaf", records=False))
    with pytest.raises(UsageError, match="is not there"):
        run(folder, ehr=tmp_path / "nowhere.csv")
    ehr.write_text("study_id,age\na,230\n")
    with pytest.raises(StudyError, match="age is '230'"):
        run(folder, ehr=ehr)


def test_a_model_without_a_diagnosis_says_so(run, study, bundle):
    with pytest.raises(BundleError, match="tiny cannot diagnose"):
        run(study("a", "axial"), model=bundle)


def test_a_damaged_model_stops_the_run_instead_of_failing_study_by_study(run, study, diagnosis, tmp_path):
    folder = shutil.copytree(diagnosis.path, tmp_path / "copy")
    (folder / "encoder_axial.safetensors").write_bytes(b"x")
    with pytest.raises(BundleError, match="SHA-256"):
        run(study("a", "axial"), model=Bundle(folder, diagnosis.info))


def test_the_table_goes_into_a_folder_but_never_over_another_table(run, study, tmp_path, diagnosis):
    folder = study("a", "axial")
    for out in (f"{tmp_path}/new/", tmp_path):
        diagnose([folder], out, model=diagnosis.path, device="cpu")
    assert (tmp_path / "new/predictions.csv").read_text() == (tmp_path / "predictions.csv").read_text()
    with pytest.raises(UsageError, match="is no CSV"):
        run(folder, out="results")
    ehr = tmp_path / "ehr.csv"
    ehr.write_text("study_id,age\na,23\n")
    with pytest.raises(UsageError, match="is no result of"):
        run(folder, out="ehr.csv")
    assert ehr.read_text() == "study_id,age\na,23\n"


def test_one_load_serves_a_batch(run, study, monkeypatch):
    calls = []
    for name in ("encoder", "diagnoser"):
        original = getattr(Bundle, name)
        monkeypatch.setattr(
            Bundle, name, lambda self, *view, _of=original, _n=name: (calls.append((_n, *view)), _of(self, *view))[1]
        )
    run(*(study(name, "sagittal", "axial") for name in "abc"))
    assert sorted(calls) == [
        ("diagnoser",),
        ("encoder", View.AXIAL, "diagnose"),
        ("encoder", View.SAGITTAL, "diagnose"),
    ]


def test_resume_keeps_a_study_only_of_the_same_model_series_and_record(run, study, tmp_path, images, monkeypatch):
    seen = []
    original = StudyReader.read
    monkeypatch.setattr(
        StudyReader, "read", lambda self, name, *a, **k: (seen.append(name), original(self, name, *a, **k))[1]
    )
    a, b, ehr = study("a", "axial"), study("b", "coronal"), tmp_path / "ehr.csv"
    first = run(a, b)
    assert run(a, b, resume=True) == first
    assert seen == ["a_axial", "b_coronal"]
    ehr.write_text("study_id,age\nb,23\n")
    run(a, b, ehr=ehr, resume=True)
    assert seen[2:] == ["b_coronal"]
    run(a, b, ehr=ehr, resume=True, explain=tmp_path / "why")
    assert seen[3:] == ["a_axial", "b_coronal"]
    next((tmp_path / "why").glob("a.*.png")).unlink()
    run(a, b, ehr=ehr, resume=True, explain=tmp_path / "why")
    assert seen[5:] == ["a_axial"]
    shutil.copy(images["sagittal"], a / "a_axial.nii.gz")
    os.utime(a / "a_axial.nii.gz", ns=(1, 1))
    run(a, b, ehr=ehr, resume=True)
    assert seen[6:] == ["a_axial"]
    receipt = tmp_path / "out/.predictions.done/b.json"
    assert "age=" not in receipt.read_text()
    receipt.write_text("{")
    run(a, b, ehr=ehr, resume=True)
    assert seen[7:] == ["b_coronal"]


@pytest.mark.parametrize(
    ("head", "fusion"), [("evidence", "gating"), ("sap", "cross_attention"), ("mean", "linear_add")]
)
def test_each_positive_label_is_explained_by_numbers_and_a_picture(run, study, tmp_path, make_diagnosis, head, fusion):
    why, folder = tmp_path / "why", study("a", "sagittal", "sagittal_2", "coronal")
    why.mkdir()
    (why / "a.ACL.png").write_text("of an earlier run, when ACL was positive")
    model = make_diagnosis(tmp_path / head, head=head, fusion=fusion)
    row = run(folder, model=model, explain=why)["a"]
    about = json.loads((why / "a.json").read_text())
    assert about["series"] == {"sagittal": ["a_sagittal", "a_sagittal_2"], "coronal": ["a_coronal"], "axial": []}
    positive = [name for name in LABELS if float(row[name]) >= model.info.diagnosis.thresholds[name]]
    assert "ACL" not in positive
    assert sorted(p.name for p in why.glob("*.png")) == sorted(f"a.{name}.png" for name in positive)
    assert all((why / f"a.{name}.png").stat().st_size > 10_000 for name in positive)
    cells = {r["label"]: r for r in table(why / "explanation.csv")}
    assert list(cells) == list(LABELS)
    for name, cell in cells.items():
        weights = [float(cell[f"weight_{v}"]) for v in VIEWS]
        assert sum(weights) == pytest.approx(1, abs=2e-4)
        assert weights[2] == 0
        assert cell["probability"] == row[name]
        assert cell["positive"] == str(int(name in positive))
        views = about["labels"][name]["views"]
        assert [views[v]["weight"] for v in views] == weights[:2]
        assert all(1 <= v["strongest"]["slice"] <= v["strongest"]["slices"] == 9 for v in views.values())


def test_the_slice_of_the_picture_is_numbered_as_in_the_file(reader, images, readings):
    for name, reading in readings.items():
        assert reading.slices == 9
        region, volume = reading.region, read_volume(images[name])
        axis = int(np.argmax(volume.spacing_mm))
        for d in range(region.inside[0].start, region.inside[0].stop):
            world = region.affine @ [d, 31.5, 31.5, 1]
            voxel = np.linalg.inv(volume.affine) @ world
            assert reading.slice_numbers[d] == round(voxel[axis]) + 1


def test_an_unknown_record_is_no_record(reader, readings):
    answer = reader.answer([readings["axial"]], Record(event="meteorite"))
    assert answer.record_logit is None
    np.testing.assert_array_equal(answer.probability, answer.probability_without_record)


def test_a_study_without_a_series_that_its_manifest_names_is_answered_once_and_warned(run, study, tmp_path):
    folder = study("Doe_J", "sagittal")
    rows = ["patient_id,study_id,series_id,path", "P,S,a,Doe_J_sagittal.nii.gz", "P,S,b,gone/Doe_axial.nii.gz"]
    (folder / "manifest.csv").write_text("\n".join(rows))
    assert run(folder)["S"]["views"] == "sagittal"
    (told,) = table(tmp_path / "out/predictions.status.csv")
    assert told["status"] == "warned"
    assert "named in manifest.csv but not there" in told["reason"]
    assert "Doe" not in told["reason"]
    (folder / "manifest.csv").write_text("\n".join(rows[:2]))
    run(folder, resume=True)
    assert table(tmp_path / "out/predictions.status.csv")[0]["status"] == "ok"  # the receipt is of another manifest
    (folder / "manifest.csv").write_text("\n".join(rows))
    run(folder, resume=True)
    assert table(tmp_path / "out/predictions.status.csv")[0]["status"] == "warned"


def test_a_manifest_below_the_folder_given_does_not_bring_its_name_into_a_record(run, study, tmp_path, monkeypatch):
    folder = study("Doe_John", "sagittal")
    (folder / "manifest.csv").write_text("patient_id,study_id,series_id,path\nP,S,a,Doe_John_sagittal.nii.gz")
    folder.parent.rename(tmp_path / "studies")
    monkeypatch.chdir(tmp_path)
    run("studies")
    notes = json.loads((tmp_path / "out/predictions.run.json").read_text())["notes"]
    assert any("name its folder as a STUDY" in note for note in notes)
    assert "Doe" not in str(notes)
