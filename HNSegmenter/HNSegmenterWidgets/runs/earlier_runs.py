"""The result of a run that went on when Slicer was closed is offered at the next start."""

from __future__ import annotations

import time
from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from HNSegmenterLib import scene

POLL_MS = 2000


class EarlierRuns:
    """Owns the notice above the sections; onAccepted(job) is to show a job's contours."""

    def __init__(self, ui, logic, onAccepted: Callable[[scene.HandOver], None]):
        self._ui, self._logic, self._onAccepted = ui, logic, onAccepted
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
                else _("A run begun on {when}, before Slicer was closed, has finished.")
            )
            self._ui.noticeLabel.text = text.format(
                when=time.strftime("%x, %H:%M", time.localtime(self._job.started_at))
            )

    def onAccept(self) -> None:
        self._onAccepted(self._job)
        self._ui.noticeFrame.setVisible(False)

    def onReject(self) -> None:
        if self._job is not None:
            self._job.remove()
        self.look()
