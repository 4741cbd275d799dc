"""Diagnosis from studies: what it learns, what it survives, and that it tells the same twice."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from orthodx.bundles.bundle import open_bundle
from orthodx.errors import BundleError, NoInputError, UsageError
from orthodx.grid.region import RegionSpec
from orthodx.grid.spec import GridSpec
from orthodx.inference.study_reader import StudyReader
from orthodx.joints import View
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.heads import pooled
from orthodx.studies.discover import find_series
from orthodx.studies.nifti import write_image
from orthodx.studies.tables import write_table
from orthodx.training.bundling import bundle_diagnosis, grid_of, refuse_other_grid
from orthodx.training.diagnosis.fit import Cohort, fit_diagnosis
from orthodx.training.diagnosis.stage_one import DiagnosisConfig
from orthodx.training.diagnosis.summaries import Summaries
from orthodx.training.starting import Start

CPU = torch.device("cpu")
LABELS = ("ACL", "MM", "EFFU")
# index -> RAS of a series of each view: columns, rows, slices
AXES = {
    View.SAGITTAL: ((0, 2, 0), (0, 0, 2), (4, 0, 0)),
    View.CORONAL: ((2, 0, 0), (0, 0, 2), (0, 4, 0)),
    View.AXIAL: ((2, 0, 0), (0, 2, 0), (0, 0, 4)),
}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(32, 16, 16, 16), time_channels=16))
    monkeypatch.setattr(pooled, "TOKENS", (2, 3, 3))


def settings(**more):
    base = DiagnosisConfig(
        preset="tiny", head="mean", labels=LABELS, encoder_share=0.0, validation=0.3, seed=3,
        grid=GridSpec(pixel_mm=2.0), region=RegionSpec(slices=4, rows=32, columns=32),
    )  # fmt: skip
    return replace(base, **more)


def write_studies(folder, n=30, views=tuple(View), repeats=1, blank=0.0, seed=0):
    """Studies whose ACL shows as brightness in sagittal, MM in coronal series; EFFU is in the record only."""
    rng = np.random.default_rng(seed)
    rows, labels, records = [], [], []
    for i in range(n):
        study = f"s{i:03d}"
        truth = {"ACL": int(rng.random() < 0.5), "MM": int(rng.random() < 0.5), "EFFU": int(rng.random() < 0.5)}
        for view in views:
            for k in range(repeats):
                image = rng.normal(300, 30, (32, 32, 4))
                shows = truth["ACL"] if view is View.SAGITTAL else truth["MM"] if view is View.CORONAL else 0
                image[8:24, 8:24] += 500 * shows + rng.normal(0, 20)
                image[:4] = 0
                affine = np.eye(4)
                affine[:3, :3] = np.array(AXES[view], float).T
                name = f"{study}-{view}-{k}"
                write_image(folder / study / f"{name}.nii.gz", image.astype(np.int16), affine)
                rows.append({"patient_id": f"p{i}", "study_id": study, "series_id": name, "view": str(view),
                             "path": f"{study}/{name}.nii.gz", "center": "AB"[i % 2]})  # fmt: skip
        known = {k: "" if rng.random() < blank else v for k, v in truth.items()}
        labels.append({"study_id": study, **known})
        records.append({"study_id": study, "age": 70 if truth["EFFU"] else 20, "sex": "F"})
    write_table(folder / "manifest.csv", rows, list(rows[0]))
    write_table(folder / "labels.csv", labels, ("study_id", *LABELS))
    write_table(folder / "ehr.csv", records, ("study_id", "age", "sex"))
    return folder


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    return write_studies(tmp_path_factory.mktemp("cohort"), n=24)


def fit(studies, out, say=lambda line: None, **more):
    tables = {k: more.pop(k) for k in ("ehr", "validation", "labels") if k in more}
    how = {k: more.pop(k) for k in ("start", "resume") if k in more}
    cohort = Cohort(studies=[studies], **tables)
    return fit_diagnosis(settings(**more), cohort, out, device=CPU, say=say, **how)


def validation(out, stage="fusion", view=""):
    table = pd.read_csv(out / "metrics.csv", keep_default_na=False)
    rows = table[(table.stage == stage) & (table.view == view) & (table.label != "")]
    return {r.label: float(r.auroc) for r in rows.itertuples() if r.auroc != ""}


@pytest.mark.parametrize("fusion", ["gating", "simple_concat", "cross_attention"])
def test_each_label_is_found_in_the_view_that_shows_it(tmp_path, studies, fusion):
    fitted = fit(studies, tmp_path, fusion=fusion)
    assert validation(tmp_path, "view", "sagittal")["ACL"] > 0.95
    assert validation(tmp_path, "view", "coronal")["MM"] > 0.95
    fused = validation(tmp_path)
    assert fused["ACL"] > 0.9
    assert fused["MM"] > 0.9
    assert fitted.counts == {"train": 17, "validation": 7}
    assert set(fitted.thresholds) == set(fitted.temperatures) == set(LABELS)


@pytest.mark.parametrize(("converter", "synthetic"), [("orthodx synth", True), ("verified", False), ("", False)])
def test_a_diagnosis_knows_whether_it_saw_synthetic_lesions_only(tmp_path, converter, synthetic):
    studies = write_studies(tmp_path / "studies", n=12, views=(View.SAGITTAL,))
    manifest = pd.read_csv(studies / "manifest.csv")
    manifest["converter"] = "orthodx synth"
    manifest.loc[3, "converter"] = converter
    manifest.to_csv(studies / "manifest.csv", index=False)
    fitted = fit(studies, tmp_path / "fit")
    assert fitted.synthetic_only is synthetic
    bundle = bundle_diagnosis(tmp_path / "bundle", "made", settings(), fitted, start=Start())
    assert bundle.info.diagnosis.synthetic_only is synthetic


def test_a_record_tells_what_no_image_shows(tmp_path, studies):
    without, with_it = tmp_path / "a", tmp_path / "b"
    fit(studies, without)
    fitted = fit(studies, with_it, ehr=studies / "ehr.csv")
    assert validation(with_it)["EFFU"] > 0.95 > validation(without)["EFFU"]
    alpha = fitted.model.record.alpha.detach()
    assert alpha[LABELS.index("EFFU")] < alpha[LABELS.index("ACL")]


def test_a_record_that_helps_nobody_new_hardly_counts(tmp_path, studies):
    records = pd.read_csv(studies / "ehr.csv")
    records["age"] = np.random.default_rng(5).permutation(records["age"])
    records.to_csv(tmp_path / "ehr.csv", index=False)
    fitted = fit(studies, tmp_path / "fit", ehr=tmp_path / "ehr.csv")
    assert fitted.model.record.alpha[LABELS.index("ACL")] > 0.9
    assert validation(tmp_path / "fit")["ACL"] > 0.9


@pytest.mark.parametrize("head", ["global_local", "sap", "evidence"])
def test_every_head_can_be_probed(tmp_path, studies, head):
    fit(studies, tmp_path, head=head)
    assert validation(tmp_path)["ACL"] > 0.8


def test_features_of_frozen_encoders_are_computed_once(tmp_path, studies, monkeypatch):
    seen = []
    run = OrthoEncoder.features
    monkeypatch.setattr(OrthoEncoder, "features", lambda self, *a, **k: seen.append(1) or run(self, *a, **k))
    fit(studies, tmp_path)
    assert len(seen) == 72
    fit(studies, tmp_path, resume=True)
    assert len(seen) == 72


def test_summaries_follow_image_and_weights(tmp_path, studies):
    fit(studies, tmp_path)
    before = set((tmp_path / "features").iterdir())
    encoder = OrthoEncoder(OrthoEncoder.preset("tiny"))
    with torch.no_grad():
        encoder.stem.bias += 1
    from orthodx.networks import HEADS, Wanted
    from orthodx.training.diagnosis.study_cases import open_cases

    table = studies / "labels.csv"
    case = open_cases([studies], LABELS, settings().grid, settings().region, tmp_path / "regions", labels=table)[0]
    head = HEADS.get("mean")(HEADS.get("mean").config_for(encoder, Wanted(labels=3)))
    Summaries(tmp_path / "features", encoder, head, CPU)(case.views[View.SAGITTAL])
    assert len(set((tmp_path / "features").iterdir()) - before) == 1


def test_end_to_end_training_resumes_exactly(tmp_path, studies, monkeypatch):
    from orthodx.training import loop
    from orthodx.training.diagnosis import view_stage

    options = {"encoder_share": 1.0, "epochs": 2, "views": (View.SAGITTAL,), "batch": 6}
    whole = fit(studies, tmp_path / "whole", **options)
    real, calls = loop.guarded_step, []

    def pulled(*a):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(*a)

    monkeypatch.setattr(loop, "guarded_step", pulled)
    monkeypatch.setattr(view_stage.ViewConfig, "save_every", 3)
    with pytest.raises(KeyboardInterrupt):
        fit(studies, tmp_path / "cut", **options)
    monkeypatch.setattr(loop, "guarded_step", real)
    again = fit(studies, tmp_path / "cut", resume=True, **options)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    assert (tmp_path / "whole" / "encoder_sagittal.safetensors").read_bytes() == (
        tmp_path / "cut" / "encoder_sagittal.safetensors"
    ).read_bytes()
    assert (tmp_path / "whole/metrics.csv").read_text() == (tmp_path / "cut/metrics.csv").read_text()


def test_an_encoder_from_noise_is_not_scaled_by_what_it_gives_at_first(tmp_path, studies, monkeypatch):
    from orthodx.training.diagnosis import view_stage

    real, begun = view_stage.fit_end_to_end, []

    def watched(config, encoder, head, *arguments, **more):
        begun.append(head.sd.clone())
        return real(config, encoder, head, *arguments, **more)

    monkeypatch.setattr(view_stage, "fit_end_to_end", watched)
    options = {"epochs": 1, "views": (View.SAGITTAL,), "batch": 6}
    first = fit(studies, tmp_path / "noise", encoder_share=1.0, **options)
    fit(studies, tmp_path / "on", encoder_share=0.05, start=Start(tmp_path, first.encoders), **options)
    assert (begun[0] == 1).all()
    assert (begun[1] != 1).all()


def test_another_run_is_neither_overwritten_nor_mixed(tmp_path, studies):
    fit(studies, tmp_path)
    with pytest.raises(UsageError, match="already holds a run"):
        fit(studies, tmp_path)
    with pytest.raises(UsageError, match="other options"):
        fit(studies, tmp_path, resume=True, seed=4)
    table = pd.read_csv(studies / "labels.csv", dtype=str).assign(MM="0")
    table.to_csv(tmp_path / "others.csv", index=False)
    with pytest.raises(UsageError, match=r"other options \(inputs\)"):
        fit(studies, tmp_path, resume=True, labels=tmp_path / "others.csv")
    fit(studies, tmp_path, resume=True, peak_rate=1e-4)  # as the hint of a diverged run says


def test_missing_views_repeated_series_and_blank_labels(tmp_path):
    two = write_studies(tmp_path / "two", n=24, views=(View.SAGITTAL, View.CORONAL), repeats=2, blank=0.2)
    fitted = fit(two, tmp_path / "out")
    assert validation(tmp_path / "out")["ACL"] > 0.85
    assert set(fitted.encoders) == {View.SAGITTAL, View.CORONAL}


def test_a_label_of_one_class_is_said_and_survived(tmp_path, studies):
    table = pd.read_csv(studies / "labels.csv", dtype=str).assign(EFFU="0")
    table.to_csv(tmp_path / "labels.csv", index=False)
    lines = []
    fitted = fit(studies, tmp_path / "out", labels=tmp_path / "labels.csv", say=lines.append)
    assert any("EFFU" in line and "negative" in line for line in lines)
    assert fitted.thresholds["EFFU"] == 0.5
    assert "EFFU" not in validation(tmp_path / "out")


def test_labels_without_images_and_blank_tables_are_refused(tmp_path, studies):
    write_table(tmp_path / "other.csv", [{"study_id": "x", "ACL": 1}], ("study_id", "ACL"))
    with pytest.raises(NoInputError, match="no labelled study"):
        fit(studies, tmp_path / "a", labels=tmp_path / "other.csv")
    table = pd.read_csv(studies / "labels.csv", dtype=str)
    table[list(LABELS)] = ""
    table.to_csv(tmp_path / "blank.csv", index=False)
    with pytest.raises(UsageError, match="blank"):
        fit(studies, tmp_path / "b", labels=tmp_path / "blank.csv")


def test_shared_patients_are_refused(tmp_path, studies):
    with pytest.raises(UsageError, match="in training and in validation"):
        fit(studies, tmp_path / "out", validation=[studies])


def test_fractions_nest_and_held_out_centers_stay_out(tmp_path, studies):
    lines = []
    fit(studies, tmp_path / "a", fraction=0.5, say=lines.append)
    assert any(line.startswith("9 studies train, 7 calibrate") for line in lines)
    lines.clear()
    fit(studies, tmp_path / "b", hold_out=("B",), say=lines.append)
    assert any(line.startswith("8 studies train, 4 calibrate") for line in lines)


def test_the_bundle_keeps_calibration_and_reads_back(tmp_path, studies):
    config = settings(fraction=0.5)
    cohort = Cohort(studies=[studies], ehr=studies / "ehr.csv")
    fitted = fit_diagnosis(config, cohort, tmp_path / "run", device=CPU, say=lambda line: None)
    bundle = bundle_diagnosis(tmp_path / "model", "mine", config, fitted, start=Start(), ehr=True)
    info = open_bundle(bundle.path).info
    assert info.diagnosis.thresholds == fitted.thresholds
    assert info.diagnosis.region == config.region
    assert info.diagnosis.label_fraction == 0.5
    assert info.diagnosis.from_scratch
    again = bundle.diagnoser()
    assert again.config.labels == LABELS
    assert again.coding == fitted.model.coding
    summaries, present = torch.randn(2, 3, 16, 2, 3, 3), torch.ones(2, 3, dtype=torch.bool)
    with torch.inference_mode():
        assert torch.allclose(again(summaries, present), fitted.model(summaries, present), atol=0.05)
    assert json.loads((bundle.path / "model.json").read_text())["training"][0]["train"] == fitted.counts["train"]


def test_a_diagnosis_that_looks_closer_reads_back_and_reads_a_study(tmp_path, studies):
    config = settings(head="evidence", region=RegionSpec(slices=4, rows=16, columns=16, detail=2), fraction=0.5)
    cohort = Cohort(studies=[studies])
    fitted = fit_diagnosis(config, cohort, tmp_path / "run", device=CPU, say=lambda line: None)
    bundle = bundle_diagnosis(tmp_path / "model", "mine", config, fitted, start=Start())
    reader = StudyReader(open_bundle(bundle.path), CPU)
    one = next(s for s in find_series([studies]).series if s.view is View.CORONAL)
    reading = reader.read(one.series_id, one.load(), View.CORONAL, with_heat=True)
    assert reading.region.image.shape == (4, 32, 32)
    assert reading.heat.shape == (3, 4, 4, 4)
    info = json.loads((bundle.path / "model.json").read_text())
    info["diagnosis"]["region"]["detail"] = 1
    (bundle.path / "model.json").write_text(json.dumps(info))
    with pytest.raises(BundleError, match="differ in detail"):
        StudyReader(open_bundle(bundle.path), CPU)


def test_a_diagnosis_reads_as_the_bundle_it_is_added_to(bundle):
    assert grid_of(None, 2.0) == GridSpec(pixel_mm=2.0)
    info = replace(bundle.info, grid=GridSpec(slices=20, min_slice_mm=2.4))  # knee-small averages thin slices too
    assert grid_of(replace(bundle, info=info), 1.0) == info.grid
    with pytest.raises(UsageError, match="reads pixels of 1 mm, not 2 mm"):
        grid_of(bundle, 2.0)
    refuse_other_grid(bundle, GridSpec(slices=20))
    with pytest.raises(UsageError, match="min_slice_mm=3"):
        refuse_other_grid(bundle, GridSpec(min_slice_mm=3.0))


def test_records_heads_and_centers_that_do_not_fit_are_refused(tmp_path, studies):
    write_table(tmp_path / "ehr.csv", [{"study_id": "x", "age": 3}], ("study_id", "age"))
    with pytest.raises(UsageError, match="no record of any training study"):
        fit(studies, tmp_path / "a", ehr=tmp_path / "ehr.csv")
    with pytest.raises(UsageError, match="is a head to segment"):
        fit(studies, tmp_path / "c", head="skip_segment")
    with pytest.raises(UsageError, match="no study is of center 'Z'"):
        fit(studies, tmp_path / "d", hold_out=("Z",))


def test_a_label_that_was_never_taught_is_never_called_positive(tmp_path, studies):
    pd.read_csv(studies / "labels.csv", dtype=str).drop(columns="MM").to_csv(tmp_path / "labels.csv", index=False)
    lines = []
    fitted = fit(studies, tmp_path / "out", labels=tmp_path / "labels.csv", views=(View.SAGITTAL,), say=lines.append)
    assert "no column for MM: unknown in every study" in lines
    assert any(line.startswith("MM: no training study knows it") for line in lines)
    assert (pd.read_csv(tmp_path / "out/validation.csv")["MM"] < fitted.thresholds["MM"]).all()
    assert 0 < fitted.thresholds["ACL"] < 0.99
