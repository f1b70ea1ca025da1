"""The table of organs: volume, found or not, what the checks noticed; a click shows the organ."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from HNSegmenterLib import scene

ORGAN, VOLUME, FOUND, LOOK_AT = range(4)
HIGHEST = 400  # pixels, then it scrolls


class OrganTable:
    def __init__(self, table: qt.QTableWidget):
        self._table = table
        self._rows: list[scene.OrganRow] = []
        self._nodeId = ""
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(LOOK_AT, qt.QHeaderView.Stretch)
        table.verticalHeader().setVisible(False)
        header.connect(
            "sectionResized(int,int,int)", lambda column, _before, _after: self.fit() if column == LOOK_AT else None
        )
        table.connect("cellClicked(int,int)", self._onClicked)

    def show(self, node) -> None:
        """The segments of a segmentation node that this module made; no table for any other, or None."""
        self._rows = scene.organ_rows(node) if node is not None else []
        self._nodeId = node.GetID() if node is not None else ""
        self._table.setRowCount(len(self._rows))
        for number, row in enumerate(self._rows):
            self._fill(number, row)
        self._table.setVisible(bool(self._rows))
        self.fit()

    def fit(self) -> None:
        """As high as its rows, which wrap."""
        self._table.resizeRowsToContents()
        rows = sum(self._table.rowHeight(row) for row in range(self._table.rowCount))
        self._table.setFixedHeight(
            min(rows + self._table.horizontalHeader().height + 2 * self._table.frameWidth, HIGHEST)
        )

    @property
    def segmentId(self) -> str | None:
        """Of the chosen row, else of the first organ that was found."""
        current = self._table.currentRow()
        chosen = self._rows[current : current + 1] if current >= 0 else []
        return next((row.segment_id for row in [*chosen, *self._rows] if row.segment_id), None)

    def _fill(self, number: int, row: scene.OrganRow) -> None:
        swatch = qt.QPixmap(12, 12)
        swatch.fill(qt.QColor(*row.color))
        volume = "" if row.volume_ml is None else f"{row.volume_ml:.1f}"
        remarks = [_("edited")] if row.edited and row.status == "found" else []
        texts = (row.name, volume, _statuses().get(row.status, row.status), " ".join([*remarks, *row.checks]))
        for column, text in enumerate(texts):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(text)
            if column == ORGAN:
                item.setIcon(qt.QIcon(swatch))
            if column == VOLUME:
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            if row.checks and column in (ORGAN, LOOK_AT):
                item.setBackground(qt.QBrush(qt.QColor(255, 236, 179)))
                item.setForeground(qt.QBrush(qt.QColor(60, 45, 0)))
            self._table.setItem(number, column, item)

    def _onClicked(self, number: int, _column: int) -> None:
        node = slicer.mrmlScene.GetNodeByID(self._nodeId)
        segment = self._rows[number].segment_id if number < len(self._rows) else None
        if node is None or segment is None or node.GetSegmentation().GetSegment(segment) is None:
            return
        if center := scene.organ_center(node, segment):
            slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *center, slicer.vtkMRMLSliceNode.CenteredJumpSlice)


def _statuses() -> dict[str, str]:
    return {
        "found": _("found"),
        "not found": _("not found"),
        "not in this model": _("not in this model"),
        "added": _("added"),
        "removed": _("removed"),
    }
