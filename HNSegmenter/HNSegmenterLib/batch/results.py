"""OUT as it is: the only truth on what is done. A folder in it is whole, since it got its name when it was complete."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..errors import HNSegmenterError
from ..pipeline import OVERVIEW, RESULT, RTSTRUCT, SEGMENTATIONS
from ..result import Result
from .find import Candidate

THUMBNAIL = "thumbnail.png"
PARTS = (RTSTRUCT, RESULT, OVERVIEW, SEGMENTATIONS, THUMBNAIL)
RECORD = "batch"  # in result.json's input: what the results were made of
HIDDEN = ".part"


@dataclass(frozen=True)
class Made:
    """By what results are made: digests of the model, and of the clinic's own names ("" for none)."""

    model: str
    names: str = ""


class Standing(StrEnum):
    """What OUT holds of a series: nothing, its results, or something else under its name."""

    ABSENT = "absent"
    DONE = "done"
    OTHER = "other"


def record(candidate: Candidate, made: Made) -> dict[str, str]:
    """What is kept of the CT in result.json: UIDs and digests."""
    return {
        "series_instance_uid": candidate.series_uid,
        "study_instance_uid": candidate.study_uid,
        "sop_digest": candidate.sop_digest,
        "model": made.model,
        "names": made.names,
    }


def standing(out: Path, candidate: Candidate, made: Made) -> Standing:
    folder = out / candidate.folder
    if not folder.exists():
        return Standing.ABSENT
    result = read(folder)
    if result is None:
        return Standing.OTHER
    kept = result.input[RECORD]
    return (
        Standing.DONE
        if {name: kept.get(name) for name in record(candidate, made)} == record(candidate, made)
        else Standing.OTHER
    )


def read(folder: Path) -> Result | None:
    """The result in a folder of OUT; None where it is none of ours, or not whole."""
    if not all((folder / part).exists() for part in PARTS):
        return None
    try:
        result = Result.read(folder / RESULT)
    except HNSegmenterError:
        return None
    return result if isinstance(result.input.get(RECORD), dict) else None


def all_results(out: Path) -> list[Path]:
    """The folders of results in OUT."""
    return sorted(path for path in out.iterdir() if path.is_dir() and not path.name.startswith("."))


def hidden(out: Path, candidate: Candidate) -> Path:
    """A new name in OUT for what is not complete yet."""
    return out / f".{candidate.folder}.{uuid.uuid4().hex}{HIDDEN}"


def clear_remains(out: Path, candidate: Candidate) -> None:
    """Remove what earlier attempts left of a series; to be called by who alone works on it."""
    for path in out.glob(f".{candidate.folder}.*{HIDDEN}"):
        shutil.rmtree(path, ignore_errors=True)


def put_in_place(staged: Path, out: Path, candidate: Candidate, made: Made, overwrite: bool) -> None:
    """Give complete results their name, at once; where another worker was first, its own stay.

    Raises HNSegmenterError where something else has the name, or the disk fails. staged is gone afterwards.
    """
    target, aside = out / candidate.folder, hidden(out, candidate)
    try:
        if overwrite and standing(out, candidate, made) == Standing.OTHER:
            target.rename(aside)
        staged.rename(target)
    except OSError as error:
        if standing(out, candidate, made) == Standing.DONE:
            return
        raise HNSegmenterError(f"The results could not be put into {target.name} ({error.strerror}).") from error
    finally:
        for path in (staged, aside):
            shutil.rmtree(path, ignore_errors=True)
