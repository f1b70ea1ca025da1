"""What was measured at approvals, added up; as a sentence and as a page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime, timedelta

import pytest

from HNSegmenterLib.errors import UnusableInput
from HNSegmenterLib.service.corrections import history, page
from HNSegmenterLib.service.corrections.history import Share

BEGIN = datetime(2026, 1, 10, tzinfo=UTC)


def record(day: int, model: str = "net 1", **changes) -> dict:
    """Of one patient; changes: by organ, a Dice below 1 for an edit, 1, "added" or "removed"."""
    organs = [
        {"organ": organ, "model": model, "change": change, "dice": None}
        if isinstance(change, str)
        else {
            "organ": organ, "model": model, "change": "untouched" if change == 1 else "edited", "dice": change,
            "volume_change_percent": 10.0, "largest_mm": 4.0,
        }
        for organ, change in changes.items()
    ]  # fmt: skip
    return {"time": (BEGIN + timedelta(days=day)).isoformat(), "organs": organs}


def test_the_sentence_is_of_the_last_twenty():
    records = [record(day, Parotid_L=0.9, SpinalCord=0.9 if day < 12 else 1) for day in range(30)]
    records[29]["organs"][0]["change"] = "untouched"
    found = history.entries(reversed(records))
    assert history.sentence(found) == "Corrected in your last 20 patients: left parotid 19 times, spinal cord 2 times."
    assert history.sentence(found[:1]) == "Corrected in your last patient: left parotid once, spinal cord once."
    assert history.sentence(history.entries([record(0, Brainstem=1)] * 2)) == (
        "Nothing was corrected in your last 2 patients."
    )
    assert history.sentence([]) == ""


def test_what_is_no_record_is_left_out():
    broken = [None, {}, {"time": "soon", "organs": []}, {"time": BEGIN.isoformat(), "organs": [{"organ": "Brain"}]},
              {"time": BEGIN.isoformat(), "organs": [{"organ": "Brain", "model": "", "change": "melted"}]}]  # fmt: skip
    later = record(1, Brain=0.9)
    later["organs"][0]["new"] = "of a later version"
    assert [entry.organs[0].organ for entry in history.entries([*broken, later])] == ["Brain"]


def test_figures_by_organ_and_model():
    records = [record(0, Parotid_L=0.8, Eye_L=1), record(1, Parotid_L="removed", Eye_L=1)]
    records += [record(2, "net 2", Parotid_L=1, Eye_L=1)]
    found = {(one.organ, one.model): one for one in history.figures(history.entries(records))}
    assert next(iter(found)) == ("Parotid_L", "net 1"), "the one corrected most often comes first"
    first = found["Parotid_L", "net 1"]
    assert (first.share, first.dice, first.largest_mm) == (Share(2, 2), (0.8, 0.0), 4.0)
    assert found["Parotid_L", "net 2"].share == Share(0, 1) and found["Parotid_L", "net 2"].largest_mm is None


@pytest.mark.parametrize(
    ("before", "after", "less"),
    [((56, 70), (48, 80), True), ((48, 80), (56, 70), False), ((9, 10), (3, 10), True), ((5, 10), (3, 10), None)],
)
def test_less_often_only_where_it_is_clear(before, after, less):
    assert history.less_often(Share(*before), Share(*after)) is less


def test_wilsons_interval():
    """Of 81 of 263, as R. G. Newcombe gives it (Statistics in Medicine 1998, table I)."""
    assert Share(81, 263).interval == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert Share(0, 20).interval == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_nearer_only_where_it_is_clear():
    low, high = [0.8, 0.85, 0.82, 0.84, 0.81], [0.9, 0.95, 0.92, 0.94, 0.91]
    assert history.nearer(low, high) is True and history.nearer(high, low) is False
    assert history.nearer(low, low) is None and history.nearer(low[:4], high) is None


def test_the_page_is_whole_and_asks_for_nothing():
    records = [record(day, "net 1" if day < 40 else "<net> & 2", Parotid_L=0.9 if day % 3 else 1, Brain=1)
               for day in range(100)]  # fmt: skip
    text = page.html(history.entries(records))
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == 3  # how often, and two organs over time
    for drawing in drawings:
        for shape in ElementTree.fromstring(drawing).iter():
            for name, value in shape.attrib.items():
                assert "nan" not in value and "inf" not in value
                if name in ("x", "x1", "x2", "cx"):
                    assert -1 <= float(value) <= 861, drawing
            if shape.tag == "text":
                assert float(shape.attrib["y"]) >= 10, "cut at the top"
    assert drawings[1].count("<circle") == 100
    assert "<script" not in text and not re.search(r"(src|href|url)\s*[=(]", text)
    assert "default-src 'none'" in text and "&lt;net&gt; &amp; 2" in text and "<net>" not in text


@pytest.mark.parametrize("count", [1, 2, 11])
def test_few_patients_make_a_page(count, tmp_path):
    page.write(history.entries([record(day, Brain="removed", Eye_L="added") for day in range(count)]), tmp_path / "p")
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_nothing_measured_is_said(tmp_path):
    with pytest.raises(UnusableInput, match="No approval was measured yet"):
        page.write([], tmp_path / "p")
    assert list(tmp_path.iterdir()) == []
