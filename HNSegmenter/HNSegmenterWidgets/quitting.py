"""Slicer is closed while a run goes on: ask, rather than kill it or leave a container behind."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from . import dialogs


class QuitGuard(qt.QObject):
    """Watches the main window's close event and the application's end."""

    def __init__(self, logic):
        qt.QObject.__init__(self)
        self._logic = logic
        self._window = slicer.util.mainWindow()
        if self._window is not None:
            self._window.installEventFilter(self)
        slicer.app.connect("aboutToQuit()", logic.abandon)

    def remove(self) -> None:
        if self._window is not None:
            self._window.removeEventFilter(self)
        slicer.app.disconnect("aboutToQuit()", self._logic.abandon)

    def eventFilter(self, _object, event) -> bool:
        if event.type() != qt.QEvent.Close or not self._logic.running:
            return False
        if self._mayClose():
            return False
        event.ignore()
        return True

    def _mayClose(self) -> bool:
        finish, cancel = _("Let it finish"), _("Cancel it")
        answer = dialogs.ask(
            "HNSegmenterQuit",
            _("HN Segmenter: a run goes on"),
            _("A segmentation is running. What should become of it when Slicer closes?"),
            (finish, cancel),
            _("If it finishes, its result is offered when HN Segmenter is opened next."),
        )
        if answer == finish:
            self._logic.release()
        elif answer == cancel:
            self._logic.abandon()
        return answer is not None
