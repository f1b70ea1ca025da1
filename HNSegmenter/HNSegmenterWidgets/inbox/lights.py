"""Connection lights of the inbox: who answers, and what is likely wrong where nobody does."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from HNSegmenterLib.errors import HNSegmenterError

from .access import NodeAccess

GREEN, RED, GREY = "#2e8b3d", "#c62828", "#808080"


class Lights:
    """A label for each connection in `frame`; `faults` says the sentences of those that fail."""

    def __init__(self, frame: qt.QFrame, faults: qt.QLabel, access: NodeAccess):
        self._frame, self._faults, self._access = frame, faults, access
        self._asking = False

    def refresh(self) -> None:
        """Ask all of them, in the background."""
        if self._asking:
            return
        try:
            self._access.ask(["connections"], self._shown, self._failed)
            self._asking = True
            self._show([(GREY, _("Connections: asking ..."), "")])
        except HNSegmenterError as fault:
            self._failed(fault.sentence)

    def clear(self) -> None:
        """Another configuration was chosen."""
        self._asking = False
        self._show([])
        self._say("")

    def _shown(self, result: dict) -> None:
        self._asking = False
        lights = result.get("lights", [])
        self._show(
            [
                (GREEN if light["ok"] else RED, light["name"], f"{light['address']}\n{light['sentence']}")
                for light in lights
            ]
        )
        self._say("\n".join(light["sentence"] for light in lights if not light["ok"]))

    def _failed(self, sentence: str) -> None:
        self._asking = False
        self._show([])
        self._say(sentence)

    def _show(self, lights: list[tuple[str, str, str]]) -> None:
        layout = self._frame.layout()
        while layout.count():
            layout.takeAt(0).widget().deleteLater()
        for color, name, toolTip in lights:
            label = qt.QLabel(f'<span style="color:{color}">\u25cf</span> {name}')
            label.setToolTip(toolTip)
            layout.addWidget(label)
        self._frame.setVisible(bool(lights))

    def _say(self, text: str) -> None:
        self._faults.text = text
        self._faults.setVisible(bool(text))
