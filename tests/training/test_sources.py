"""Banks, studies, and both together as one source of samples."""

import csv
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.errors import NoInputError, UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.training.source_contents import identity, left_out_of, refuse_shared
from orthodx.training.sources import Mixture, open_source

SPEC, CROP = GridSpec(), (4, 32, 32)


@pytest.fixture
def bank(tmp_path, knee):
    AnatomyBank(tmp_path / "bank").add("knee", Anatomy(knee.tissues, knee.affine, knee.side, "test"))
    return tmp_path / "bank"


def opened(*studies, **more):
    return open_source(studies, SPEC, CROP, 3, joint=KNEE, truth=more.pop("truth", False), **more)


class Named:
    def __init__(self, name):
        self.name = name

    def __getitem__(self, key):
        return self.name


@pytest.mark.parametrize("shares", [(0.25, 0.75), (1, 3)])
def test_sources_are_drawn_by_their_shares_and_by_the_number_of_the_sample_alone(shares):
    both = Mixture([Named("a"), Named("b")], shares, seed=1)
    drawn = [both[i, View.AXIAL] for i in range(2000)]
    assert drawn.count("a") / 2000 == pytest.approx(0.25, abs=0.03)
    assert drawn == [both[i, View.AXIAL] for i in range(2000)]
    assert drawn != [both[i, View.CORONAL] for i in range(2000)]
    assert drawn != [Mixture([Named("a"), Named("b")], shares, seed=2)[i, View.AXIAL] for i in range(2000)]


def test_a_sample_of_a_mixture_is_that_of_its_source(bank, cohort):
    both, alone, scans = opened(bank, cohort), opened(bank), opened(cohort)
    key, found = View.SAGITTAL, set()
    for i in range(12):
        image = both[i, key][0]
        pair = [torch.equal(image, one[i, key][0]) for one in (alone, scans)]
        assert sum(pair) == 1
        found.add(pair.index(True))
    assert found == {0, 1}


def test_banks_count_by_their_anatomies_and_studies_by_what_is_left(bank, cohort, tmp_path, knee):
    for name in "ab":
        AnatomyBank(tmp_path / "two").add(name, Anatomy(knee.tissues, knee.affine, knee.side, "test"))
    assert list(opened(bank, tmp_path / "two").shares) == [1, 2]
    assert list(opened(bank, cohort, tmp_path / "two", bank_share=0.3).shares) == pytest.approx([0.1, 0.2, 0.7])
    assert list(opened(cohort, bank).shares) == [0.5, 0.5]


def test_masks_of_studies_and_of_banks_are_learned_together(bank, cohort):
    source = opened(bank, cohort, truth=True)
    for part in source.sources:
        assert any(int(part[i, View.CORONAL][1].max()) > 0 for i in range(12))


def test_what_does_not_fit_together_is_refused(bank, cohort):
    for studies in ((bank,), (cohort,), (bank, bank)):
        with pytest.raises(UsageError, match="--bank-share"):
            opened(*studies, bank_share=0.5)
    for studies in ((bank, bank), (bank, cohort), (cohort,)):
        with pytest.raises(UsageError, match="one bank alone"):
            opened(*studies, truth=True, what="lesions")


def test_a_view_that_no_study_has_is_refused_before_anything_is_trained(bank, cohort):
    scans = opened(cohort)
    scans.items[View.AXIAL].clear()
    with pytest.raises(UsageError, match="no axial series"):
        scans.refuse_without([View.SAGITTAL, View.AXIAL])
    image = next(cohort.rglob("*sag*.nii.gz"))
    with pytest.raises(UsageError, match="no coronal series"):
        opened(bank, image, views=[View.CORONAL])
    assert opened(bank, image, views=[View.SAGITTAL])


def test_every_input_counts_or_is_told(bank, cohort, tmp_path):
    for wrong in (tmp_path / "cohrt", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(NoInputError, match=wrong.name):
            opened(bank, cohort, wrong)
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed/broken.nii.gz").write_bytes(b"junk")
    shutil.copy(next(cohort.rglob("*sag*.nii.gz")), tmp_path / "mixed/a.nii.gz")
    (one,) = left_out_of(opened(bank, tmp_path / "mixed"))
    assert "broken.nii.gz: not a whole NIfTI image" in one.line
    assert left_out_of(opened(bank, cohort)) == left_out_of(opened(bank)) == []


def test_masks_are_found_beside_every_input(cohort, tmp_path):
    shutil.copytree(cohort, tmp_path / "other")
    alone, both = opened(cohort, truth=True), opened(cohort, tmp_path / "other", truth=True)
    assert [len(both.items[v]) for v in View] == [2 * len(alone.items[v]) for v in View]
    shutil.rmtree(tmp_path / "other/truth")
    with pytest.raises(UsageError, match=r"no masks for the series of .*other"):
        opened(cohort, tmp_path / "other", truth=True)


def test_a_source_is_known_by_what_is_in_it(bank, cohort, tmp_path, knee):
    AnatomyBank(tmp_path / "b").add("other", Anatomy(knee.tissues, knee.affine, knee.side, "test"))
    sources = [(bank,), (tmp_path / "b",), (cohort,), (bank, cohort), (tmp_path / "b", cohort)]
    assert len({identity(opened(*one)) for one in sources}) == len(sources)
    shutil.copytree(bank, tmp_path / "elsewhere")
    assert identity(opened(tmp_path / "elsewhere", cohort)) == identity(opened(bank, cohort))


def test_with_masks_a_source_is_known_by_what_its_files_hold(cohort, tmp_path):
    shutil.copytree(cohort, tmp_path / "other")
    one, two = (opened(folder, truth=True) for folder in (cohort, tmp_path / "other"))
    assert identity(one) == identity(two)
    mask = next((tmp_path / "other/truth").glob("*.nii.gz"))
    drawn = nib.load(mask)
    nib.save(nib.Nifti1Image(np.zeros(drawn.shape, np.uint8), drawn.affine), mask)
    assert identity(opened(tmp_path / "other", truth=True)) != identity(one)
    assert identity(opened(tmp_path / "other")) == identity(opened(cohort))  # pretraining knows images by their names


def test_validation_shares_nothing_with_training(bank, cohort, tmp_path, knee):
    with pytest.raises(UsageError, match=r"study '.*' is in training and in validation"):
        refuse_shared(opened(bank, cohort, truth=True), opened(cohort, truth=True))
    (name,) = AnatomyBank(bank).names
    with pytest.raises(UsageError, match=f"anatomy '{name}' is in training and in validation"):
        refuse_shared(opened(bank, cohort, truth=True), opened(bank, truth=True))
    turned = Anatomy(knee.tissues[::-1].copy(), knee.affine, knee.side, "test")
    AnatomyBank(tmp_path / "b").add(name, turned)  # the same name is not the same anatomy
    refuse_shared(opened(bank, cohort, truth=True), opened(tmp_path / "b", truth=True))


def test_pretraining_reads_banks_and_studies_and_resumes_with_the_same_only(tmp_path, bank, cohort, monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(8, 8, 8, 8), time_channels=8))
    line = ["pretrain", bank, cohort, "--view", "coronal", "--preset", "tiny", "--steps", 2, "--batch", 1,
            "--workers", 0, "--device", "cpu", "--out", tmp_path / "out"]  # fmt: skip

    def run(*more):
        return CliRunner().invoke(app, [str(word) for word in (*line, *more)], catch_exceptions=False)

    assert run("--bank-share", 0.4, "--crop", 4, 32, 32).exit_code == 0
    config = json.loads((tmp_path / "out/run.json").read_text())["config"]
    assert (config["bank_share"], config["crop"], config["pixel_mm"]) == (0.4, [4, 32, 32], 1.0)
    with (tmp_path / "out/metrics.csv").open() as file:
        assert float(list(csv.DictReader(file))[-1]["loss"]) > 0
    line[1] = tmp_path / "another"
    AnatomyBank(line[1]).add("b", AnatomyBank(bank)(np.random.default_rng(0)))
    other = run("--bank-share", 0.6, "--crop", 4, 48, 48, "--resume")
    assert other.exit_code != 0
    assert "other options (bank_share, crop, data)" in " ".join(other.output.split())


def test_masks_of_a_bank_and_of_studies_are_fine_tuned_on_and_resumed_with_the_same_only(
    tmp_path, bank, cohort, monkeypatch
):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(8, 8, 8, 8), time_channels=8))
    line = ["finetune", bank, cohort, "--view", "axial", "--preset", "tiny", "--steps", 2, "--batch", 1,
            "--from-scratch", "--workers", 0, "--device", "cpu", "--out", tmp_path / "out"]  # fmt: skip

    def run(*more):
        return CliRunner().invoke(app, [str(word) for word in (*line, *more)], catch_exceptions=False)

    done = run("--bank-share", 0.4, "--crop", 4, 32, 32)
    assert done.exit_code == 0, done.output
    other = run("--bank-share", 0.6, "--crop", 4, 48, 48, "--pixel-mm", 2, "--resume")
    assert other.exit_code != 0
    assert "other options (bank_share, crop, pixel_mm)" in " ".join(other.output.split())
