"""The protocol that both runtimes follow, and the folder that they share with the job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..events import CancelToken, Emit


@dataclass(frozen=True)
class JobFolder:
    """A job's own folder: the CT goes in as `image`, labelmaps and result.json come out in `results`.

    `id` is random (uuid4, hex): it names containers and labels, so that no patient data does.
    """

    id: str
    path: Path
    image: Path

    @property
    def results(self) -> Path:
        return self.path / "results"


class Runtime(Protocol):
    """Runs the network on a job folder."""

    name: str

    def describe(self) -> str:
        """One sentence: what runs, and why it was chosen."""

    def run(self, job: JobFolder, emit: Emit, cancel: CancelToken) -> Path:
        """Fill `job.results` with result.json and one labelmap an organ; return that folder.

        Raises Cancelled, UnusableInput (the network's own sentence), RuntimeFault or EngineFault; whatever happens,
        no process, container or volume is left behind.
        """
