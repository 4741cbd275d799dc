"""docs/tutorial.md, followed from DICOM in folders of odd names to the report."""

import json

import pandas as pd

ODD = ("Müller", "Nr. 3", "$HOME", "-rf", "P3", "export")  # words of the folders, and of a patient's id


def test_the_tutorial_leads_to_a_report_on_patients_that_were_not_learned_from(taught):
    tested, learned = (pd.read_csv(taught / name / "manifest.csv") for name in ("new", "old"))
    assert (tested.study_id.nunique(), learned.study_id.nunique()) == (4, 8)
    assert not set(tested.patient_id) & set(learned.patient_id)
    found = json.loads((taught / "report/summary.json").read_text())
    assert found["counts"]["diagnosis"]["studies"] == 4
    assert (taught / "report/report.html").is_file()


def test_own_labels_are_learned_and_compared_where_both_models_know_them(taught):
    own, shipped = (pd.read_csv(taught / name) for name in ("own.csv", "shipped.csv"))
    assert list(own.columns[-2:]) == ["CYST", "EFFU"]
    assert "CYST" not in shipped.columns
    metrics = pd.read_csv(taught / "report/metrics.csv")
    against = metrics[metrics.against.notna() & (metrics.metric == "brier") & metrics.grouping.isna()]
    assert set(against.target) == {"EFFU"}


def test_every_new_series_has_a_mask_and_a_picture(taught):
    series = set(pd.read_csv(taught / "new/manifest.csv").series_id)
    assert {path.name.removesuffix(".nii.gz") for path in taught.glob("masks/*.nii.gz")} == series
    assert {path.stem for path in taught.glob("masks/previews/*.png")} == series


def test_no_name_of_a_folder_or_patient_leaves_the_link(taught):
    places = ["old", "new", "masks", "why", "fit", "report"]
    files = [
        p for place in places for p in (taught / place).rglob("*") if p.suffix in (".csv", ".json", ".html", ".md")
    ]
    files += [p for p in taught.glob("[!.]*.*") if p.name not in ("link.csv", "reading.csv", "my-knee.toml")]
    assert len(files) > 40
    told = {p: p.read_text(encoding="utf-8") for p in files}
    assert not [(p.name, word) for p, text in told.items() for word in ODD[:4] if word in text]
    assert "Nr. 3" in (taught / "link.csv").read_text(encoding="utf-8")
