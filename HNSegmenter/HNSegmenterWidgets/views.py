"""What is seen: the organs in the views, the module in its panel."""

from __future__ import annotations

import math

import qt
import slicer

MARGIN = 1.3  # of the organs' size, left free around them


def face_organs(node) -> None:
    """All 3D views look at the segments from the front, near enough to tell them apart."""
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    size = max(high - low for low, high in zip(bounds[::2], bounds[1::2], strict=True))
    if size <= 0:  # no segment
        return
    slicer.util.resetThreeDViews()  # the box around everything
    centre = [(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)]
    for view in slicer.util.getNodesByClass("vtkMRMLViewNode"):
        camera = slicer.modules.cameras.logic().GetViewActiveCameraNode(view)
        if camera is not None:
            away = MARGIN * size / 2 / math.tan(math.radians(camera.GetViewAngle() / 2))
            camera.SetFocalPoint(centre)
            camera.SetPosition(centre[0], centre[1] + away, centre[2])
            camera.SetViewUp(0, 0, 1)
            camera.ResetClippingRange()


class FullHeight(qt.QObject):
    """Keeps a widget as high as its layout wants at its width.

    The module panel's scroll area goes by what it measured when the module was entered: with more text since, Qt would
    squeeze labels and buttons into each other.
    """

    def __init__(self, widget: qt.QWidget):
        qt.QObject.__init__(self)
        self._widget = widget
        widget.installEventFilter(self)

    def close(self) -> None:
        self._widget.removeEventFilter(self)

    def eventFilter(self, _object, event) -> bool:
        if event.type() in (qt.QEvent.LayoutRequest, qt.QEvent.Resize):
            wanted = self._widget.layout().totalHeightForWidth(self._widget.width)
            if wanted != self._widget.minimumHeight:
                self._widget.setMinimumHeight(wanted)
        return False
