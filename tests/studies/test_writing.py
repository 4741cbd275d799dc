"""A write happens wholly or not at all."""

import pytest

from orthodx.studies.metadata import field_strength, vendor
from orthodx.studies.writing import atomic


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    target = tmp_path / "deep/file.txt"
    with atomic(target) as temporary:
        temporary.write_text("old")

    def half():
        with atomic(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        half()
    assert target.read_text() == "old"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize(
    ("raw", "frequency", "tesla"),
    [("3", None, 3.0), ("1.4939999580383", None, 1.5), ("0.3", None, 0.3), ("15000", 63.87, 1.5),
     ("15000", 63_870_000, 1.5), ("2000", 85.15, 2.0), ("2000", None, None), ("", None, None)],
)  # fmt: skip
def test_field_strength_is_read_by_rule(raw, frequency, tesla):
    assert field_strength(raw, frequency) == tesla


def test_vendors_have_one_name():
    assert vendor("GE MEDICAL SYSTEMS") == "GE"
    assert vendor("Philips Medical Systems") == "Philips"
    assert vendor("United Imaging Healthcare") == vendor("UIH") == "United Imaging"
    assert vendor("General Electric Company") == "GE"
    assert vendor("Gertrude's garage") == "unknown"


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), OSError("4096 requested and 12 written"),
     RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")],
)  # fmt: skip
def test_a_full_disk_is_told_of_the_file_that_was_to_be_written(tmp_path, error):
    with pytest.raises(OSError, match="No space left") as caught, atomic(tmp_path / "image.nii.gz"):
        raise error
    assert caught.value.filename == str(tmp_path / "image.nii.gz")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, atomic(tmp_path / "copy"):
        (tmp_path / "absent").read_bytes()
    assert caught.value.filename == str(tmp_path / "absent")
