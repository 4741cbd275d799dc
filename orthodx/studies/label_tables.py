"""What the values of masks mean, as viewers read it: colour tables beside masks, names in their headers.

Names and colours are those of the joint; no study is read, so nothing in here tells of a patient.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nibabel.nifti1 import Nifti1Extension

from orthodx.joints import Joint
from orthodx.studies.writing import atomic

LABEL_TABLES = ("labels.ctbl", "labels.label", "dseg.tsv")
CARET = 30  # NIfTI extension code of label tables (Connectome Workbench); others read over it
_ITK_SNAP = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
"""


def write_label_tables(folder: Path, joint: Joint) -> None:
    """Write `LABEL_TABLES`: for 3D Slicer, for ITK-SNAP, and BIDS's own; each atomically."""
    for name, text in zip(LABEL_TABLES, (_slicer(joint), _itk_snap(joint), _bids(joint)), strict=True):
        with atomic(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")


def label_extension(joint: Joint) -> Nifti1Extension:
    """Value, name and colour of each structure, as the label table of a NIfTI header (CaretExtension XML)."""
    rows = ['<Label Key="0" Red="0" Green="0" Blue="0" Alpha="0"><![CDATA[background]]></Label>']
    for value, name, colour in _rows(joint):
        red, green, blue = (f"{part / 255:.4f}" for part in colour)
        keys = f'Key="{value}" Red="{red}" Green="{green}" Blue="{blue}" Alpha="1"'
        rows.append(f"<Label {keys}><![CDATA[{name}]]></Label>")
    table = "<LabelTable>\n" + "\n".join(rows) + "\n</LabelTable>"
    kind = "<VolumeType><![CDATA[Label]]></VolumeType>"
    body = f'<CaretExtension>\n<VolumeInformation Index="0">\n{table}\n{kind}\n</VolumeInformation>\n</CaretExtension>'
    return Nifti1Extension(CARET, f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'.encode())


def rgb(colour: str) -> tuple[int, int, int]:
    """#rrggbb as 0 to 255 each."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def _rows(joint: Joint) -> Iterator[tuple[int, str, tuple[int, int, int]]]:
    for s in sorted(joint.structures, key=lambda s: s.value):
        yield s.value, s.name, rgb(s.colour)


def _slicer(joint: Joint) -> str:
    """Fields are parted by blanks, so names have none."""
    rows = [f"{value} {name.replace(' ', '_')} {r} {g} {b} 255" for value, name, (r, g, b) in _rows(joint)]
    return "\n".join(["# Color table file labels.ctbl", "0 background 0 0 0 0", *rows, ""])


def _itk_snap(joint: Joint) -> str:
    rows = [f'{value:5d}  {r:4d} {g:4d} {b:4d}        1  1  1    "{name}"' for value, name, (r, g, b) in _rows(joint)]
    return _ITK_SNAP + "\n".join(['    0     0    0    0        0  0  0    "Clear Label"', *rows, ""])


def _bids(joint: Joint) -> str:
    rows = [f"{s.value}\t{s.name}\t{s.colour.upper()}" for s in sorted(joint.structures, key=lambda s: s.value)]
    return "\n".join(["index\tname\tcolor", "0\tbackground\t#000000", *rows, ""])
