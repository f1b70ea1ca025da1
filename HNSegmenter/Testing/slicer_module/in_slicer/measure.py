"""Prints how long the window did not answer during Segment and Save, and what of it is ours.
No assertion: a quiet machine says most.

Three runs of the sample patient (512 x 512 x 130); the first also loads Python modules.
"""

import sys
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from driver import Stalls, WidgetTest, run, wait

from HNSegmenterLib.scene import handover, results
from HNSegmenterWidgets import importing
from HNSegmenterWidgets.runs import process


class Measure(WidgetTest):
    def test_measure(self):
        self.drop(self.ct)
        for number in (1, 2, 3):
            print(f"run {number}", flush=True)
            self.dialogs.answers = {"HNSegmenterReplace": "Replace it"}
            self.one_run()
        self.save()

    def one_run(self):
        stalls, parts, network = Stalls(), {}, []
        with (
            before(importing.Importing, "__init__", lambda: network.append(stalls.restart())),
            timed(parts, handover.HandOver, "create"),
            timed(parts, process.ChildProcess, "_read"),
            timed(parts, importing.Importing, "_step"),
            timed(parts, results, "_fill"),
        ):
            self.ui.segmentButton.click()
            click = stalls.restart()
            wait(lambda: self.ui.segmentButton.enabled, 300)
            settle()
            stalls.stop()
        print(f"  click on Segment: {click}; of it the CT is written: {said(parts['create'])}")
        print(f"  the run itself: {network[0]}; the longest event heard: {said([max(parts['_read'])])}")
        print(
            f"  contours loaded: {stalls.restart()}; each step: {said(parts['_step'])}; segments made: "
            f"{said(parts['_fill'])}"
        )
        stalls.stop()

    def save(self):
        stalls = Stalls()
        begin = time.monotonic(), time.thread_time()
        self.ui.saveButton.click()
        print(
            f"save: {time.monotonic() - begin[0]:.3f} s (Slicer's thread worked {time.thread_time() - begin[1]:.3f} s)"
        )
        print(f"  longest block: {stalls.restart()}")
        stalls.stop()


def settle():
    end = time.monotonic() + 1
    wait(lambda: time.monotonic() > end, 5)


@contextmanager
def before(owner, name: str, do):
    """Calls do() before every call of owner.name."""
    original = owner.__dict__[name]

    def called(*args, **options):
        do()
        return original(*args, **options)

    setattr(owner, name, called)
    try:
        yield
    finally:
        setattr(owner, name, original)


@contextmanager
def timed(parts: dict, owner, name: str):
    """Wall and thread seconds of every call of owner.name, in parts[name]."""
    original = owner.__dict__[name]
    function = original.__func__ if isinstance(original, classmethod) else original
    calls = parts.setdefault(name, [])

    def measured(*args, **options):
        begin = time.monotonic(), time.thread_time()
        try:
            return function(*args, **options)
        finally:
            calls.append((time.monotonic() - begin[0], time.thread_time() - begin[1]))

    setattr(owner, name, classmethod(measured) if isinstance(original, classmethod) else measured)
    try:
        yield
    finally:
        setattr(owner, name, original)


def said(calls: list) -> str:
    return ", ".join(f"{wall:.3f} s ({cpu:.3f})" for wall, cpu in calls)


run(Measure)
