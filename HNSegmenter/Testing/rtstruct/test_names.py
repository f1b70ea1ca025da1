"""The table from TG-263 names to a clinic's own."""

from __future__ import annotations

import pytest

from HNSegmenterLib.errors import WrongUsage
from HNSegmenterLib.rtstruct import NameTable


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_json_and_csv_say_the_same(tmp_path):
    wanted = {"Parotid_L": "Parotis links", "Eye_R": "Auge rechts, ganz"}
    files = [
        write(tmp_path / "names.json", '{"Parotid_L": "Parotis links", "Eye_R": "Auge rechts, ganz"}'),
        write(tmp_path / "comma.csv", 'TG-263,Name\nParotid_L,Parotis links\n\nEye_R,"Auge rechts, ganz"\n'),
        write(
            tmp_path / "excel.csv", "TG-263;Name\r\nParotid_L;Parotis links\r\nEye_R;Auge rechts, ganz\r\n", "utf-8-sig"
        ),
        write(tmp_path / "tab.csv", "Parotid_L\tParotis links\nEye_R\tAuge rechts, ganz\n"),
    ]
    for path in files:
        table = NameTable.read(path)
        assert dict(table.own_names) == wanted, path.name
        assert table.own_name("Parotid_L") == "Parotis links"
        assert table.own_name("Brainstem") == "Brainstem"
        assert table.organ_of("Parotis links") == "Parotid_L"
        assert table.organ_of("GTVp") == "GTVp"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("n.json", '{"Eye_L": "Auge", "Eye_R": "auge"}', "calls both Eye_L and Eye_R"),
        ("n.json", '{"Eye_L": "A", "Eye_L": "B"}', "two entries for Eye_L"),
        ("n.json", '{"Eye_L": "Eye_R", "Eye_R": "Eye_L"}', "TG-263 name of another organ"),
        ("n.json", '{"Eye_L": ""}', "is empty"),
        ("n.json", '{"Eye_L": 5}', "no text"),
        ("n.json", '{"Eye_L": " Auge"}', "begins or ends with a space"),
        ("n.json", '{"Eye_L": "A\\\\B"}', "backslash"),
        ("n.json", '{"Eye_L": "A\\nB"}', "control character"),
        ("n.json", '{"Eye_L": "%s"}' % ("x" * 65), "has 65 characters, DICOM allows 64"),
        ("n.json", '["Eye_L", "Auge"]', "must be one JSON object"),
        ("n.json", '{"Eye_L": ', "not valid JSON"),
        ("n.csv", "Eye_L,Auge,links\n", "Line 1"),
        ("n.csv", "TG-263,Name\nEye_L\n", "Line 2"),
        ("n.csv", "Eye_L,A\nEye_L,B\n", "two entries for Eye_L"),
    ],
)
def test_what_cannot_be_used_is_refused(name, text, reason, tmp_path):
    with pytest.raises(WrongUsage, match=reason):
        NameTable.read(write(tmp_path / name, text))


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path):
    with pytest.raises(WrongUsage, match="UTF-8"):
        NameTable.read(write(tmp_path / "n.csv", "Eye_L,Ojo izquierdo Muñoz", "latin-1"))
    with pytest.raises(WrongUsage, match="cannot be read"):
        NameTable.read(tmp_path / "absent.csv")


def test_entries_are_compared_with_the_models_organs():
    table = NameTable({"Eye_l": "Auge links"})
    assert "Eye_l" in table.check_against(["Eye_L", "Eye_R"])[0]
    assert NameTable({"Eye_L": "Auge links"}).check_against(["Eye_L", "Eye_R"]) == []
    with pytest.raises(WrongUsage, match="both Eye_L and Eye_R"):
        NameTable({"Eye_R": "Eye_L"}).check_against(["Eye_L", "Eye_R"])
