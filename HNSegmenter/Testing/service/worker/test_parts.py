"""Parts of the worker alone: what makes a scan unlikely, which sentences go into the table,
the audit log, the rules."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from HNSegmenterLib.checks import LOOKS
from HNSegmenterLib.result import NOT_FOUND, NOT_IN_MODEL, Organ
from HNSegmenterLib.service.settings import Rules, ServiceSettings, Worker
from HNSegmenterLib.service.table.interface import Delivery, TableFault
from HNSegmenterLib.service.table.opening import open_table
from HNSegmenterLib.service.worker.audit import Audit
from HNSegmenterLib.service.worker.body_region import TELLING, unlikely
from HNSegmenterLib.service.worker.context import Service
from HNSegmenterLib.service.worker.rules import judge
from HNSegmenterLib.service.worker.segmenting import neutral, pixels_of
from Testing.service.fixtures import make_node, redis_url
from tools import measure_service

CT = "1.2.840.10008.5.1.4.1.1.2"


def organ(name: str, status: str = "found", checks: tuple[str, ...] = ()) -> Organ:
    return Organ(name, 1, (255, 0, 0), status=status, checks=list(checks))


def test_one_sound_organ_of_the_head_makes_a_scan_likely():
    lost = [organ(name, NOT_FOUND) for name in TELLING]
    assert unlikely([organ("SpinalCord"), *lost], []).endswith(f"not found: {', '.join(TELLING)}.")
    assert "found, but not plausible: Eye_L." in unlikely([organ("Eye_L", checks=("It is too large.",)), *lost[1:]], [])
    assert unlikely([organ("Eye_L"), *lost[1:]], ["3 slices are missing."]) == ""
    assert unlikely([organ("Heart", checks=("odd",)), organ("Eye_L", NOT_IN_MODEL)], []) == "", (
        "a model without them cannot tell"
    )


def test_where_another_models_organs_were_found_a_head_is_not_asked_for():
    lost = [organ(name, NOT_FOUND) for name in TELLING]
    assert unlikely([organ("Femur_L"), organ("SpinalCord"), *lost], []) == ""
    assert unlikely([organ("Femur_L", NOT_FOUND), organ("SpinalCord"), *lost], [])


def test_a_scan_that_looks_turned_is_held_whatever_was_found():
    said = LOOKS + "upside down: send it again."
    assert unlikely([organ(name) for name in TELLING], ["3 slices are missing.", said]) == said


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ('Series 1.2 "MILLER neck" is no CT (its modality is MR).', "Series 1.2 is no CT (its modality is MR)."),
        ('Series 1.2 "a "quoted" name" is too short.', "Series 1.2 is too short."),
        ("CT series 1.2 in /data/miller/ct: no air around it.", "CT series 1.2 no air around it."),
        ("/srv/jobs/0af/ct: none of the organs was found.", "None of the organs was found."),
        ("0007.dcm of series 1.2 has no Pixel Spacing.", "0007.dcm of series 1.2 has no Pixel Spacing."),
    ],
)
def test_sentences_of_the_table_name_no_folder_and_no_description(said, kept):
    assert neutral(said) == kept


def headers(count: int = 50, **changes: str) -> dict[str, dict]:
    """As the node tells them, for a sound series; changes are made in every instance."""
    common = {
        "SOPClassUID": CT,
        "Modality": "CT",
        "SeriesInstanceUID": "1.2",
        "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
    }
    common |= {
        "Rows": "512",
        "Columns": "512",
        "PixelSpacing": "1\\1",
        "ImageType": "ORIGINAL\\PRIMARY\\AXIAL",
        **changes,
    }
    return {
        str(k): {"SOPInstanceUID": f"1.2.{k}", "ImagePositionPatient": f"-256\\-256\\{3 * k}", **common}
        for k in range(count)
    }


def test_a_sound_series_is_taken_whatever_is_not_said_of_it():
    assert judge(headers(), Rules()) == ""
    patterns = Rules(body_part_patterns=("^head", "neck$"), description_patterns=("^hn ",))
    assert judge(headers(), patterns) == ""
    assert judge(headers(BodyPartExamined="HEADNECK", SeriesDescription="x"), patterns) == ""
    assert judge(headers(BodyPartExamined="CHEST", SeriesDescription="HN planning"), patterns) == ""
    assert (
        judge(headers(BodyPartExamined="CHEST"), patterns) == "Its body part matches none of the patterns in [rules]."
    )
    assert judge(headers(BodyPartExamined="CHEST"), Rules()) == "", "no pattern, no rule"


RTSTRUCT = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.3",
    "Modality": "RTSTRUCT",
    "SeriesInstanceUID": "1.2",
    "SOPInstanceUID": "1.3",
}
SCOUT = {
    "SOPClassUID": CT,
    "Modality": "CT",
    "SeriesInstanceUID": "1.2",
    "SOPInstanceUID": "1.4",
    "ImagePositionPatient": "0\\0\\0",
}
SCOUT |= {
    "ImageOrientationPatient": "1\\0\\0\\0\\0\\-1",
    "ImageType": "ORIGINAL\\PRIMARY\\AXIAL",
    "BodyPartExamined": "CHEST",
}


@pytest.mark.parametrize("first", [True, False])
def test_what_else_is_in_the_series_decides_nothing(first):
    foreign = {"x": RTSTRUCT, "y": SCOUT}
    mixed = (
        {**foreign, **headers(BodyPartExamined="HEADNECK")}
        if first
        else {**headers(BodyPartExamined="HEADNECK"), **foreign}
    )
    assert judge(mixed, Rules(body_part_patterns=("^head",))) == ""
    lost = {key: values for key, values in mixed.items() if key != "7"}
    assert "1 slice is missing" in judge(
        lost, Rules()
    ) and "Left out were: 1 RT Structure Set object, 1 image of another" in judge(lost, Rules())
    few = dict(list(headers(2).items()) + [(str(n + 10), RTSTRUCT) for n in range(2)])
    assert judge(few, Rules()).startswith("The series holds 2 CT images beside 2 RT Structure Set objects: no majority")
    assert pixels_of(mixed) == 50 * 512 * 512


def test_scans_between_one_another_and_rounded_positions_are_judged_as_by_the_reading():
    alternating = headers()
    for k, values in enumerate(alternating.values()):
        values |= {
            "AcquisitionTime": f"12{k % 2 * 15:02d}{k // 2:02d}",
            "SeriesDescription": ("MILLER first", "MILLER second")[k % 2],
        }
    reason = judge(alternating, Rules())
    assert "acquisition time and series description alternate" in reason and "MILLER" not in reason
    rounded = headers()
    for k, values in enumerate(rounded.values()):
        values["ImagePositionPatient"] = f"-256\\-256\\{(5 * k + 1) // 2}"
    assert judge(rounded, Rules()) == ""
    del rounded["20"]
    assert "1 slice is missing" in judge(rounded, Rules())


def test_damaged_values_are_left_to_the_reading():
    assert judge(headers(ImagePositionPatient="a\\b\\c"), Rules()) == ""
    assert judge(headers(ImagePositionPatient="1e300\\0\\1.7e308"), Rules()) == ""
    assert judge(headers(ImageOrientationPatient="0\\0\\0\\0\\0\\0"), Rules()) == ""
    assert judge(headers(ImageOrientationPatient=""), Rules()) == ""
    assert "no CT" in judge(headers(Modality=""), Rules())


WRITE = """
import sys
from pathlib import Path
from HNSegmenterLib.service.worker.audit import Audit
audit = Audit(Path(sys.argv[1]))
for n in range(200):
    audit.write("moved", sys.argv[2], "1.2.3", state="sent", answer="x" * 300)
"""


def test_lines_of_several_workers_stay_whole_in_the_audit_log(tmp_path):
    log = tmp_path / "worker" / "audit.jsonl"
    processes = [subprocess.Popen([sys.executable, "-c", WRITE, str(log), name]) for name in ("one", "two")]
    assert [process.wait() for process in processes] == [0, 0]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert sorted(line["job"] for line in lines) == ["one"] * 200 + ["two"] * 200
    assert log.stat().st_mode & 0o077 == 0, "for this user alone"


def test_the_audit_log_catches_up_when_it_can_be_written_again(tmp_path):
    log = tmp_path / "blocked" / "audit.jsonl"
    log.parent.write_text("a file where the folder should be")
    audit = Audit(log)
    audit.write("added", "j", "1.2.3", state="queued", reason="")
    log.parent.unlink()
    audit.write("moved", "j", "1.2.3", state="segmenting")
    first, second = (json.loads(line) for line in log.read_text().splitlines())
    assert (first["event"], second["state"]) == ("added", "segmenting") and "reason" not in first


def test_a_job_that_left_the_table_is_a_fault_with_a_sentence(tmp_path):
    table = open_table(Worker(tmp_path))
    service = Service(ServiceSettings(), None, table, Audit(tmp_path / "audit.jsonl"))
    with pytest.raises(TableFault, match="Job j1 is not in the table any more"):
        service.note("moved", Delivery("j1", "PLAN", "reviewed", "1.2.3.4"))
    table.close()


def test_the_measurement_segments_once_and_leaves_node_and_redis_as_they_were(make_node, redis_url, capsys):
    node = make_node()
    assert (
        measure_service.main(["--config", str(node.config), "--series", "1", "--workers", "1", "--queue", redis_url])
        == 0
    )
    row = [cell.strip() for cell in capsys.readouterr().out.splitlines()[-1].split("|")]
    assert row[1:4] == ["redis", "1", "1"] and row[-2] == "0" and float(row[4]) > 0
    assert node.series() == []
    assert not list(redis.Redis.from_url(redis_url).scan_iter("hn-segmenter:*"))
    assert not list(Path(node.config.parent).glob("worker/*")), "on a table of its own"
