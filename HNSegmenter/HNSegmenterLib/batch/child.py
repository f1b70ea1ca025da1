"""The processes in which series are contoured: what one of them suffers, its parent and the others survive."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

from ..errors import Cancelled, HNSegmenterError
from ..events import CancelToken, Emit, Event
from ..runtimes.base import Runtime
from ..silent_libraries import silence_process
from .one import FAILED, Answer, Task, contour

CANCEL = "cancel"
POLL_S = 0.1
CANCEL_S = 20.0  # a child that has not stopped by then is killed
DIED = (
    "The process that contoured it was ended by the system (code {}), most likely for want of memory: use fewer --jobs."
)
MakeRuntime = Callable[[], Runtime]


class Child:
    """A process that does one task after the other. make_runtime is called in it, and must be picklable.

    It ends with this process, however that ends: then nobody holds the other end of its connection.
    """

    def __init__(self, make_runtime: MakeRuntime):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make_runtime), daemon=True)
        self._process.start()
        theirs.close()

    def do(self, task: Task, emit: Emit, cancel: CancelToken) -> Answer:
        """Raises Cancelled, or EOFError where the child has died."""
        asked_at = None
        try:
            self._connection.send(task)
            while True:
                if self._connection.poll(POLL_S):
                    said = self._connection.recv()
                    if isinstance(said, Answer):
                        return said
                    emit(said)
                elif cancel.cancelled and asked_at is None:
                    asked_at = time.monotonic()
                    self._connection.send(CANCEL)
                elif asked_at is not None and time.monotonic() > asked_at + CANCEL_S:
                    self._process.kill()
                    raise Cancelled
        except OSError as error:  # BrokenPipeError and its kin
            raise EOFError from error

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def close(self) -> int | None:
        """Ends it; returns the code with which it ended."""
        self._connection.close()
        self._process.join(CANCEL_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        return self._process.exitcode


class Children:
    """So many of them as tasks are done at a time."""

    def __init__(self, make_runtime: MakeRuntime):
        self._make_runtime = make_runtime
        self._idle: queue.LifoQueue[Child] = queue.LifoQueue()

    def do(self, task: Task, emit: Emit, cancel: CancelToken) -> Answer:
        """Raises Cancelled."""
        with self._one() as child:
            try:
                return child.do(task, emit, cancel)
            except EOFError:
                return Answer(FAILED, DIED.format(child.close()), again=True)

    @contextmanager
    def _one(self) -> Iterator[Child]:
        try:
            child = self._idle.get_nowait()
        except queue.Empty:
            child = Child(self._make_runtime)
        try:
            yield child
        except BaseException:
            child.close()
            raise
        if child.alive:
            self._idle.put(child)

    def close(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()


def _serve(connection: Connection, make_runtime: MakeRuntime) -> None:
    """The child's whole life."""
    silence_process()
    for name in ("SIGINT", "SIGHUP"):  # of the terminal: the parent decides, and says so by the connection
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    tasks: queue.Queue[Task | None] = queue.Queue()
    cancel = [CancelToken()]
    threading.Thread(target=_listen, args=(connection, tasks, cancel), daemon=True).start()
    runtime: Runtime | None = None

    def emit(event: Event) -> None:
        with suppress(OSError):  # the parent is gone: the job is cancelled at its next step
            connection.send(event)

    while (task := tasks.get()) is not None:
        try:
            runtime = runtime or make_runtime()
            answer = contour(task, runtime, emit, cancel[0])
        except HNSegmenterError as fault:
            answer = Answer(FAILED, fault.sentence, again=True)
        with suppress(OSError):
            connection.send(answer)


def _listen(connection: Connection, tasks: queue.Queue, cancel: list[CancelToken]) -> None:
    """Each task has a token of its own. The end of the connection is the end of the parent, and cancels too."""
    try:
        while True:
            said = connection.recv()
            if said == CANCEL:
                cancel[0].cancel()
            else:
                cancel[0] = CancelToken()
                tasks.put(said)
    except (EOFError, OSError):
        cancel[0].cancel()
        tasks.put(None)
