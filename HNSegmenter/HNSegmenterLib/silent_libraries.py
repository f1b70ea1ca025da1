"""Keeps libraries silent: what they say of a file quotes values and file names of the patient."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_inside = 0  # callers within quiet(), in all threads
_undo = ExitStack()


def silence_process() -> None:
    """For a process of our own, once, before anything else: no library has a word on its stderr, in no thread.

    Not for a process that is somebody else's (Slicer): there, quiet() is for the time of a call.
    """
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())  # else Python itself prints what no handler takes
    threading.excepthook = _say_kind
    sys.unraisablehook = _say_kind


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom, ITK and Python's warnings silent while the block (or, as @quiet(), the function) runs.

    Warnings, loggers and ITK's display belong to the whole process: the first of several threads that are within sets
    them, the last puts them back.
    """
    global _inside  # noqa: PLW0603 - one count, as what it guards is one for the process
    with _lock:
        _inside += 1
        if _inside == 1:
            _hush(_undo)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _undo.close()


def _hush(undo: ExitStack) -> None:
    import SimpleITK as sitk

    logger = logging.getLogger("pydicom")
    undo.callback(setattr, logger, "disabled", logger.disabled)
    undo.callback(sitk.ProcessObject.SetGlobalWarningDisplay, sitk.ProcessObject.GetGlobalWarningDisplay())
    undo.enter_context(warnings.catch_warnings())
    logger.disabled = True
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    warnings.simplefilter("ignore")


def _say_kind(ended) -> None:
    """Of an exception that nobody caught, in a thread or while tidying up: its words may quote the patient."""
    if ended.exc_type is not SystemExit:
        print(f"An unforeseen fault ({ended.exc_type.__name__}) beside the command.", file=sys.stderr, flush=True)
