"""What the views show when contours came."""

from __future__ import annotations

import math

import slicer

MARGIN = 1.3  # of the organs' size, left free around them


def face_organs(node) -> None:
    """All 3D views look at the segments from the front, near enough to tell them apart."""
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    size = max(high - low for low, high in zip(bounds[::2], bounds[1::2], strict=True))
    if size <= 0:  # no segment
        return
    centre = [(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)]
    for view in slicer.util.getNodesByClass("vtkMRMLViewNode"):
        camera = slicer.modules.cameras.logic().GetViewActiveCameraNode(view)
        if camera is not None:
            away = MARGIN * size / 2 / math.tan(math.radians(camera.GetViewAngle() / 2))
            camera.SetFocalPoint(centre)
            camera.SetPosition(centre[0], centre[1] + away, centre[2])
            camera.SetViewUp(0, 0, 1)
            camera.ResetClippingRange()
