"""Where the network runs, in section 2: Docker or this computer, and which engine. Both are kept on this computer."""

from __future__ import annotations

from dataclasses import replace

from slicer.i18n import tr as _

from HNSegmenterLib.errors import HNSegmenterError
from HNSegmenterLib.settings import Settings

from . import packages

RUNTIMES = ("auto", "docker", "local")


class RuntimeBox:
    """fault: why the settings cannot be read, "" if they can; it is said again where they are kept."""

    def __init__(self, ui, logic):
        self._ui, self._logic = ui, logic
        self.fault = ""
        for name, label in zip(RUNTIMES, (_("Automatic"), _("Docker"), _("This computer")), strict=True):
            ui.runtimeBox.addItem(label, name)
        try:
            settings = logic.settings()
        except HNSegmenterError as fault:
            self.fault = fault.sentence
            settings = Settings()
        ui.runtimeBox.setCurrentIndex(RUNTIMES.index(settings.runtime))
        ui.engineEdit.text = settings.docker_host or ""
        self._onRuntime(ui.runtimeBox.currentIndex)
        ui.runtimeBox.connect("currentIndexChanged(int)", self._onRuntime)

    def update(self, running: bool) -> None:
        for widget in (self._ui.runtimeBox, self._ui.engineEdit, self._ui.imageButton):
            widget.enabled = not running

    def kept(self) -> tuple[str, str | None]:
        """Install what the runtime needs, then keep the choices: runtime and Docker engine.

        Raises HNSegmenterError, Cancelled.
        """
        runtime = RUNTIMES[self._ui.runtimeBox.currentIndex]
        host = (self._ui.engineEdit.text.strip() or None) if runtime != "local" else None
        packages.ensure(runtime)
        settings = self._logic.settings()
        kept = replace(settings, runtime=runtime, docker_host=host if runtime != "local" else settings.docker_host)
        if kept != settings:
            kept.save()
        return runtime, host

    def _onRuntime(self, index: int) -> None:
        usesDocker = RUNTIMES[index] != "local"
        for widget in (self._ui.engineLabel, self._ui.engineEdit, self._ui.imageButton):
            widget.setVisible(usesDocker)
