"""The result of a run that went on when Slicer was closed is offered at the next start."""

from __future__ import annotations

import time
from collections.abc import Callable

import qt
from HNSegmenterLib import scene
from HNSegmenterLib.errors import HNSegmenterError
from slicer.i18n import tr as _

from . import dialogs

POLL_MS = 2000


class EarlierRuns:
    """Owns the notice above the sections; onShown(node) is told of the contours."""

    def __init__(self, ui, logic, onShown: Callable):
        self._ui, self._logic, self._onShown = ui, logic, onShown
        self._job: scene.HandOver | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self.look)
        ui.noticeAcceptButton.connect("clicked()", self.onAccept)
        ui.noticeRejectButton.connect("clicked()", self.onReject)

    def close(self) -> None:
        self._timer.stop()

    def look(self) -> None:
        """Show the first run that is done or still goes on."""
        self._job = next(iter(self._logic.leftBehind()), None)
        waiting = self._job is not None and not self._job.done
        if waiting:
            self._timer.start()
        else:
            self._timer.stop()
        self._ui.noticeFrame.setVisible(self._job is not None)
        self._ui.noticeAcceptButton.setVisible(not waiting)
        self._ui.noticeRejectButton.setVisible(not waiting)
        if self._job is not None:
            text = (
                _("A run begun on {when} is still going on.")
                if waiting
                else _("A run begun on {when}, before Slicer was closed, has finished. Load its CT, then show its contours.")
            )
            self._ui.noticeLabel.text = text.format(when=time.strftime("%x, %H:%M", time.localtime(self._job.started_at)))

    def onAccept(self) -> None:
        try:
            node = self._logic.importResults(self._job)
        except HNSegmenterError as fault:
            dialogs.show_fault(_("HN Segmenter: earlier run"), fault.sentence)
        else:
            self._onShown(node)
        self.look()

    def onReject(self) -> None:
        self._job.remove()
        self.look()
