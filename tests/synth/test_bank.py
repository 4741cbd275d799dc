"""Banks: healthy knees as a source of further cohorts, injured ones as truth for training."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.errors import UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.bank import write_bank
from orthodx.synth.knee import SYNTHETIC
from orthodx.synth.source import SyntheticSource


@pytest.fixture(scope="module")
def healthy(knee, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bank")
    AnatomyBank(folder).add("knee", knee)
    return folder


@pytest.fixture(scope="module")
def injured(healthy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("injured")
    write_bank(folder, anatomies=3, seed=5, anatomy=AnatomyBank(healthy), lesions=True, prevalence=1.0)
    return folder


def test_a_bank_of_injured_knees_holds_what_was_painted(knee, injured):
    bank = AnatomyBank(injured)
    assert bank.injured
    assert len(bank) == 3
    for i in range(3):
        patient = SYNTHETIC.patient_of(5, i, list(SYNTHETIC.protocols)[i], 1.0)
        painted, mask = SYNTHETIC.paint(knee, patient.lesions)
        np.testing.assert_array_equal(bank[i][0], painted.tissues)
        np.testing.assert_array_equal(bank.lesions(i), mask)


def test_lesions_lie_where_structures_and_image_say(injured):
    sources = {
        what: SyntheticSource(AnatomyBank(injured), GridSpec(), crop=(16, 112, 112), seed=3, truth=what)
        for what in ("structures", "lesions", "both")
    }
    marked = 0
    for i in range(6):
        image, both = sources["both"][i, View.SAGITTAL]
        for part, what in zip(both, ("structures", "lesions"), strict=True):
            same, truth = sources[what][i, View.SAGITTAL]
            assert torch.equal(image, same)
            assert torch.equal(part, truth)
        marked += int((both[1] > 0).sum())
    assert marked > 0


def test_healthy_and_injured_knees_do_not_mix(healthy, injured, knee, tmp_path):
    with pytest.raises(UsageError, match="healthy"):
        write_bank(healthy, anatomies=1, anatomy=lambda rng: knee, lesions=True)
    with pytest.raises(UsageError, match="injured"):
        write_bank(injured, anatomies=1, anatomy=lambda rng: knee)
    with pytest.raises(UsageError, match="lesions already"):
        AnatomyBank(injured)(np.random.default_rng(0))
    with pytest.raises(UsageError, match=r"lesions\.npy: missing"):
        SyntheticSource(AnatomyBank(healthy), GridSpec(), truth="lesions")[0, View.AXIAL]
    with pytest.raises(UsageError, match="from a bank"):
        SyntheticSource([(knee.tissues, knee.affine)], GridSpec(), truth="both")


def test_the_command_draws_from_a_bank(healthy, tmp_path):
    run = CliRunner().invoke(
        app, ["synth", str(tmp_path / "out"), "--bank", "--lesions", "-n", "2", "--anatomy", str(healthy)]
    )
    assert run.exit_code == 0, run.output
    assert len(AnatomyBank(tmp_path / "out")) == 2
    run = CliRunner().invoke(app, ["synth", str(tmp_path / "b"), "--anatomy", str(healthy), "--map", "x"])
    assert run.exit_code == 2
    assert "is a bank" in run.output
    for option in (("--center", "Outpost"), ("--format", "dicom")):
        run = CliRunner().invoke(app, ["synth", str(tmp_path / "c"), "--bank", *option])
        assert run.exit_code == 2
        assert f"{option[0]} is for studies" in run.output


def test_several_processes_write_the_same_files(healthy, tmp_path):
    for kind in ((), ("--bank",)):
        folders = [tmp_path / f"{workers}{''.join(kind)}" for workers in (1, 2)]
        for folder, workers in zip(folders, "12", strict=True):
            line = ["synth", str(folder), "--lesions", "-n", "2", "--anatomy", str(healthy), "--seed", "5", *kind]
            run = CliRunner().invoke(app, [*line, "--workers", workers])
            assert run.exit_code == 0, run.output
        one, two = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders)
        assert one.keys() == two.keys()
        assert [path for path in one if one[path] != two[path]] == []
