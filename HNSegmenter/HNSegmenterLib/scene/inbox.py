"""Patients of the DICOM node in the scene: the private folder that they come through, and which one a CT is."""

from __future__ import annotations

import json
import os
import platform
import shutil
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import HNSegmenterError
from ..job import remove_stale
from ..result import write_json
from ..settings import jobs_folder

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode

PREFIX = "inbox-"
CASE = "HNSegmenter.inbox"  # node attribute of the CT


@dataclass(frozen=True)
class Case:
    """A series of the node as it was opened. series: the node's own id of it;
    job: of the segmentation that waits for review."""

    series: str
    job: str


def mark(volume: vtkMRMLScalarVolumeNode, case: Case) -> None:
    """Note on a CT where it came from; saved with the scene."""
    volume.SetAttribute(CASE, json.dumps(asdict(case)))


def case_of(volume: vtkMRMLScalarVolumeNode | None) -> Case | None:
    """What mark() noted; None for a CT that is not from the node."""
    noted = volume.GetAttribute(CASE) if volume is not None else None
    try:
        return Case(**json.loads(noted)) if noted else None
    except (ValueError, TypeError):  # a scene file that somebody edited
        return None


class PrivateFolder:
    """A folder of this user alone, named at random, for one patient's files on their way to or from the node.

    What a Slicer that was killed left is removed by the next one.
    """

    def __init__(self, root: Path | None = None):
        """Raises HNSegmenterError if it cannot be made."""
        root = root or jobs_folder()
        self.path = root / f"{PREFIX}{uuid.uuid4().hex}"
        try:
            root.mkdir(parents=True, exist_ok=True)
            remove_stale(root)
            self.path.mkdir(mode=0o700)
            write_json(self.path / "state.json", {"host": platform.node(), "pid": os.getpid()})
        except OSError as error:
            self.remove()
            raise HNSegmenterError(
                f"No folder can be made in {root} ({error.strerror}): free disk space "
                "there, or name another folder in HNSEG_JOBS."
            ) from error

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
