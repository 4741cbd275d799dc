"""`orthodx transfer`: from the knee to a joint of the user's own, the wrist."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from orthodx.bundles.bundle import BundleInfo, Part, open_bundle, save_bundle
from orthodx.cli.app import app
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.networks.encoders.dynunet import DynUNetConfig, DynUNetEncoder
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.encoders.resnet18 import ResNet18Config, ResNet18Encoder
from orthodx.networks.heads import pooled
from orthodx.studies.nifti import write_image
from orthodx.studies.tables import read_table, write_table

WRIST = Path(__file__).parents[2] / "examples/joints/wrist.toml"
TINY = OrthoConfig(channels=(16, 16, 16, 16), time_channels=16)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", TINY)
    monkeypatch.setattr(pooled, "TOKENS", (2, 3, 3))


@pytest.fixture(scope="module")
def knee(tmp_path_factory):
    """Encoders of sagittal knees, on a grid of 2 mm."""
    info = BundleInfo(
        name="tiny-knee",
        version="0",
        joint=KNEE,
        grid=GridSpec(pixel_mm=2),
        encoders={View.SAGITTAL: Part("ortho", TINY, "encoder_sagittal.safetensors")},
        heads={},
        training=[{"stage": "pretrain"}],
        licence="CC BY 4.0",
        sources=["knees"],
        sha256={},
    )
    weights = {"encoder_sagittal.safetensors": OrthoEncoder(TINY).state_dict()}
    return save_bundle(tmp_path_factory.mktemp("bundle") / "tiny-knee", info, weights).path


def invoke(*words):
    return CliRunner().invoke(app, ["transfer", *map(str, words)])


def transfer(*words):
    done = invoke(*words, "--device", "cpu")
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def labelled(wrists, knee, tmp_path_factory):
    """A probe at two shares of the labels, with a network from scratch."""
    out = tmp_path_factory.mktemp("labelled") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OrthoEncoder.presets, "tiny", TINY)
        patch.setattr(pooled, "TOKENS", (2, 3, 3))
        said = transfer(wrists, "--from", knee, "--joint", WRIST, "--labels", wrists / "labels.csv", "--probe",
                        "--label-fraction", "0.5,1", "--region", 6, 32, 32, "--epochs", 1, "--batch", 4,
                        "--learning-rate", 3e-3, "--name", "wrist", "--head", "mean", "--out", out)  # fmt: skip
    return out, said


def test_labels_give_a_bundle_of_the_new_joint_and_every_arm_its_predictions(labelled, knee, wrists):
    out, _ = labelled
    bundle = open_bundle(out / "wrist")
    assert (bundle.info.name, bundle.info.joint.name, bundle.info.tasks) == ("wrist", "wrist", ["diagnose"])
    assert bundle.info.diagnosis.diagnoser.labels == ("TFCC", "FRACTURE")
    assert (bundle.info.licence, bundle.info.sources) == ("CC BY 4.0", ["knees"])
    ours, theirs = (load_file(path / "encoder_sagittal.safetensors") for path in (out / "wrist", knee))
    assert all(ours[name].equal(theirs[name]) for name in theirs)

    table = pd.read_csv(out / "arms.csv")
    assert list(table.arm) == [f"{kind}-{share}pc-seed0" for share in (100, 50) for kind in ("transferred", "scratch")]
    assert (table.failed == 0).all()
    train, test = (pd.read_csv(out / f"split/{side}.csv") for side in ("train", "test"))
    assert not set(train.patient_id) & set(test.patient_id)
    assert {*train.study_id, *test.study_id} == set(pd.read_csv(wrists / "labels.csv").study_id)
    seen = {share: set() for share in (100, 50)}
    for arm, share in zip(table.arm, table.label_fraction, strict=True):
        folder = out / "arms" / arm
        assert set(pd.read_csv(folder / "predictions.csv").study_id) == set(test.study_id)
        seen[round(100 * share)].add(tuple(pd.read_csv(folder / "validation.csv").study_id))
        assert set(pd.read_csv(folder / "validation.csv").study_id) < set(train.study_id)
        assert not list(folder.glob("*.safetensors")), "checkpoints are of no use once an arm is done"
    assert len(set.union(*seen.values())) == 1, "the same studies calibrate in every arm"
    assert (table.groupby("label_fraction").train.nunique() == 1).all()
    assert table.set_index("label_fraction").train[0.5].max() < table.set_index("label_fraction").train[1].min()


def test_the_report_has_the_arms_by_share_and_their_paired_difference(labelled):
    out, said = labelled
    rows = pd.read_csv(out / "report/metrics.csv", keep_default_na=False)
    curve = rows[(rows.grouping == "label_fraction") & (rows.against == "") & (rows.target == "macro average")]
    assert set(zip(curve.group, curve.note, strict=True)) == {
        (share, start) for share in ("0.5", "1") for start in ("pretrained, frozen", "from scratch")
    }
    paired = rows[(rows.grouping == "label_fraction") & (rows.against == "from scratch")]
    assert {*paired.group} == {"0.5", "1"}
    assert (out / "report/report.html").is_file()
    assert "arms left, about" in said


def test_what_is_done_is_kept_and_a_further_seed_is_added(labelled, wrists, knee):
    out, _ = labelled
    before = {path: path.stat().st_mtime_ns for path in out.glob("arms/*/predictions.csv")}
    line = (wrists, "--from", knee, "--joint", WRIST, "--probe", "--region", 6, 32, 32, "--epochs", 1, "--batch", 4,
            "--learning-rate", 3e-3, "--name", "wrist", "--head", "mean", "--out", out,
            "--device", "cpu")  # fmt: skip
    refused = invoke(*line)
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    assert "already holds a run" in refused.stderr
    done = invoke(*line, "--resume", "--seeds", 2, "--no-scratch", "--json")
    assert done.exit_code == 0, done.output
    assert [row["seed"] for row in json.loads(done.stdout)["arms"]] == [0, 1]
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    other = invoke(*line, "--resume", "--seed", 9)
    assert (other.exit_code, len(other.stderr.splitlines())) == (2, 1)
    assert "parts the patients in another way" in other.stderr


def test_labels_by_numbers_of_patients_who_calibrate_besides(labelled, wrists, knee, tmp_path):
    line = (wrists, "--from", knee, "--joint", WRIST, "--probe", "--region", 6, 32, 32, "--head", "mean",
            "--no-scratch", "--cache", labelled[0] / "cache", "--device", "cpu")  # fmt: skip
    transfer(*line, "--label-count", 2, "--out", tmp_path / "out")
    (arm,) = read_table(tmp_path / "out/arms.csv").to_dict("records")
    assert (arm["arm"], arm["train"]) == ("transferred-n2-seed0", "2")
    patients = pd.read_csv(tmp_path / "out/split/train.csv").patient_id.nunique()
    many = invoke(*line, "--label-count", patients, "--out", tmp_path / "many")
    assert many.exit_code == 2, many.output
    assert f"more than the {patients - int(arm['validation'])} patients who can train ({arm['validation']} more" in (
        many.stderr
    )


def test_masks_by_numbers_of_studies(wrists, knee, tmp_path):
    out = tmp_path / "out"
    transfer(wrists, "--from", knee, "--joint", WRIST, "--task", "segment", "--full", "--label-count", "1,4",
             "--steps", 8, "--crop", 6, 32, 32, "--workers", 0, "--view", "sagittal", "--seed", 3,
             "--test-share", 0.3, "--out", out)  # fmt: skip
    bundle = open_bundle(out / "my-model")
    assert bundle.info.tasks == ["segment"]
    assert bundle.info.joint.name == "wrist"
    table, test = pd.read_csv(out / "arms.csv"), pd.read_csv(out / "split/test.csv")
    patients = pd.read_csv(out / "split/train.csv").patient_id.nunique()
    assert [round(share * patients) for share in table.label_fraction] == [4, 4, 1, 1]
    for arm in table.arm:
        masks = {path.name for path in (out / "arms" / arm / "masks").glob("*.nii.gz")}
        assert masks == {f"{series}.nii.gz" for series in test.series_id}
    rows = pd.read_csv(out / "report/metrics.csv", keep_default_na=False)
    paired = rows[(rows.grouping == "label_fraction") & (rows.against == "from scratch") & (rows.metric == "dice")]
    assert {"radius", "articular_disc", "all structures"} <= set(paired.target)


def test_arms_of_masks_end_when_validation_gets_no_better(wrists, knee, tmp_path):
    parts = {"train": range(6), "test": range(6, 8), "held": range(8, 10)}
    for name, numbers in parts.items():
        manifest_of(wrists, tmp_path / name, "manifest.csv", [(f"w{i:02d}", f"P{i}", "") for i in numbers])
        (tmp_path / name / "truth").symlink_to(wrists / "truth")
    line = (tmp_path / "train", "--from", knee, "--joint", WRIST, "--task", "segment", "--test", tmp_path / "test",
            "--steps", 60, "--crop", 6, 32, 32, "--workers", 0, "--view", "sagittal", "--no-scratch")  # fmt: skip
    out = tmp_path / "out"
    transfer(*line, "--validation", tmp_path / "held", "--validate-every", 2, "--patience", 2, "--learning-rate", 1e-7,
             "--out", out)  # fmt: skip
    (arm,) = read_table(out / "arms.csv").to_dict("records")
    assert (arm["train"], arm["validation"], arm["test"]) == ("6", "2", "2")
    metrics = pd.read_csv(out / "arms/transferred-100pc-seed0/metrics.csv")
    assert 4 <= metrics.step.max() < 60  # next to nothing is learned at such a rate
    leak = invoke(*line, "--validation", tmp_path / "test", "--patience", 2, "--out", tmp_path / "leak")
    assert (leak.exit_code, len(leak.stderr.splitlines())) == (2, 1), leak.output
    assert "in training and in validation" in leak.stderr


def test_series_of_views_that_no_encoder_reads_are_no_failures(wrists, knee, tmp_path):
    axial = np.diag([-2.0, -2, 4, 1])
    for i in range(4):
        folder, name = tmp_path / f"cohort/w{i}", f"w{i:02d}"
        write_image(folder / f"x{i}.nii.gz", np.random.default_rng(i).integers(1, 900, (32, 32, 6)).astype("i2"), axial)
        (folder / f"{name}.nii.gz").write_bytes((wrists / name / f"{name}.nii.gz").read_bytes())
        (tmp_path / "cohort/truth").mkdir(exist_ok=True)
        (tmp_path / f"cohort/truth/{name}.nii.gz").write_bytes((wrists / f"truth/{name}.nii.gz").read_bytes())
    transfer(tmp_path / "cohort", "--from", knee, "--joint", WRIST, "--task", "segment", "--probe", "--steps", 1,
             "--crop", 6, 32, 32, "--workers", 0, "--no-scratch", "--out", tmp_path / "out")  # fmt: skip
    (arm,) = read_table(tmp_path / "out/arms.csv").to_dict("records")
    assert (arm["test"], arm["failed"]) == ("1", "0")


def test_a_baseline_of_monai_is_one_more_arm(wrists, knee, tmp_path, monkeypatch):
    monkeypatch.setitem(ResNet18Encoder.presets, "small", ResNet18Config(channels=(8, 8, 8, 8)))
    monkeypatch.setitem(DynUNetEncoder.presets, "small", DynUNetConfig(channels=(8, 8, 8, 8, 8)))
    for baseline, more in (
        ("resnet18", ("--probe", "--region", 6, 32, 32, "--head", "mean", "--epochs", 1, "--batch", 4)),
        ("dynunet", ("--task", "segment", "--steps", 2, "--crop", 6, 32, 32, "--workers", 0)),
    ):
        out = tmp_path / baseline
        transfer(wrists, "--from", knee, "--joint", WRIST, "--view", "sagittal", "--no-scratch", "--baseline", baseline,
                 *more, "--seeds", 2, "--out", out)  # fmt: skip
        assert set(pd.read_csv(out / "arms.csv").kind) == {"transferred", baseline}
        rows = pd.read_csv(out / "report/metrics.csv", keep_default_na=False)
        gap = rows[(rows.grouping == "label_fraction") & (rows.against != "")]
        start = "pretrained, frozen, ortho" if "--probe" in more else "pretrained, ortho"
        assert set(zip(gap.note, gap.against, strict=True)) == {(start, f"from scratch, {baseline}")}


QUICK = ("--region", 6, 32, 32, "--head", "mean", "--probe", "--no-scratch")


def manifest_of(wrists, folder, name, studies):
    """Some of the wrists, each of a patient and a center of its own or not, as a cohort."""
    folder.mkdir()
    rows = []
    for study, patient, center in studies:
        path = folder / f"{study}.nii.gz"
        path.write_bytes((wrists / study / f"{study}.nii.gz").read_bytes())
        rows.append({"patient_id": patient, "study_id": study, "series_id": study, "path": path.name, "center": center})
    write_table(folder / name, rows, ("patient_id", "study_id", "series_id", "path", "center"))
    (folder / "labels.csv").write_bytes((wrists / "labels.csv").read_bytes())
    return folder


def test_a_center_is_held_out_with_all_studies_of_its_patients(wrists, knee, tmp_path):
    studies = [(f"w{i:02d}", f"P{i % 8}", "north" if i < 4 else "south") for i in range(12)]  # P0 to P3 saw both
    cohort = manifest_of(wrists, tmp_path / "cohort", "manifest.csv", studies)
    done = invoke(cohort, "--from", knee, "--joint", WRIST, *QUICK, "--hold-out-center", "north", "-q",
                  "-o", tmp_path / "out", "--cache", tmp_path / "kept", "--device", "cpu")  # fmt: skip
    assert (done.exit_code, done.output) == (0, "")
    test, train = (pd.read_csv(tmp_path / f"out/split/{side}.csv") for side in ("test", "train"))
    assert set(test.patient_id) == {"P0", "P1", "P2", "P3"}
    assert set(train.patient_id) == {"P4", "P5", "P6", "P7"}
    assert set(train.center) == {"south"}
    assert list((tmp_path / "kept/features").iterdir())
    assert not (tmp_path / "out/cache").exists()


def test_other_studies_can_test_and_share_no_patient_with_those_that_train(wrists, knee, tmp_path):
    ours = manifest_of(wrists, tmp_path / "a", "manifest.csv", [(f"w{i:02d}", f"P{i}", "") for i in range(8)])
    theirs = manifest_of(wrists, tmp_path / "b", "manifest.csv", [(f"w{i:02d}", f"P{i}", "") for i in range(8, 12)])
    line = (ours, "--from", knee, "--joint", WRIST, *QUICK, "--quiet", "--device", "cpu")
    done = invoke(*line, "--test", theirs, "--out", tmp_path / "out", "--keep-paths")
    options = json.loads((tmp_path / "out/run.json").read_text())["options"]
    assert str(ours) in options["studies"]
    assert (done.exit_code, done.output) == (0, "")
    predicted = pd.read_csv(tmp_path / "out/arms/transferred-100pc-seed0/predictions.csv")
    assert list(predicted.study_id) == ["w08", "w09", "w10", "w11"]
    mixed = manifest_of(wrists, tmp_path / "c", "manifest.csv", [("w08", "P1", "")])
    done = invoke(*line, "--test", mixed, "--out", tmp_path / "leak")
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
    assert "patient 'P1'" in done.stderr


def test_a_changed_answer_is_not_taken_for_learned(wrists, knee, tmp_path):
    ours = manifest_of(wrists, tmp_path / "a", "manifest.csv", [(f"w{i:02d}", f"P{i}", "") for i in range(8)])
    theirs = manifest_of(wrists, tmp_path / "b", "manifest.csv", [(f"w{i:02d}", f"P{i}", "") for i in range(8, 12)])
    line = (ours, "--from", knee, "--joint", WRIST, *QUICK, "--test", theirs, "--out", tmp_path / "out")
    transfer(*line)
    table = pd.read_csv(ours / "labels.csv")
    label = next(name for name in table if set(table[name].dropna().unique()) == {0, 1})
    table[label] = 1 - table[label]
    table.to_csv(ours / "labels.csv", index=False)
    done = invoke(*line, "--resume", "--device", "cpu")
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
    assert "was written with other options (inputs)" in done.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--probe", "--full"), "give one of the two"),
        (("--label-fraction", "0.5", "--label-count", "4"), "say the same"),
        (("--label-fraction", "0.5,2"), "no share above 0"),
        (("--label-fraction", "half"), "'half' is no number"),
        (("--label-count", "40"), "more than the 7 patients who can train (2 more calibrate)"),
        (("--test-share", "0.5", "--hold-out-center", "x"), "both say who tests"),
        (("--steps", "5"), "is for --task segment"),
        (("--task", "segment", "--epochs", "2"), "is for --task diagnose"),
        (("--validation", "held", "--patience", "2"), "is for --task segment"),
        (("--task", "segment", "--patience", "2"), "needs --validation"),
        (("--task", "segment", "--validation", "held"), "is for --patience"),
        (("--baseline", "dynunet"), "no baseline 'dynunet' can diagnose"),
        (("--view", "axial"), "tiny-knee has no axial encoder"),
        (("--name", "arms"), "another folder's"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_one_line(wrists, knee, more, said, tmp_path):
    done = invoke(wrists, "--from", knee, "--joint", WRIST, "--out", tmp_path / "o", "--device", "cpu", *more)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
    assert said in done.stderr
    assert not (tmp_path / "o/arms").exists()


def test_studies_that_do_not_say_their_joint_need_it_said(wrists, knee, tmp_path):
    done = invoke(wrists, "--from", knee, "--out", tmp_path / "o")
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
    assert "give --joint" in done.stderr


def test_series_of_one_name_in_two_folders_are_named_and_not_dropped(wrists, knee, tmp_path):
    for i in range(6):
        folder, name = tmp_path / "AB"[i % 2], f"case{i // 2}"
        for part in ("", "truth/"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.nii.gz").write_bytes((wrists / f"w{i:02d}/w{i:02d}.nii.gz").read_bytes())
        (folder / f"truth/{name}.nii.gz").write_bytes((wrists / f"truth/w{i:02d}.nii.gz").read_bytes())
    done = invoke(tmp_path / "A", tmp_path / "B", "--from", knee, "--joint", WRIST, "--task", "segment", "--steps", 1,
                  "--crop", 6, 32, 32, "--view", "sagittal", "--workers", 0, "--out", tmp_path / "out")  # fmt: skip
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
    assert "two of the folders have a series 'case0'" in done.stderr


def test_two_cohorts_with_a_folder_a_study_are_one(wrists, knee, tmp_path):
    for i in range(6):
        cohort, study = tmp_path / "AB"[i % 2], f"{'AB'[i % 2]}{i}"
        for folder in (cohort / study, cohort / "truth"):
            folder.mkdir(parents=True, exist_ok=True)
        (cohort / study / "sag.nii.gz").write_bytes((wrists / f"w{i:02d}/w{i:02d}.nii.gz").read_bytes())
        (cohort / f"truth/{study}_sag.nii.gz").write_bytes((wrists / f"truth/w{i:02d}.nii.gz").read_bytes())
    transfer(tmp_path / "A", tmp_path / "B", "--from", knee, "--joint", WRIST, "--task", "segment", "--steps", 1,
             "--crop", 6, 32, 32, "--view", "sagittal", "--no-scratch", "--workers", 0,
             "--out", tmp_path / "o")  # fmt: skip
    sides = [set(read_table(tmp_path / f"o/split/{side}.csv")["series_id"]) for side in ("train", "test")]
    assert set.union(*sides) == {f"{'AB'[i % 2]}{i}_sag" for i in range(6)}
    assert {path.name for path in (tmp_path / "o/split/truth").iterdir()} == {f"{name}.nii.gz" for name in sides[1]}


def test_what_could_not_be_used_is_told_by_the_exit_too(wrists, knee, tmp_path):
    ours = manifest_of(wrists, tmp_path / "a", "manifest.csv", [(f"w{i:02d}", f"P{i}", "") for i in range(8)])
    (ours / "w03.nii.gz").write_bytes(b"no image")
    theirs = manifest_of(wrists, tmp_path / "b", "manifest.csv", [(f"w{i:02d}", f"P{i}", "") for i in range(8, 12)])
    done = invoke(ours, "--from", knee, "--joint", WRIST, *QUICK, "--test", theirs, "--out", tmp_path / "out",
                  "--device", "cpu")  # fmt: skip
    assert done.exit_code == 8, done.output
    (row,) = json.loads((tmp_path / "out/run.json").read_text())["left_out"]
    assert row["series_id"] == "w03"
