"""Contours come into the scene step by step, the window alive between the steps."""

from __future__ import annotations

from collections.abc import Callable, Generator

import qt

from HNSegmenterLib.errors import HNSegmenterError


class Importing:
    """Works a generator off (scene.show_in_steps):
    onStep(fraction) after each step, then onDone(node) or onFault(sentence)."""

    def __init__(
        self,
        steps: Generator,
        onStep: Callable[[float], None],
        onDone: Callable[[object], None],
        onFault: Callable[[str], None],
    ):
        self._steps, self._onStep, self._onDone, self._onFault = steps, onStep, onDone, onFault
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._step)
        self._timer.start()

    def stop(self) -> None:
        """Nothing of it stays in the scene, and nobody is told."""
        self._timer.stop()
        self._steps.close()

    def _step(self) -> None:
        try:
            self._onStep(next(self._steps))
        except StopIteration as end:
            self._timer.stop()
            self._onDone(end.value)
        except HNSegmenterError as fault:
            self._timer.stop()
            self._onFault(fault.sentence)
        except Exception:
            self._timer.stop()
            self._onFault("")
            raise
