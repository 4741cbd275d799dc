"""Released checkpoints are read exactly, and nothing else is read at all."""

import os

import pytest
import torch
from typer.testing import CliRunner

from orthodx.bundles.bundle import open_bundle, verify
from orthodx.bundles.released import import_released, read_checkpoint
from orthodx.cli.app import app
from orthodx.errors import BundleError, UsageError
from orthodx.joints import View
from orthodx.networks.encoders.published import PublishedConfig, PublishedEncoder


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(1)
    return {k: torch.randn_like(v) * 0.02 for k, v in PublishedEncoder(PublishedConfig()).state_dict().items()}


def released(path, weights, prefix="denoise_fn.", ema=True, **extra):
    """A file as the authors release it, schedule buffers included."""
    state = {prefix + k: v for k, v in weights.items()} | {"betas": torch.linspace(0, 1, 1000)}
    other = {prefix + "out.2.bias": torch.full((1,), 9.0)}  # short: had it been read, names would lack
    content = {"step": 21500, "model": other if ema else state, "opt": {"state": {}, "param_groups": []}}
    torch.save(content | ({"ema": state} if ema else {}) | extra, path)
    return path


def test_three_checkpoints_become_a_bundle_with_equal_features(weights, tmp_path):
    prefixes = {"sagittal": "denoise_fn.", "coronal": "denoise_fn.module.", "axial": "denoise_fn."}
    files = [f"{v}={released(tmp_path / f'{v}.pt', weights, p)}" for v, p in prefixes.items()]
    result = CliRunner().invoke(app, ["models", "import", *files, "-o", str(tmp_path / "bundle"), "--name", "mine"])
    assert result.exit_code == 0, result.output
    bundle = open_bundle(tmp_path / "bundle")
    assert len(verify(bundle)) == 3
    assert bundle.info.name == "mine"
    assert bundle.info.training[0]["weights"] == "ema"
    assert bundle.info.training[0]["step"] == 21500
    truth = PublishedEncoder(PublishedConfig()).eval()
    truth.load_state_dict(weights)
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        assert torch.equal(bundle.encoder(View.CORONAL).features(x, 100)["mid_2"], truth.features(x, 100)["mid_2"])


def test_without_averaged_weights_the_plain_ones_are_taken(weights, tmp_path):
    tensors, which, _ = read_checkpoint(released(tmp_path / "a.pt", weights, ema=False))
    assert which == "model"
    assert torch.equal(tensors["out.2.bias"], weights["out.2.bias"])


class Hostile:
    def __reduce__(self):
        return os.mkdir, (os.environ["HOSTILE_TARGET"],)


def test_code_in_a_checkpoint_never_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOSTILE_TARGET", str(tmp_path / "pwned"))
    torch.save({"ema": {"denoise_fn.x": Hostile()}}, tmp_path / "bad.pt")
    with pytest.raises(BundleError, match=r"bad\.pt"):
        read_checkpoint(tmp_path / "bad.pt")
    assert not (tmp_path / "pwned").exists()


def spoiled(weights, name, value):
    return {**weights, name: value}


FAULTS = {
    "lacks tensor": lambda w: {k: v for k, v in w.items() if k != "out.2.bias"},
    "unknown tensor": lambda w: spoiled(w, "extra.weight", torch.zeros(1)),
    r"is \(2,\), not \(1,\)": lambda w: spoiled(w, "out.2.bias", torch.zeros(2)),
    "NaN": lambda w: spoiled(w, "out.2.bias", torch.tensor([float("nan")])),
    "claims more": lambda w: spoiled(w, "out.0.weight", torch.zeros(1).expand(64)),
    "plain floating": lambda w: spoiled(w, "out.2.bias", torch.zeros(1, dtype=torch.long)),
    "plain floating-point": lambda w: spoiled(w, "out.2.bias", torch.zeros(1).to_sparse()),
    "no tensor": lambda w: spoiled(w, "out.2.bias", 3.0),
}


@pytest.mark.parametrize("reason", FAULTS)
def test_wrong_tensors_are_refused_by_name(weights, tmp_path, reason):
    path = released(tmp_path / "a.pt", FAULTS[reason](weights))
    with pytest.raises(BundleError, match=rf"a\.pt.*{reason}"):
        import_released({View.AXIAL: path}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_checkpoint_are_refused_by_name(weights, tmp_path):
    whole = released(tmp_path / "a.pt", weights).read_bytes()
    cases = {"cut.pt": whole[: len(whole) // 2], "text.pt": b"hello", "empty.pt": b""}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BundleError, match=name):
            read_checkpoint(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(BundleError, match="neither"):
        read_checkpoint(tmp_path / "list.pt")
    torch.save({"ema": {"other.weight": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(BundleError, match="denoise_fn"):
        read_checkpoint(tmp_path / "other.pt")
    with pytest.raises(BundleError, match="missing"):
        read_checkpoint(tmp_path / "nowhere.pt")


def test_a_bundle_is_never_written_over_and_views_are_named_once(weights, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/model.json").write_text("{}")
    with pytest.raises(UsageError, match="not empty"):
        import_released({}, tmp_path / "out")
    for wrong in (["a.pt"], ["sideways=a.pt"], ["axial=a.pt", "axial=b.pt"]):
        result = CliRunner().invoke(app, ["models", "import", *wrong, "--out", str(tmp_path / "new")])
        assert result.exit_code == 2
