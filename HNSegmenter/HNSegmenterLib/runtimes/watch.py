"""Follow a running container: its JSON lines become events, its end becomes a result or a sentence."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from ..errors import EngineFault, HNSegmenterError, RuntimeFault, UnusableInput
from ..events import CancelToken, Emit, Event
from . import containers
from .containers import Limits
from .engine import Engine
from .engine_faults import lost_connection, no_space
from .local import parse_event
from .workers import Deadline, Stream, Worker

# How often a silent container is looked at: a lost network cable says nothing by itself.
LOOK_S = 5.0
# How long an engine may be away (restart, cut connection) before the job is given up.
AWAY_S = 10.0
MOST_LINE_BYTES = 1 << 16


def lines(frames: Iterable[bytes | None]) -> Iterator[str | None]:
    """Whole lines of a log that comes in pieces; None is passed on; an endless line is cut."""
    rest = b""
    for frame in frames:
        if frame is None:
            yield None
            continue
        *whole, rest = (rest + frame).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")
        rest = rest[:MOST_LINE_BYTES]
    if rest:
        yield rest.decode("utf-8", "replace")


class Watch:
    """Follows one container to its end. `last_error` is the message of its last error event."""

    def __init__(
        self, engine: Engine, job_id: str, limits: Limits, emit: Emit, cancel: CancelToken, deadline: Deadline
    ):
        self.engine, self.job_id, self.limits = engine, job_id, limits
        self.emit, self.cancel, self.deadline = emit, cancel, deadline
        self.last_error: str | None = None
        self._seen = 0

    def follow(self) -> dict:
        """Pass events on until the container has ended; return its State (as `docker inspect`).

        A log stream that breaks off while the container runs (restarted engine, cut connection) is taken up again.
        Raises Cancelled, or EngineFault if the time is over, the engine is gone or the container was removed.
        """
        while True:
            try:
                self._read_log()
            except HNSegmenterError:
                raise
            except Exception as error:
                if not lost_connection(error) and self._state()["Running"]:
                    raise self.engine.fault(error, "Following the container") from error
            state = self._state()
            if not state["Running"]:
                return state
            self.cancel.wait(0.2)

    def _read_log(self) -> None:
        name = containers.container_name(self.job_id)
        stream = Stream(lambda: self.engine.client.logs(name, stdout=True, stderr=False, stream=True, follow=True))
        count, looked = 0, time.monotonic()
        for line in lines(stream):
            self.cancel.raise_if_cancelled()
            self.deadline.check()
            if line is not None:
                count += 1
                if count > self._seen:  # a log taken up again begins at its start
                    self._seen = count
                    self._pass_on(parse_event(line))
            elif time.monotonic() - looked > LOOK_S:
                if not self._state()["Running"]:
                    return
                looked = time.monotonic()

    def _pass_on(self, event: Event | None) -> None:
        if event is None:
            return
        if event.kind == "error":
            self.last_error = event.message
        elif event.kind in ("progress", "warning"):
            self.emit(event)

    def _state(self) -> dict:
        """The container's State, waiting a little for an engine that is away."""
        end = time.monotonic() + AWAY_S
        while True:
            try:
                about = Worker(lambda: containers.inspect(self.engine, self.job_id)).result(self.cancel, self.deadline)
            except HNSegmenterError:
                raise
            except Exception as error:
                if time.monotonic() > end or not lost_connection(error):
                    raise self.engine.fault(error, "The run in the container") from error
                self.cancel.wait(0.5)
                self.cancel.raise_if_cancelled()
                continue
            if about is None:
                raise EngineFault("The container was removed by someone else while it ran: run it again.")
            return about["State"]


def check_end(state: dict, watch: Watch, stderr: Callable[[], str]) -> None:
    """Do nothing for exit code 0; else raise the sentence for the way in which the container ended."""
    code = state["ExitCode"]
    if state.get("OOMKilled"):
        raise EngineFault(
            f"The container needed more than its {watch.limits.memory} of memory and was stopped: raise memory in the "
            "settings (in Docker Desktop its own limit too), or use --runtime local."
        )
    if code == 0:
        return
    said = watch.last_error
    if code == UnusableInput.exit_code:
        raise UnusableInput(said or "The network cannot use this image, and does not say why: try another series.")
    if code in (137, 143) and not said:
        raise EngineFault(
            "The container was killed from outside (docker kill, an engine that shut down, or a computer short of "
            "memory): run it again."
        )
    said = said or stderr()
    if no_space(said):
        raise EngineFault(
            "The disk of the Docker engine is full: free space there (docker system df) and run it again."
        )
    reason = said.rstrip(".") or "it gave no reason"
    raise RuntimeFault(
        f"The network failed in its container (exit code {code}): {reason}. Run it again, or check the image."
    )


def last_stderr_line(engine: Engine, job_id: str) -> str:
    """What the container's human log ends with, for a fault without an error event; "" if it cannot be read."""
    try:
        log = engine.client.logs(containers.container_name(job_id), stdout=False, stderr=True, tail=20)
    except Exception:  # noqa: BLE001 - the log is an extra: the fault itself is said without it
        return ""
    written = [line.strip() for line in log.decode("utf-8", "replace").splitlines() if line.strip()]
    return written[-1][:300] if written else ""
