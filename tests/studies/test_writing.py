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
