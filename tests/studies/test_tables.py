"""Tables as people make them are read, or refused by file, row and column; what is written comes back as it was."""

import csv
import os
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orthodx.errors import StudyError
from orthodx.studies.tables import MOST_CELL, read_table, write_table

KNOWN = ("study_id", "patient_id")


@pytest.fixture
def table(tmp_path):
    def write(text, coding="utf-8"):
        path = tmp_path / "t.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode(coding))
        return path

    return write


def cells(path):
    found = read_table(path, KNOWN)
    return list(found.columns), found.to_numpy().tolist()


PLAIN = (["study_id", "ACL"], [["S1", "1"], ["S2", ""]])


@pytest.mark.parametrize(
    "text",
    [
        "study_id,ACL\nS1,1\nS2,\n",
        "study_id,ACL\nS1,1,\nS2,,\n",  # commas behind the rows only
        "study_id,ACL,,\nS1,1,,\nS2,,,\n",  # and behind the header
        "study_id,ACL\nS1,1\nS2\n",  # a row that ends early
        "study_id;ACL\nS1;1\nS2;\n",
        "study_id\tACL\nS1\t1\nS2\t\n",
        "study_id|ACL\nS1|1\nS2|\n",
        "sep=;\nstudy_id;ACL\nS1;1\nS2;\n",  # Excel's own first line
        "Study_ID,ACL\nS1,1\nS2,\n",
        '"Study ID", ACL\n"S1", "1"\nS2,\n',
        "STUDYID,ACL\r\nS1,1\r\nS2,\r\n",
        "study-id,ACL\rS1,1\rS2,\r",  # an old Mac
        "\n\nstudy_id,ACL\nS1,1\n,\n\nS2,\n,\n",
        ",study_id,ACL\n0,S1,1\n1,S2,\n",  # pandas with its index
        '"","study_id","ACL"\n"a","S1","1"\n"b","S2",""\n',  # R with its row names
        "\ufeffstudy_id,ACL\nS1,1\nS2,\n",
    ],
)
def test_a_table_as_people_make_it_is_read(table, text):
    assert cells(table(text)) == PLAIN


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_table_is_read_in_the_codings_of_spreadsheets(table, coding):
    assert cells(table("study_id\tACL\nMüller – 1\t1\n", coding)) == (["study_id", "ACL"], [["Müller – 1", "1"]])


def test_rows_are_counted_as_a_spreadsheet_does(table):
    found = read_table(table('\nstudy_id,ACL\n\nS1,"a\nb"\n,\nS2,0\n'))
    assert [at + 2 for at in found.index] == [4, 6]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"a,b\n\0,1\n", "holds NUL bytes"),
        (b"a,b\n\x81,1\n", "is neither UTF-8 nor Windows-1252 text"),
        (b"a,a\n1,2\n", "the column 'a' stands twice"),
        (b"study_id,Study ID\n1,2\n", "the column 'study_id' stands twice"),
        (b"", "is empty"),
        (b" \n,,\n", "is empty"),
        (b"PK\x03\x04\0", "is a workbook"),
        (b"study_id,ACL\n", "has a header and no rows"),
        (b"study_id,ACL\n,\n \n", "has a header and no rows"),
        (b"study_id,ACL\nS1,1\nS2,1,0\n", "row 3 has 3 cells, the header 2"),
        (b"study_id,,ACL\nS1,7,1\n", "row 2: column 2 has no name"),
        (b'study_id,ACL\nS1,1\nS2,"1\nS3,1\n', "row 3 cannot be read"),
        (b'study_id,ACL\nS1,"1"0\n', "row 2 cannot be read"),
        (b"study_id,ACL\nS1," + b"1" * (MOST_CELL + 1), "row 2, column ACL: a cell of 32768 characters"),
        (b"study_id,ACL\nS1," + b"1" * 200_000, "row 2 cannot be read"),
    ],
)
def test_a_table_no_one_can_trust_is_refused_by_name(table, text, reason):
    with pytest.raises(StudyError) as caught:
        read_table(table(text), KNOWN)
    assert str(caught.value).startswith("t.csv: ")
    assert reason in str(caught.value)
    assert caught.value.hint


def test_columns_that_only_differ_in_signs_stay_apart(table):
    path = table("study_id,ACL+,ACL-\nS1,1,0\n")
    assert list(read_table(path, ("study_id", "ACL+", "ACL-")).columns) == ["study_id", "ACL+", "ACL-"]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes")
def test_a_table_that_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path, tmp_path / "pipe.csv", tmp_path / "absent.csv"):
        with pytest.raises(StudyError, match="cannot be read"):
            read_table(path)


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8).filter(
    lambda text: text == text.strip().strip("\ufeff\u200b") and "\u2028" not in text
)
AS_TYPED = TEXT | st.sampled_from(["=1+1", "-x", "'-x", "''=", "@a", "+", "＝1", "-1.5", "a;b", 'a"b', "a\nb", "1,5"])


@settings(max_examples=60, deadline=None)
@given(st.lists(AS_TYPED, min_size=2, max_size=4, unique=True), st.lists(AS_TYPED, min_size=4, max_size=4))
def test_headers_and_cells_come_back_as_written(tmp_path_factory, names, row):
    from orthodx.studies.readable import readable

    path = tmp_path_factory.mktemp("tables") / "t.csv"
    names = [readable(name) for name in names]
    if len(set(names)) < len(names):
        return
    write_table(path, [dict(zip(names, row, strict=False))], names)
    found = read_table(path)
    assert list(found.columns) == names
    assert found.iloc[0].tolist() == [readable(cell, keep="\n") for cell in row[: len(names)]]
    with path.open(encoding="utf-8", newline="") as file:
        for cell in (cell for line in csv.reader(file) for cell in line):
            assert cell[0] not in "=@＝"
            assert cell[0] not in "+-" or cell[1:].replace(".", "").isdigit()


def test_what_no_file_can_hold_is_written_with_substitutes(tmp_path):
    write_table(tmp_path / "t.csv", [{"a": "M\udcfcller", "b": "\x1b[31mred\u202e"}], ["a", "b"])
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "a,b\nMüller,\\x1b[31mred\\u202e\n"
