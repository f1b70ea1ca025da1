"""From the scene to the process that segments, and back: a folder with the CT, and what belongs to it.

The child process is the command line (`segment --json`): it keeps a job folder of its own, and writes its results into
ours. Here is how it is called and what its lines mean; who starts it (QProcess in the window, subprocess in a script)
is the caller's business.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ..errors import HNSegmenterError, UnusableInput
from ..events import Emit
from ..pipeline import RESULT
from ..processes import alive
from ..result import write_json
from ..settings import jobs_folder
from .grid import nodes_of
from .volumes import array_of, bends, check_volume, image_of, instance_uids

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode

PREFIX = "scene-"
IMAGE, RECORD, RESULTS = "img.nii", "handover.json", "results"
LAST_LINES = 3
# Not by PYTHONPATH: a launcher of Slicer may set that anew.
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from HNSegmenterLib.cli.main import entry; entry()"


@dataclass
class HandOver:
    """A folder of this user alone, named at random, with the CT as img.nii, results/ and a record of whose CT it is.

    warnings: what check_volume said. The record holds SOP Instance UIDs or, for a CT without, a hash of its voxels.
    """

    folder: Path
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def create(
        cls,
        volume: vtkMRMLScalarVolumeNode,
        root: Path | None = None,
        dicom_folder: Path | None = None,
        emit: Emit | None = None,
    ) -> HandOver:
        """Write a volume into a new folder below root (default: the jobs folder of settings).

        A volume that Slicer bends into place (uneven, tilted or shifted slices) is read from its DICOM files as the
        command line does: from dicom_folder, or where the DICOM database says; emit hears of that, file by file. Raises
        UnusableInput for a volume that cannot be segmented, HNSegmenterError if the disk refuses.
        """
        image, warnings = _image(volume, dicom_folder, emit)
        folder = (root or jobs_folder()) / f"{PREFIX}{uuid.uuid4().hex}"
        try:
            folder.mkdir(parents=True, mode=0o700)
            job = cls(folder, warnings)
            _write(image, folder / IMAGE)
            owner = {"host": platform.node(), "parent": os.getpid(), "pid": None, "since": time.time()}
            job._note(identity=identity(volume), instances=instance_uids(volume), **owner)
        except (OSError, RuntimeError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise HNSegmenterError(
                f"The CT could not be written into {folder.parent}: free disk space "
                "there, or name another folder in HNSEG_JOBS."
            ) from error
        return job

    @property
    def results(self) -> Path:
        return self.folder / RESULTS

    @property
    def done(self) -> bool:
        """Whether the results are there: they appear all at once."""
        return (self.results / RESULT).is_file()

    @property
    def running(self) -> bool:
        """Whether the child process lives."""
        pid = self._record().get("pid")
        return alive(pid) if pid else False

    @property
    def started_at(self) -> float:
        """Seconds since 1970."""
        return float(self._record().get("since") or 0.0)

    def arguments(
        self,
        runtime: str | None = None,
        image: str | None = None,
        docker_host: str | None = None,
        models: Sequence[str] = (),
    ) -> list[str]:
        """What the child's Python gets: python <these>; None, and no model, leave a choice to the settings.

        models: choices as text (models.parse), of which each draws what those before it lack.
        """
        options = [("--runtime", runtime), ("--image", image), ("--docker-host", docker_host)]
        options += [("--model", model) for model in models]
        chosen = [word for option, value in options if value for word in (option, value)]
        source, out = str(self.folder / IMAGE), str(self.results)
        return child_arguments("segment", source, "--output", out, "--json", *chosen)

    @staticmethod
    def environment() -> dict[str, str]:
        """Variables that the child needs beside Slicer's own."""
        return {"PYTHONUTF8": "1"}

    def started(self, pid: int) -> None:
        """Write down the child's process id, so that a later Slicer can tell whether it goes on."""
        self._note(pid=pid)

    def volume(self, scene) -> vtkMRMLScalarVolumeNode | None:
        """The volume in a scene that was handed over, None if it is not there."""
        sought = self._record().get("identity")
        volumes = [node for node in nodes_of(scene, "vtkMRMLScalarVolumeNode") if node.GetImageData() is not None]
        return next((node for node in volumes if sought and identity(node) == sought), None)

    def load_volume(self) -> vtkMRMLScalarVolumeNode:
        """The CT again, where its scene is gone: from the DICOM files that the database knows,
        else the copy handed over.

        Needs the application. Raises UnusableInput if the DICOM files are gone or are others now.
        """
        from .dicom_database import load_instances
        from .loading import load_file

        if uids := self._record().get("instances"):
            volume = load_instances(uids)
            if identity(volume) != self._record().get("identity"):
                raise UnusableInput(
                    f"{volume.GetName()} is not the CT of these contours: its DICOM files were changed."
                )
            return volume
        volume = load_file(self.folder / IMAGE)
        volume.SetAndObserveStorageNodeID(None)  # the copy goes with the job
        volume.SetName("CT")
        return volume

    def remove(self) -> None:
        """Take the folder away, the patient's CT with it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _record(self) -> dict:
        try:
            return json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def _note(self, **values) -> None:
        write_json(self.folder / RECORD, self._record() | values)


def left_behind(root: Path | None = None) -> list[HandOver]:
    """Jobs of this computer that an earlier Slicer left, done or still running, oldest first.

    Those that ended without a result are removed: they hold a patient's CT.
    Jobs of a Slicer that still runs are its own.
    """
    found = []
    for folder in (root or jobs_folder()).glob(f"{PREFIX}*"):
        job = HandOver(folder)
        record = job._record()
        parent = record.get("parent")
        if record.get("host") != platform.node() or not parent or parent == os.getpid() or alive(parent):
            continue
        if job.done or job.running:
            found.append(job)
        else:
            job.remove()
    return sorted(found, key=lambda job: job.started_at)


def identity(volume: vtkMRMLScalarVolumeNode) -> str:
    """The same for the same CT in any scene: a hash of its slices' UIDs or, where there are none, of its voxels."""
    uids = instance_uids(volume)
    # An array is a buffer, which its type says from Python 3.12 on.
    content: Any = " ".join(uids).encode() if uids else np.ascontiguousarray(array_of(volume))
    return hashlib.sha256(content).hexdigest()


def child_arguments(*words: str) -> list[str]:
    """The command line `hn-segmenter <words>` as arguments of a Python that does not know where this library is."""
    return ["-c", START, str(Path(__file__).resolve().parents[2]), *words]


def python_executable() -> str:
    """The Python that runs the child: Slicer's own, with its environment, else the one that runs now."""
    return shutil.which("PythonSlicer") or sys.executable


def parse_line(text: str) -> dict | None:
    """One line of the child's standard output as an event ({"event": "progress", ...}), None if it is none."""
    try:
        event = json.loads(text)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def last_words(stderr: str, exit_code: int | None = None) -> str:
    """The sentence for a child that ended without saying why."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()][-LAST_LINES:]
    code = "" if exit_code is None else f" (exit code {exit_code})"
    return f"The command ended without a result{code}. " + (
        f"Its last words: {' / '.join(lines)}" if lines else "It left no message."
    )


def _image(
    volume: vtkMRMLScalarVolumeNode, dicom_folder: Path | None, emit: Emit | None
) -> tuple[sitk.Image, list[str]]:
    warnings = check_volume(volume)
    if bends(volume):
        from .dicom_database import planning_ct

        ct = planning_ct(volume, dicom_folder, emit)
        return ct.image, warnings + list(ct.warnings)
    return image_of(volume), warnings


def _write(image: sitk.Image, path: Path) -> None:
    sitk.WriteImage(image, str(path), useCompression=False)
    if path.stat().st_size < image.GetNumberOfPixels() * image.GetSizeOfPixelComponent():
        raise OSError  # SimpleITK says nothing of a short write
