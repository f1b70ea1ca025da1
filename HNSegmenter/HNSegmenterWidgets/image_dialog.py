"""Where the container's image comes from: a registry, or a file on this computer or a USB stick."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from . import dialogs


def ask() -> list[str] | None:
    """Arguments of `hn-segmenter image`, or None."""
    load, pull = _("Load it from a file..."), _("Pull it by its name...")
    answer = dialogs.ask(
        "HNSegmenterImage",
        _("HN Segmenter: Docker image"),
        _("The network runs in a Docker image, which the engine must hold. Bring it in:"),
        (load, pull),
        _("A file is what  docker save  or  hn-segmenter image save  wrote on another computer."),
    )
    if answer == load:
        chosen = dialogs.file(_("Docker image as a file"), _("Docker image") + " (*.tar *.tar.gz *.tgz);;* (*)")
        return ["load", chosen] if chosen else None
    if answer == pull:
        name = _name()
        return ["pull", name] if name else None
    return None


def _name() -> str:
    dialog = qt.QInputDialog(slicer.util.mainWindow())
    dialog.setObjectName("HNSegmenterImageName")
    dialog.setWindowTitle(_("HN Segmenter: Docker image"))
    dialog.setLabelText(_("Name of the image (repository:tag, or repository@sha256:digest):"))
    accepted = dialog.exec_()
    name = dialog.textValue().strip() if accepted else ""
    dialog.deleteLater()
    return name
