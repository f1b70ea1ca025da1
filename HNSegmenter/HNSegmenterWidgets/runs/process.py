"""The child process of a run: started, listened to and stopped through Qt's event loop, without threads or polling."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from HNSegmenterLib.errors import RuntimeFault

CANCEL_MS = 10_000  # what an engine that hangs may take to remove the container


class ChildProcess:
    """A command of this Python, whose lines on standard output arrive one by one.

    onLine(text) is called for every line, onEnd(exitCode, errorText) once, after the last line; exitCode is None if the
    process crashed or did not start.
    """

    def __init__(self, onLine: Callable[[str], None], onEnd: Callable[[int | None, str], None]):
        self._onLine, self._onEnd = onLine, onEnd
        self._partial = b""
        self._errors = b""
        self._process: qt.QProcess | None = None

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        return int(self._process.processId()) if self._process else 0

    def start(self, arguments: list[str], environment: dict[str, str]) -> None:
        """Raises RuntimeFault if PythonSlicer is missing."""
        program = shutil.which("PythonSlicer")
        if program is None:
            raise RuntimeFault(
                _("PythonSlicer was not found: the installation of Slicer is incomplete. Install it again.")
            )
        process = qt.QProcess()
        variables = qt.QProcessEnvironment.systemEnvironment()
        for name, value in environment.items():
            variables.insert(name, value)
        process.setProcessEnvironment(variables)
        process.connect("readyReadStandardOutput()", self._read)
        process.connect("readyReadStandardError()", self._readErrors)
        process.connect("finished(int,QProcess::ExitStatus)", self._finished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._failed)
        self._process = process
        process.start(program, arguments)

    def cancel(self) -> None:
        """Ask the child to stop: it removes its container first. Returns at once."""
        if self._process:
            self._process.write(b"cancel\n")

    def stop(self, wait_ms: int = CANCEL_MS, cancel: bool = True) -> None:
        """Cancel, or not, and wait; a child that does not end in time is killed. onEnd is not called."""
        process = self._forget()
        if process is None:
            return
        if cancel:
            process.write(b"cancel\n")
        if not process.waitForFinished(wait_ms):
            process.kill()
            process.waitForFinished(1000)

    def kill(self) -> None:
        """The last resort; what the child leaves is removed by the next run."""
        if self._process:
            self._process.kill()

    def release(self) -> None:
        """Let the child go on when Slicer ends. QProcess's destructor would kill it,
        so that this object is never freed."""
        process = self._forget()
        if process is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(process))

    def _forget(self) -> qt.QProcess | None:
        process, self._process = self._process, None
        if process is not None:
            for signal, slot in (
                ("readyReadStandardOutput()", self._read),
                ("readyReadStandardError()", self._readErrors),
                ("finished(int,QProcess::ExitStatus)", self._finished),
                ("errorOccurred(QProcess::ProcessError)", self._failed),
            ):
                process.disconnect(signal, slot)
        return process

    def _read(self) -> None:
        if self._process is None:
            return
        *lines, self._partial = (self._partial + _bytes(self._process.readAllStandardOutput())).split(b"\n")
        for line in lines:
            self._onLine(line.decode("utf-8", "replace"))

    def _readErrors(self) -> None:
        if self._process is not None:
            self._errors = (self._errors + _bytes(self._process.readAllStandardError()))[-10_000:]

    def _finished(self, exitCode: int, exitStatus: int) -> None:
        self._read()
        self._readErrors()
        self._end(exitCode if int(exitStatus) == 0 else None)  # QProcess.NormalExit

    def _failed(self, error: int) -> None:
        if int(error) == 0:  # QProcess.FailedToStart: finished() does not follow
            self._end(None)

    def _end(self, exitCode: int | None) -> None:
        process = self._forget()
        if process is not None:
            process.setParent(slicer.app)  # it may not be freed inside its own signal
            process.deleteLater()
            self._onEnd(exitCode, self._errors.decode("utf-8", "replace"))


def _bytes(array: qt.QByteArray) -> bytes:
    data = array.data()
    return data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape")
