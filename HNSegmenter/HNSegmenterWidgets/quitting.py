"""Slicer is closed while a run goes on: ask, rather than kill it or leave a container behind."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from . import dialogs


class QuitGuard(qt.QObject):
    """Watches the main window's close event; what was answered is done when the application really ends."""

    def __init__(self, logic):
        qt.QObject.__init__(self)
        self._logic = logic
        self._finish = False
        self._window = slicer.util.mainWindow()
        if self._window is not None:
            self._window.installEventFilter(self)
        slicer.app.connect("aboutToQuit()", self._quit)

    def close(self) -> None:
        """The module is unloaded: when Slicer ends, this comes before aboutToQuit."""
        self._quit()
        if self._window is not None:
            self._window.removeEventFilter(self)
        slicer.app.disconnect("aboutToQuit()", self._quit)

    def eventFilter(self, _object, event) -> bool:
        if event.type() != qt.QEvent.Close or not self._logic.running or self._mayClose():
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
        self._finish = answer == finish
        return answer is not None

    def _quit(self) -> None:
        if self._finish:
            self._logic.release()
        else:
            self._logic.abandon()
