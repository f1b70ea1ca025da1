"""The table of organs: what is saved, volume, found or not, what the checks noticed; a click shows the organ."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import qt
import slicer
from slicer.i18n import tr as _

from HNSegmenterLib import scene

SAVE, ORGAN, VOLUME, FOUND, LOOK_AT = range(5)
HIGHEST = 400  # pixels, then it scrolls
UNFILTERED = 12  # rows; with more there is a filter
GREY, HEAD = (128, 128, 128), (224, 228, 234)


class OrganTable:
    """onLeftOut() is called after organs were left out of what is saved, or taken in again.

    Where several models drew, each one's organs are under a line with its name.
    """

    def __init__(self, ui, onLeftOut: Callable[[], None]):
        self._ui, self._table, self._onLeftOut = ui, ui.organTable, onLeftOut
        self._rows: list[scene.OrganRow | str] = []  # a text is a line over those that follow
        self._nodeId = ""
        header = self._table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(LOOK_AT, qt.QHeaderView.Stretch)
        header.setSectionResizeMode(SAVE, qt.QHeaderView.Fixed)  # a model's name over all columns does not count
        header.resizeSection(SAVE, header.sectionSizeHint(SAVE))
        self._table.verticalHeader().setVisible(False)
        self._table.setVerticalScrollMode(qt.QAbstractItemView.ScrollPerPixel)
        header.connect(
            "sectionResized(int,int,int)", lambda column, _before, _after: self.fit() if column == LOOK_AT else None
        )
        self._table.connect("cellClicked(int,int)", self._onClicked)
        self._table.connect("itemChanged(QTableWidgetItem*)", self._onTicked)
        ui.organFilterEdit.connect("textChanged(QString)", lambda _text: self._filter())
        ui.saveAllButton.connect("clicked()", lambda: self._leaveOutShown(False))
        ui.saveNoneButton.connect("clicked()", lambda: self._leaveOutShown(True))

    def show(self, node, masks: Mapping | None = None) -> None:
        """The segments of a segmentation node that this module made; no table for any other, or None.

        masks: scene.own_masks of it.
        """
        before, self._nodeId = self._nodeId, node.GetID() if node is not None else ""
        self._rows = _grouped(scene.organ_rows(node, masks) if node is not None else [])
        self._table.blockSignals(True)
        self._table.clearSpans()
        self._table.setRowCount(len(self._rows))
        for number, row in enumerate(self._rows):
            if isinstance(row, str):
                self._head(number, row)
            else:
                self._fill(number, row)
        self._table.blockSignals(False)
        self._table.setVisible(bool(self._rows))
        self._ui.organFilterFrame.setVisible(self._organs > UNFILTERED)
        if before != self._nodeId or self._organs <= UNFILTERED:
            self._ui.organFilterEdit.text = ""
        self._filter()

    def fit(self) -> None:
        """As high as the rows that are shown, which wrap."""
        self._table.resizeRowsToContents()
        for number, row in enumerate(self._rows):
            if isinstance(row, str):  # as if it had to fit into the first column
                self._table.setRowHeight(number, self._table.verticalHeader().minimumSectionSize)
        rows = sum(self._table.rowHeight(number) for number in self._shown())
        self._table.setFixedHeight(
            min(rows + self._table.horizontalHeader().height + 2 * self._table.frameWidth, HIGHEST)
        )

    @property
    def segmentId(self) -> str | None:
        """Of the chosen row, else of the first organ that was found."""
        current = self._table.currentRow()
        chosen = self._rows[current : current + 1] if current >= 0 else []
        organs = [row for row in [*chosen, *self._rows] if not isinstance(row, str)]
        return next((row.segment_id for row in organs if row.segment_id), None)

    @property
    def _organs(self) -> int:
        return sum(not isinstance(row, str) for row in self._rows)

    def _shown(self) -> list[int]:
        return [number for number in range(len(self._rows)) if not self._table.isRowHidden(number)]

    def _filter(self) -> None:
        """Rows that hold all of the words typed, anywhere."""
        words = self._ui.organFilterEdit.text.casefold().split()
        head: int | None = None
        for number, row in enumerate(self._rows):
            if isinstance(row, str):
                head = number
                self._table.setRowHidden(number, True)
                continue
            said = " ".join([*_texts(row), row.model]).casefold()
            hidden = not all(word in said for word in words)
            self._table.setRowHidden(number, hidden)
            if head is not None and not hidden:
                self._table.setRowHidden(head, False)
        self.fit()

    def _head(self, number: int, text: str) -> None:
        item = qt.QTableWidgetItem(text)
        item.setFlags(qt.Qt.ItemIsEnabled)
        item.setToolTip(_("Drawn by this model"))
        item.setBackground(qt.QBrush(qt.QColor(*HEAD)))
        item.setForeground(qt.QBrush(qt.QColor(40, 40, 40)))
        self._table.setItem(number, 0, item)
        for column in range(1, self._table.columnCount):
            self._table.takeItem(number, column)  # of an organ that was shown here before
        self._table.setSpan(number, 0, 1, self._table.columnCount)

    def _fill(self, number: int, row: scene.OrganRow) -> None:
        swatch = qt.QPixmap(12, 12)
        swatch.fill(qt.QColor(*row.color))
        tip = _("{organ}, drawn by {model}").format(organ=row.name, model=row.model) if row.model else row.name
        for column, text in enumerate(_texts(row)):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(tip if column == ORGAN else text)
            if column == SAVE:
                item.setFlags(qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
                if row.segment_id:
                    item.setCheckState(qt.Qt.Checked if row.saved else qt.Qt.Unchecked)
                    item.setToolTip(_("Ticked: it is saved and sent."))
            if column == ORGAN:
                item.setIcon(qt.QIcon(swatch))
            if column == VOLUME:
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            if row.checks and column in (ORGAN, LOOK_AT):
                item.setBackground(qt.QBrush(qt.QColor(255, 236, 179)))
                item.setForeground(qt.QBrush(qt.QColor(60, 45, 0)))
            elif not row.saved:
                item.setForeground(qt.QBrush(qt.QColor(*GREY)))
            self._table.setItem(number, column, item)

    def _onTicked(self, item) -> None:
        if item.column() == SAVE and item.row() < len(self._rows):
            self._leaveOut([item.row()], item.checkState() != qt.Qt.Checked)

    def _leaveOutShown(self, out: bool) -> None:
        self._leaveOut(self._shown(), out)

    def _leaveOut(self, numbers: list[int], out: bool) -> None:
        node = self._node()
        chosen = [(number, self._rows[number]) for number in numbers]
        rows = {number: row for number, row in chosen if not isinstance(row, str) and row.segment_id}
        if node is None or not rows:
            return
        scene.leave_out(node, [row.segment_id for row in rows.values() if row.segment_id], out)
        self._table.blockSignals(True)
        for number, row in rows.items():
            row.saved = not out
            self._fill(number, row)
        self._table.blockSignals(False)
        self.fit()
        self._onLeftOut()

    def _onClicked(self, number: int, column: int) -> None:
        node = self._node()
        row = self._rows[number] if number < len(self._rows) else ""
        segment = None if isinstance(row, str) else row.segment_id
        if column == SAVE or node is None or segment is None or node.GetSegmentation().GetSegment(segment) is None:
            return
        if center := scene.organ_center(node, segment):
            slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *center, slicer.vtkMRMLSliceNode.CenteredJumpSlice)

    def _node(self):
        return slicer.mrmlScene.GetNodeByID(self._nodeId) if self._nodeId else None


def _grouped(rows: list[scene.OrganRow]) -> list[scene.OrganRow | str]:
    """A line before the organs of each model, where there are several; what was added by hand comes last."""
    models = list(dict.fromkeys(row.model for row in rows if row.model))
    if len(models) < 2:
        return list(rows)
    grouped: list[scene.OrganRow | str] = []
    for model in models:
        grouped += [model, *(row for row in rows if row.model == model)]
    by_hand = [row for row in rows if not row.model]
    return [*grouped, _("added"), *by_hand] if by_hand else grouped


def _texts(row: scene.OrganRow) -> tuple[str, ...]:
    """What a row shows, column by column."""
    volume = "" if row.volume_ml is None else f"{row.volume_ml:.1f}"
    remarks = [_("edited")] if row.edited and row.status == "found" else []
    if not row.saved:
        remarks.append(_("left out: not saved"))
    look_at = " ".join([*(f"{remark}." for remark in remarks), *row.checks])
    return "", row.name, volume, _statuses().get(row.status, row.status), look_at


def _statuses() -> dict[str, str]:
    return {
        "found": _("found"),
        "not found": _("not found"),
        "not in this model": _("not in this model"),
        "added": _("added"),
        "removed": _("removed"),
    }
