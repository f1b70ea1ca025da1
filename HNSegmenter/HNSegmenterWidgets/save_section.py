"""Section 3: what will be written, where, and that it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from HNSegmenterLib import scene
from HNSegmenterLib.errors import Cancelled, HNSegmenterError
from HNSegmenterLib.rtstruct.rois import AUTOMATIC, MANUAL, SEMIAUTOMATIC
from HNSegmenterLib.scene.saving.rois import KINDS
from HNSegmenterLib.scene.saving.slicer_rt import PLUGIN as SLICER_RT_PLUGIN

from . import dialogs
from .words import names, wrapped

MOST_NAMES = 12  # of each kind of structure; the tool tip has all
CHOSEN_MS = 100  # after which Slicer's export dialog has chosen by itself


class SaveSection:
    """segmentation() gives the contours to save."""

    def __init__(self, ui, logic, segmentation: Callable):
        self._ui, self._logic, self._segmentation = ui, logic, segmentation
        self._proposedFor: tuple[str, str] | None = None
        self._rois: list[scene.PlannedRoi] | None = None
        self._plan: list[str] = []
        self._impossible: str | None = None
        ui.saveButton.connect("clicked()", self.onSave)
        ui.dicomDialogButton.connect("clicked()", self.onDicomDialog)
        ui.saveFolderEdit.connect("currentPathChanged(QString)", lambda _path: self._showPlan())

    def refresh(self, masks: Mapping) -> None:
        """After other contours were chosen, or these may have changed; masks: scene.own_masks of them."""
        node = self._segmentation()
        volume = scene.volume_of(node) if node is not None else None
        self._impossible = scene.rtstruct_impossible(volume) if volume is not None else None
        self._rois = None
        self._plan = self._planned(node, volume, masks)
        self._propose(node, volume)
        self._showPlan()
        dialogs.tell(self._ui.saveStatus, "")
        self._ui.dicomDialogButton.enabled = node is not None
        self._ui.dicomDialogButton.toolTip = (
            _("Slicer's own export, of the whole study and all contours. SlicerRT gives the CT new identifiers there.")
            if node is not None
            else _("Segment a CT, or choose contours, first.")
        )

    def update(self) -> None:
        """After organs were left out or taken in: what takes a moment is known."""
        node = self._segmentation()
        if node is None:
            return
        volume, left_out = scene.volume_of(node), scene.left_out(node)
        if self._rois is not None:
            self._rois = [replace(roi, left_out=roi.segment_id in left_out) for roi in self._rois]
        self._plan = self._planned(node, volume)
        self._propose(node, volume)
        self._showPlan()
        dialogs.tell(self._ui.saveStatus, "")

    def onSave(self) -> None:
        node, folder = self._segmentation(), Path(self._ui.saveFolderEdit.currentPath)
        dialogs.tell(self._ui.saveStatus, "")
        try:
            text = self._saveLabelmaps(node, folder) if self._impossible else self._saveRtstruct(node, folder)
        except Cancelled:
            return
        except HNSegmenterError as fault:
            dialogs.tell(self._ui.saveStatus, _("Not saved: {sentence}").format(sentence=fault.sentence))
            dialogs.show_fault(_("HN Segmenter: save"), fault.sentence)
            return
        dialogs.tell(self._ui.saveStatus, text)
        self._proposedFor = None
        self._ui.saveButton.enabled = False
        self._ui.saveButton.toolTip = _("It is saved. Choose another folder, or edit the contours, to save again.")

    def onDicomDialog(self) -> None:
        """Slicer's own dialog on the study, for SlicerRT wants the CT too;
        on the contours alone where there is none."""
        constants = slicer.vtkMRMLSubjectHierarchyConstants
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        item = hierarchy.GetItemByDataNode(self._segmentation())
        study = hierarchy.GetItemAncestorAtLevel(item, constants.GetDICOMLevelStudy())
        dialog = slicer.qSlicerDICOMExportDialog()
        dialog.setMRMLScene(slicer.mrmlScene)
        timer = qt.QTimer()
        timer.setSingleShot(True)
        timer.connect("timeout()", lambda: _choose_type(slicer.app.activeModalWidget()))
        timer.start(CHOSEN_MS)
        dialog.execDialog(study or item)
        timer.stop()

    def _saveRtstruct(self, node, folder: Path) -> str:
        types = ask_types(node)
        with slicer.util.WaitCursor():
            saved = self._logic.exportDicomRt(node, folder, types, onEvent=self._onEvent)
        lines = [_("Saved and read back: {path}").format(path=saved.path)]
        least = min(roi.dice for roi in saved.rois)
        text = _("{number} structures, each compared with its contours: smallest Dice {least}.")
        lines.append(text.format(number=len(saved.rois), least=f"{least:.3f}"))
        lines.append(saved.why)
        lines += [f"! {warning}" for warning in saved.warnings]
        return "\n".join(lines)

    def _onEvent(self, event: dict) -> None:
        """SlicerRT holds the window up while it draws: say so before."""
        words = {
            "read": _("Reading the CT"),
            "rtstruct": _("Drawing the contours"),
            "write": _("Writing, and reading back"),
        }
        if text := words.get(event.get("stage") or ""):
            text = f"{text}: {event['message']}" if "message" in event else text
            dialogs.tell(self._ui.saveStatus, f"{text} ...")
            dialogs.paint()

    def _saveLabelmaps(self, node, folder: Path) -> str:
        with slicer.util.WaitCursor():
            paths = scene.save_labelmaps(node, folder)
        return _("Saved {number} files in {folder}.").format(number=len(paths), folder=folder)

    def _propose(self, node, volume) -> None:
        """A new folder beside the CT; one that was chosen for other contours, another patient's maybe,
        does not stay."""
        wanted = (node.GetID(), volume.GetID()) if volume is not None else None
        if wanted is None or wanted != self._proposedFor:
            self._ui.saveFolderEdit.currentPath = str(scene.propose_folder(volume)) if volume is not None else ""
            self._proposedFor = wanted

    def _showPlan(self) -> None:
        """What will be written into the folder as it is chosen now."""
        node, folder = self._segmentation(), self._ui.saveFolderEdit.currentPath
        possible = node is not None and scene.volume_of(node) is not None
        if self._rois is not None:
            possible = possible and any(roi.saved for roi in self._rois)
        lines = list(self._plan)
        if possible and folder and self._impossible:
            lines.append(_("Will be written: a labelmap (.nii.gz) of every contour, and all in one .seg.nrrd file."))
        elif possible and folder:
            names = ", ".join(path.name for path in scene.planned_files(node, Path(folder)))
            lines.append(_("Will be written: {names}, on the original CT series.").format(names=names))
        self._ui.contentsLabel.text = "\n".join(lines)
        self._ui.contentsLabel.toolTip = wrapped("\n".join(_summary(self._rois or [], most=None)))
        self._ui.saveButton.text = _("Save labelmaps") if self._impossible else _("Save RTSTRUCT")
        self._ui.saveButton.enabled = possible and bool(folder)
        self._ui.saveButton.toolTip = (
            _("Write the contours, read them back and compare.")
            if self._ui.saveButton.enabled
            else _("There is nothing to save yet.")
        )

    def _planned(self, node, volume, masks: Mapping | None = None) -> list[str]:
        """Sentences about the contours, wherever they are saved."""
        if node is None:
            return [_("Segment a CT, or choose contours, to save them.")]
        if volume is None:
            return [_("These contours belong to no CT of the scene: choose their source volume in the Segment Editor.")]
        try:
            self._rois = self._rois if self._rois is not None else scene.roi_plan(node, masks=masks)
        except HNSegmenterError as fault:
            return [fault.sentence]
        lines = _summary(self._rois)
        if self._impossible:
            return [self._impossible, *lines[-1:]] if scene.left_out(node) else [self._impossible]
        if problem := scene.slicer_rt_problem(volume):
            lines.append(_("HN Segmenter draws the contours itself, since {problem}.").format(problem=problem))
        return lines


def _summary(rois, most: int | None = MOST_NAMES) -> list[str]:
    """A line for each kind of structure and who drew it, in the file's own words too, and one for what is left out.

    most: names in a line; None: all.
    """
    authors = {AUTOMATIC: _("as the network drew it"), SEMIAUTOMATIC: _("edited"), MANUAL: _("added by hand")}
    groups: dict[str, list[str]] = {}
    for roi in rois:
        if roi.saved:
            kind = roi.interpreted_type or _("type to be asked")
            groups.setdefault(f"{kind}, {authors[roi.algorithm]} ({roi.algorithm})", []).append(roi.name)
    lines = [f"{group}: {names(own, most or len(own))}" for group, own in groups.items()]
    if left_out := [roi.name for roi in rois if roi.left_out and not roi.empty]:
        lines.append(_("Left out, not saved: {names}.").format(names=names(left_out, most or len(left_out))))
    return lines


def _choose_type(dialog) -> None:
    """In Slicer's export dialog: the RTSTRUCT, where SlicerRT offers one."""
    types = slicer.util.findChildren(dialog, name="ExportablesListWidget") if dialog is not None else []
    for view in types:
        row = next((row for row in range(view.count) if SLICER_RT_PLUGIN in view.item(row).text()), None)
        if row is not None:
            view.setCurrentRow(row)


def ask_types(node) -> dict[str, str]:
    """Of the segments whose names and terminology do not tell. Raises Cancelled."""
    types = {}
    for roi in scene.roi_plan(node):
        if roi.interpreted_type is None and roi.saved:
            text = _("What is {name}? Its name and terminology do not tell.").format(name=roi.name)
            chosen = dialogs.choose("HNSegmenterRoiType", _("HN Segmenter: save"), text, KINDS)
            if chosen is None:
                raise Cancelled
            types[roi.name] = KINDS[chosen]
    return types
