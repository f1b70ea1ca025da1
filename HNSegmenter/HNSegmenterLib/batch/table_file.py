"""results.csv: a line for each organ of each series, for statistics. It knows patients by UIDs alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from ..result import Organ
from .lists import Entry
from .results import RECORD

COLUMNS = (
    "folder", "state", "series_instance_uid", "study_instance_uid", "rtstruct_sop_instance_uid", "sop_digest",
    "model", "model_version", "model_digest", "organ", "status", "volume_ml", "hu_mean", "hu_sd", "checks", "warnings",
    "reason",
)  # fmt: skip


def table(entries: list[Entry]) -> str:
    """The file's text: comma, a heading, one line for a series without organs."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        writer.writerows(_lines(entry))
    return text.getvalue()


def _lines(entry: Entry) -> Iterator[dict]:
    line: dict = {
        "folder": entry.folder,
        "state": entry.state,
        "series_instance_uid": entry.series_uid,
        "study_instance_uid": entry.study_uid,
        "rtstruct_sop_instance_uid": entry.rtstruct_uid,
        "reason": entry.reason,
    }
    if entry.result is None:
        yield line
        return
    kept = entry.result.input[RECORD]
    line |= {
        "sop_digest": kept.get("sop_digest", ""),
        "warnings": " ".join(entry.result.warnings),
    }
    for organ in entry.result.organs:
        yield line | _drawn_by(organ.model or entry.result.model) | _of(organ, kept.get("hu", {}).get(organ.name, {}))


def _drawn_by(model: dict) -> dict:
    return {
        "model": model.get("name", ""),
        "model_version": model.get("version", ""),
        "model_digest": model.get("digest", ""),
    }


def _of(organ: Organ, hu: dict) -> dict:
    return {
        "organ": organ.name,
        "status": organ.status,
        "volume_ml": round(organ.volume_ml, 3) if organ.found else "",
        "hu_mean": hu.get("mean", ""),
        "hu_sd": hu.get("sd", ""),
        "checks": " ".join(organ.checks),
    }
