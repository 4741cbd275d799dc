"""A bundle is whole or it is refused by name."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from orthodx.bundles.bundle import open_bundle, shipped_names, verify
from orthodx.errors import BundleError
from orthodx.joints import View
from orthodx.studies.run_record import sha256


def copy(bundle, tmp_path):
    return shutil.copytree(bundle.path, tmp_path / "copy")


def rewrite(folder, file, change, rehash=True):
    tensors = load_file(folder / file)
    change(tensors)
    save_file(tensors, folder / file)
    if rehash:
        info = json.loads((folder / "model.json").read_text())
        info["sha256"][file] = sha256(folder / file)
        (folder / "model.json").write_text(json.dumps(info))


def test_a_whole_bundle_verifies_and_keeps_its_weights(bundle):
    assert len(verify(bundle)) == 4
    encoder, again = bundle.encoder(View.AXIAL), bundle.encoder(View.AXIAL)
    x = torch.randn(1, 1, 4, 16, 16)
    assert torch.equal(encoder.features(x)["mid"], again.features(x)["mid"])
    assert all(p.dtype == torch.float32 for p in encoder.parameters())


def _nan(t):
    t[min(t)] = torch.full_like(t[min(t)], float("nan"))


def _lost(t):
    del t[min(t)]


def _more(t):
    t["zzz"] = torch.zeros(1)


def _shape(t):
    t[min(t)] = torch.zeros(3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [(_nan, "NaN"), (_lost, "lacks tensor"), (_more, "unknown tensor 'zzz'"), (_shape, r"is \(3,\)")],
)
def test_wrong_tensors_are_named(bundle, tmp_path, change, reason):
    folder = copy(bundle, tmp_path)
    rewrite(folder, "encoder_axial.safetensors", change)
    with pytest.raises(BundleError, match=reason):
        verify(open_bundle(folder))


def test_altered_missing_and_hostile_files_are_refused(bundle, tmp_path):
    folder = copy(bundle, tmp_path)
    rewrite(folder, "segment.safetensors", lambda t: t[min(t)].add_(1), rehash=False)
    with pytest.raises(BundleError, match="SHA-256"):
        open_bundle(folder).head("segment")
    (folder / "segment.safetensors").unlink()
    with pytest.raises(BundleError, match="missing"):
        open_bundle(folder).head("segment")
    info = json.loads((folder / "model.json").read_text())
    info["heads"]["segment"]["file"] = "../../etc/passwd"
    (folder / "model.json").write_text(json.dumps(info))
    with pytest.raises(BundleError, match="leads out"):
        open_bundle(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(BundleError, match="not a model description"):
        open_bundle(folder)


def test_a_truncated_part_with_a_matching_hash_is_still_refused(bundle, tmp_path):
    folder = copy(bundle, tmp_path)
    part = folder / "segment.safetensors"
    part.write_bytes(part.read_bytes()[:100])
    info = json.loads((folder / "model.json").read_text())
    info["sha256"]["segment.safetensors"] = sha256(part)
    (folder / "model.json").write_text(json.dumps(info))
    with pytest.raises(BundleError, match="not a safetensors file"):
        open_bundle(folder).head("segment")


def test_an_unknown_model_lists_the_shipped_ones():
    with pytest.raises(BundleError) as caught:
        open_bundle("knee-smal")
    assert "knee-small" in caught.value.hint


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_bundles_are_whole_small_and_described(name):
    bundle = open_bundle(name)
    verify(bundle)
    size = sum(p.stat().st_size for p in bundle.path.iterdir() if p.suffix == ".safetensors")
    assert size < 50e6  # two sets of three encoders: masks and diagnosis
    assert bundle.info.licence.startswith("CC BY-SA 4.0")
    assert bundle.info.training
    assert (bundle.path / "MODEL_CARD.md").is_file()
