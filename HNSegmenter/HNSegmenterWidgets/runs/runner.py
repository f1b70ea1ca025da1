"""Who owns the present run: at most one at a time."""

from __future__ import annotations

from slicer.i18n import tr as _

from HNSegmenterLib import scene
from HNSegmenterLib.errors import Cancelled, RuntimeFault, WrongUsage

from .run import Run, RunState


class Runner:
    """The base of HNSegmenterLogic that starts, follows and ends runs."""

    def __init__(self):
        self._run: Run | None = None
        self._volumeId: str | None = None

    @property
    def running(self) -> bool:
        return self._run is not None and self._run.running

    @property
    def cancelling(self) -> bool:
        return self._run is not None and self._run.cancelling

    @property
    def seconds(self) -> float:
        """Since the latest run began."""
        return self._run.seconds if self._run is not None else 0.0

    @property
    def volumeId(self) -> str | None:
        """MRML ID of the CT of the present run."""
        return self._volumeId if self.running else None

    def refuseSecond(self) -> None:
        """Raises WrongUsage if a run goes on."""
        if self.running:
            raise WrongUsage(_("A run is going on: wait for it, or cancel it."))

    def begin(
        self, job, arguments: list[str], environment: dict[str, str], onEvent=None, onEnd=None, volume=None
    ) -> None:
        """Start a child process; arguments are what comes after Python's own name. Raises RuntimeFault."""
        self._run = Run(job, onEvent or (lambda _event: None), onEnd or (lambda _run: None))
        self._volumeId = volume.GetID() if volume is not None else None
        try:
            self._run.start(arguments, environment)
        except Exception:
            self._run = None
            if job is not None:
                job.remove()
            raise

    def startCommand(self, command: list[str], dockerHost: str | None = None, onEvent=None, onEnd=None) -> None:
        """Begin another command of hn-segmenter, ["image", "pull", name] for example."""
        self.refuseSecond()
        host = ["--docker-host", dockerHost] if dockerHost else []
        arguments = scene.child_arguments(*command, *host, "--json")
        self.begin(None, arguments, scene.HandOver.environment(), onEvent, onEnd)

    def poll(self) -> dict | None:
        """{"state": running, done, failed or cancelled, "stage", "fraction", "message"} of the latest run, if any."""
        return self._run.status() if self._run is not None else None

    def waited(self) -> Run:
        """The run, once it is done. Raises Cancelled, RuntimeFault with its sentence."""
        run = self._run
        assert run is not None  # begin() comes before
        run.wait()
        if run.state == RunState.CANCELLED:
            raise Cancelled
        if run.state == RunState.FAILED:
            raise RuntimeFault(run.sentence)
        return run

    def cancel(self) -> None:
        """Ask the run to stop; it ends soon, its container removed."""
        if self._run is not None and self._run.running:
            self._run.cancel()

    def kill(self) -> None:
        """The last resort; the next run removes what this one leaves."""
        if self._run is not None and self._run.running:
            self._run.kill()

    def abandon(self) -> None:
        """Stop the run and wait until it is gone."""
        if self._run is not None:
            self._run.abandon()

    def release(self) -> None:
        """Let the run finish without Slicer; leftBehind() finds it at the next start."""
        if self._run is not None and self._run.running:
            self._run.release()
