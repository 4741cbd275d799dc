"""`orthodx finetune --task diagnose` as people and pipelines meet it."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from orthodx.bundles.bundle import open_bundle
from orthodx.cli.app import app
from orthodx.joints import KNEE, View
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.heads import pooled
from orthodx.networks.heads.pooled import DiagnoseHead
from orthodx.studies.nifti import write_image
from orthodx.studies.tables import write_table
from orthodx.synth.bank import write_bank

SMALL = ("--head", "mean", "--preset", "tiny", "--region", 4, 32, 32, "--pixel-mm", 2, "--view", "sagittal",
         "--device", "cpu")  # fmt: skip
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(32, 16, 16, 16), time_channels=16))
    monkeypatch.setattr(pooled, "TOKENS", (2, 3, 3))


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Twelve studies of one or two sagittal series; injured knees are bright."""
    folder, rng = tmp_path_factory.mktemp("cohort"), np.random.default_rng(0)
    affine = np.array([[0, 0, 4, 0], [2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 1]], float)
    labels, records = [], []
    for i in range(12):
        image = rng.normal(300, 30, (32, 32, 4))
        image[8:24, 8:24] += 500 * (i % 2)
        write_image(folder / f"s{i:02d}" / f"s{i:02d}.nii.gz", image.astype(np.int16), affine)
        if i % 3 == 0:
            again = image + rng.normal(0, 60, image.shape)
            write_image(folder / f"s{i:02d}" / f"s{i:02d}b.nii.gz", again.astype(np.int16), affine)
        labels.append({"study_id": f"s{i:02d}", **dict.fromkeys(KNEE.codes, i % 2)})
        records.append({"study_id": f"s{i:02d}", "age": 20 + i})
    write_table(folder / "labels.csv", labels, ("study_id", *KNEE.codes))
    write_table(folder / "ehr.csv", records, ("study_id", "age"))
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pre")
    torch.manual_seed(0)
    encoder = OrthoEncoder(OrthoConfig(channels=(32, 16, 16, 16), time_channels=16))
    save_file({k: v.contiguous() for k, v in encoder.state_dict().items()}, folder / "encoder_sagittal.safetensors")
    return folder


@pytest.fixture
def finetune(studies):
    def go(*arguments, at=studies):
        return CliRunner().invoke(app, ["finetune", str(at), *map(str, arguments)])

    return go


def refused(done, *words):
    """One line on stderr, exit code 2, and nothing of a traceback."""
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    (line,) = done.stderr.splitlines()
    for word in ("error: ", *words):
        assert word in line


def test_a_probe_becomes_a_model_and_its_record_says_from_what(finetune, studies, weights, tmp_path):
    done = finetune("--task", "diagnose", "--probe", "--encoders", weights, "--out", tmp_path / "fit", "--ehr",
                    studies / "ehr.csv", "--label-fraction", 0.5, "--json", *SMALL)  # fmt: skip
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    info = open_bundle(told["model"]).info
    assert set(info.diagnosis.encoders) == {View.SAGITTAL}
    assert info.diagnosis.label_fraction == 0.5
    assert not info.diagnosis.from_scratch
    assert (pd.read_csv(told["metrics"]).stage == "fusion").sum() == len(KNEE.codes)
    run = json.loads((tmp_path / "fit/run.json").read_text())
    assert run["config"]["encoder_share"] == 0
    assert (run["label_fraction"], run["from_scratch"], run["device"], run["seed"]) == (0.5, False, "cpu", 0)
    assert run["counts"] == {"train": 5, "validation": 2}
    assert ["sha256" in item for item in run["inputs"]] == [False, True]
    assert len(run["starts"]["sagittal"]) == len(run["model"]["sha256"]) == 64
    assert run["started"] <= run["finished"]
    line = ["diagnose", studies, "--model", told["model"], "--out", tmp_path / "p.csv", "--device", "cpu", "--ehr",
            studies / "ehr.csv"]  # fmt: skip
    assert CliRunner().invoke(app, list(map(str, line))).exit_code == 0
    fitted, told_later = (
        pd.read_csv(path).set_index("study_id")[list(KNEE.codes)]
        for path in (tmp_path / "fit/validation.csv", tmp_path / "p.csv")
    )
    assert np.abs(told_later.loc[fitted.index] - fitted).to_numpy().max() < 0.01  # weights are kept as float16
    again = finetune("--task", "diagnose", "--probe", "--encoders", weights, "--out", tmp_path / "fit", *SMALL)
    refused(again, "already holds a run", "--resume")


def test_a_probe_of_a_shipped_model_on_its_own_joint_joins_it(finetune, tmp_path):
    line = ("--task", "diagnose", "--probe", "--encoders", "knee-small", "--head", "mean", "--region", 4, 32, 32)
    done = finetune(*line, "--view", "sagittal", "--device", "cpu", "--out", tmp_path / "fit")
    assert done.exit_code == 0, done.output
    made = json.loads((tmp_path / "fit/my-model/model.json").read_text())
    assert made["grid"]["min_slice_mm"] == 2.4
    assert "segment" in made["heads"]


def test_a_diagnosis_is_added_to_a_bundle_whose_masks_stay(finetune, weights, bundle, tmp_path):
    line = ("--task", "diagnose", "--probe", "--encoders", weights, "--into", bundle.path, *SMALL)
    refused(finetune(*line, "--out", tmp_path / "a"), "tiny reads pixels of 1 mm, not 2 mm", "--pixel-mm 1")
    assert not (tmp_path / "a").exists()
    done = finetune(*line, "--out", tmp_path / "b", "--pixel-mm", 1)
    assert done.exit_code == 0, done.output
    info = open_bundle(tmp_path / "b/my-model").info
    assert info.tasks == ["segment", "diagnose"]
    assert info.grid == bundle.info.grid
    assert info.sha256["segment.safetensors"] == bundle.info.sha256["segment.safetensors"]
    refused(finetune(*line[:-2], "--into", tmp_path / "none", "--out", tmp_path / "c"), "no model")


def test_maps_that_look_closer_go_on_to_without_being_told(finetune, weights, tmp_path):
    line = ("--task", "diagnose", "--probe", *SMALL, "--head", "evidence", "--region", 4, 16, 16)
    done = finetune(*line, "--encoders", weights, "--detail", 2, "--out", tmp_path / "a")
    assert done.exit_code == 0, done.output
    done = finetune(*line, "--encoders", tmp_path / "a/my-model", "--out", tmp_path / "b")
    assert done.exit_code == 0, done.output
    first, second = (open_bundle(tmp_path / f"{run}/my-model") for run in "ab")
    assert first.info.diagnosis.region.detail == second.info.diagnosis.region.detail == 2
    key = "heads.sagittal.read_image.enter.weight"
    assert torch.equal(first.diagnoser().state_dict()[key], second.diagnoser().state_dict()[key])


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (("--steps", 9), "--steps is for training from masks or a bank"),
        (("--crop", 4, 32, 32), "--crop is for training"),
        (("--workers", 3), "--workers does nothing"),
        (("--epochs", 3), "--epochs does nothing with --probe"),
        (("--learning-rate", 0.1), "--learning-rate does nothing with --probe"),
        (("--head", "skip_segment"), "is a head to segment"),
        (("--fusion", "gatin"), "no fusion is called 'gatin'"),
        (("--preset", "tinny"), "has no preset 'tinny'"),
        (("--region", 4, 30, 32), "4 x 30 x 32 cannot be read"),
        (("--region", 0, 32, 32), "0 x 32 x 32 cannot be read"),
        (("--label-fraction", 1.5), "label fraction of 1.5"),
        (("--from-scratch",), "--encoders FOLDER or --from-scratch"),
        (("--detail", 2), "cannot look 2 times closer"),
        (("--focus", 0.5), "--focus is for training from masks or a bank"),
        (("--focus-label", "MM"), "--focus-label needs --focus"),
        (("--hold-out-center", "Z"), "no study is of center 'Z'"),
    ],
)
def test_what_would_do_nothing_or_cannot_be_done_is_refused(finetune, weights, tmp_path, more, word):
    done = finetune("--task", "diagnose", "--probe", "--encoders", weights, "--out", tmp_path, "--quiet", *SMALL, *more)
    refused(done, word)


def test_options_of_a_diagnosis_are_refused_where_masks_are_learned(finetune, weights, tmp_path):
    for option in (
        ("--labels", "x.csv"),
        ("--into", "knee-small"),
        ("--epochs", 2),
        ("--detail", 2),
        ("--focus", 0.5),
    ):
        refused(finetune("--encoders", weights, "--view", "sagittal", "--out", tmp_path, *option), option[0])
    refused(finetune("--encoders", weights, "--view", "sagittal", "--out", tmp_path, "--validate-every", 5),
            "--validate-every needs --validation")  # fmt: skip


def test_encoders_of_another_size_are_one_line(finetune, weights, tmp_path):
    done = finetune("--task", "diagnose", "--probe", "--encoders", weights, "--out", tmp_path, "--quiet", *SMALL,
                    "--preset", "small", "--cache", tmp_path / "cache")  # fmt: skip
    refused(done, "encoder_sagittal.safetensors")
    assert not (tmp_path / "options.json").exists()  # the next try is no other run


def test_a_validation_cohort_needs_labels(finetune, studies, weights, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "s90.nii.gz").write_bytes((studies / "s01/s01.nii.gz").read_bytes())
    line = ("--task", "diagnose", "--probe", "--encoders", weights, "--validation", alone, *SMALL)
    refused(finetune(*line, "--out", tmp_path / "a", "--quiet"), "no labels.csv beside")
    refused(finetune(*line, "--out", tmp_path / "b", "--validation-share", 0.1), "does nothing with --validation")


def test_encoders_that_would_not_learn_are_a_probe_and_called_so(finetune, weights, tmp_path):
    line = ("--task", "diagnose", "--encoders", weights, "--encoder-share", 0, *SMALL, "--out", tmp_path / "a")
    refused(finetune(*line), "--encoder-share 0 leaves the encoders as they are", "--probe")


def test_a_healthy_bank_teaches_no_lesions(finetune, knee, weights, tmp_path):
    write_bank(tmp_path / "bank", anatomies=1, anatomy=lambda rng: knee)
    done = finetune("--task", "diagnose", "--encoders", weights, "--preset", "tiny", "--view", "sagittal", "--out",
                    tmp_path / "fit", "--device", "cpu", at=tmp_path / "bank")  # fmt: skip
    refused(done, "lesions.npy: missing", "--lesions")


def test_a_bank_can_be_looked_at_where_it_is_torn(finetune, weights, torn_bank, tmp_path):
    line = ("--task", "diagnose", "--probe", "--encoders", weights, "--preset", "tiny", "--view", "sagittal", "--crop",
            4, 32, 32, "--steps", 2, "--workers", 0, "--device", "cpu")  # fmt: skip
    done = finetune(*line, "--out", tmp_path / "a", "--focus", 1, "--focus-label", "MM", at=torn_bank)
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "a/run.json").read_text())["config"]["focus"] == [1.0, ["MM"]]
    refused(finetune(*line, "--out", tmp_path / "b", "--focus", 1, "--focus-label", "LM", at=torn_bank),
            "0 of 4 knees have LM", "--focus-label")  # fmt: skip


def test_masks_and_maps_of_a_bank_become_a_diagnosis_that_reads_structures(finetune, weights, torn_bank, tmp_path):
    line = ("--task", "diagnose", "--preset", "tiny", "--view", "sagittal", "--pixel-mm", 2, "--device", "cpu")
    done = finetune(*line, "--encoders", weights, "--crop", 4, 32, 32, "--steps", 2, "--workers", 0, "--out",
                    tmp_path / "a", at=torn_bank)  # fmt: skip
    assert done.exit_code == 0, done.output
    line = (*line, "--probe", "--region", 4, 32, 32)
    done = finetune(*line, "--encoders", tmp_path / "a/my-model", "--head", "anatomy", "--out", tmp_path / "b")
    assert done.exit_code == 0, done.output
    config = open_bundle(tmp_path / "b/my-model").info.diagnosis.diagnoser
    assert (config.head, config.head_config.pixel_mm) == ("anatomy", 2)
    done = finetune(*line, "--encoders", tmp_path / "b/my-model", "--out", tmp_path / "c")  # goes on with its head
    assert done.exit_code == 0, done.output
    first, second = (open_bundle(tmp_path / f"{run}/my-model").diagnoser().state_dict() for run in "bc")
    for key in ("heads.sagittal.segment.coarse.weight", "heads.sagittal.out.weight"):
        assert torch.equal(first[key], second[key]), key
    refused(finetune(*line, "--encoders", weights, "--head", "anatomy", "--out", tmp_path / "d"),
            "needs evidence.safetensors in", "--task diagnose")  # fmt: skip


def test_a_bank_goes_on_with_the_maps_and_structures_of_a_diagnosis(finetune, weights, torn_bank, tmp_path):
    line = ("--task", "diagnose", "--preset", "tiny", "--view", "sagittal", "--pixel-mm", 2, "--device", "cpu")
    bank = (*line, "--crop", 4, 32, 32, "--workers", 0, "--learning-rate", 1e-7)
    done = finetune(*bank, "--encoders", weights, "--steps", 2, "--out", tmp_path / "a", at=torn_bank)
    assert done.exit_code == 0, done.output
    done = finetune(*line, "--probe", "--region", 4, 32, 32, "--encoders", tmp_path / "a/my-model", "--head", "anatomy",
                    "--into", tmp_path / "a/my-model", "--out", tmp_path / "b")  # fmt: skip
    assert done.exit_code == 0, done.output
    whole = tmp_path / "b/my-model"
    done = finetune(*bank, "--encoders", whole, "--steps", 1, "--seed", 9, "--out", tmp_path / "c", at=torn_bank)
    assert done.exit_code == 0, done.output
    before, after = open_bundle(whole).diagnoser().state_dict(), open_bundle(tmp_path / "c/my-model")
    for part, prefix in (("evidence", ""), ("segment", "segment.")):
        for key, found in after.head(part).state_dict().items():
            if key.split(".")[0] not in DiagnoseHead.fitted:
                torch.testing.assert_close(found, before[f"heads.sagittal.{prefix}{key}"], atol=2e-3, rtol=2e-3)
    assert "begins from noise" not in done.output
    done = finetune(*bank, "--encoders", whole, "--steps", 1, "--detail", 2, "--out", tmp_path / "d", at=torn_bank)
    assert done.exit_code == 0, done.output
    assert "'evidence' begins from noise" in done.output
    kept = open_bundle(tmp_path / "d/my-model").head("segment").state_dict()["coarse.weight"]
    torch.testing.assert_close(kept, before["heads.sagittal.segment.coarse.weight"], atol=2e-3, rtol=2e-3)
    other = finetune(*bank, "--encoders", whole, "--steps", 1, "--out", tmp_path / "e", torn_bank, at=torn_bank)
    refused(other, "one bank alone")
