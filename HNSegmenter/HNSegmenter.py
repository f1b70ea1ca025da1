"""HN Segmenter in 3D Slicer: a planning CT of the head and neck in, reviewed contours as RTSTRUCT out.

Wiring only: what is done is in HNSegmenterLib (no Qt), how it looks in HNSegmenterWidgets and Resources/UI.
"""

import sys
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from HNSegmenterLib import scene
from HNSegmenterWidgets.runs.runner import Runner

SAMPLE = "HNSegmenterSample"


class HNSegmenter(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("HN Segmenter")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "SegmentEditor", "DICOM"]
        parent.contributors = ["The HN Segmenter contributors"]
        parent.helpText = _(
            "Contours the organs at risk of the head and neck on a planning CT, and saves them as DICOM RTSTRUCT on "
            "the original CT series.<br>1. <b>Load</b> a CT folder, 2. <b>Segment</b>, review every contour, "
            "3. <b>Save</b>; or review what a DICOM node has segmented, from its 4. <b>Inbox</b>.<br>"
            "<b>Research use, not a medical device: a clinician must review every contour.</b>"
        )
        parent.acknowledgementText = _(
            "The network is a DenseVNet (E. Gibson et al., IEEE Trans. Med. Imaging 37, 2018), trained on OpenKBP "
            "(A. Babier et al., Medical Physics 48, 2021) and adapted to an oncologist's contours (S. Nikolov et al., "
            "arXiv:1809.04430). RTSTRUCT contours are drawn by SlicerRT (C. Pinter et al., Medical Physics 39, 2012) "
            "where it is installed."
        )
        slicer.app.connect("startupCompleted()", registerWithSlicer)


def registerWithSlicer():
    """The made-up sample patient in the Sample Data module, the organs' terminology in its selector."""
    import SampleData

    from HNSegmenterLib.scene import terminology

    terminology.register()

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="HN Segmenter",
        sampleName=SAMPLE,
        uris=[],
        fileNames=[],
        thumbnailFileName=str(Path(__file__).parent / "Resources" / "Icons" / "HNSegmenterSample.png"),
        customDownloader=lambda _source: [HNSegmenterLogic().loadSample()],
    )


@parameterNodeWrapper
class HNSegmenterParameterNode:
    """Choices that belong to the scene.

    inputVolume: the CT to segment; segmentation: the contours shown and saved; models: what was chosen to draw them
    (HNSegmenterLib.models.parse), none for what is chosen on this computer.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    models: list[str]


class HNSegmenterWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        VTKObservationMixin.__init__(self)
        self._parameterNode: Any = None  # HNSegmenterParameterNode, with what parameterNodeWrapper gives it
        self._guiTag = None
        self._shown = None
        ScriptedLoadableModuleWidget.__init__(self, parent)  # without a parent it calls setup

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from HNSegmenterWidgets.inbox.section import InboxSection
        from HNSegmenterWidgets.load_section import LoadSection
        from HNSegmenterWidgets.quitting import QuitGuard
        from HNSegmenterWidgets.runs.earlier_runs import EarlierRuns
        from HNSegmenterWidgets.save_section import SaveSection
        from HNSegmenterWidgets.segment_section import SegmentSection
        from HNSegmenterWidgets.views import FullHeight

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/HNSegmenter.ui"))
        self.layout.addWidget(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        inbox = slicer.util.loadUI(self.resourcePath("UI/HNSegmenterInbox.ui"))
        uiWidget.layout().insertWidget(uiWidget.layout().count() - 1, inbox)  # above the spacer
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        self.fullHeight = FullHeight(uiWidget)
        self.logic = HNSegmenterLogic()
        self.loadSection = LoadSection(self.ui, self.logic, self.onLoaded, lambda: not self.logic.running)
        self.saveSection = SaveSection(self.ui, self.logic, self.segmentation)
        self.segmentSection = SegmentSection(
            self.ui,
            self.logic,
            self.volume,
            self.segmentation,
            self.onSegmented,
            self.models,
            self.rememberModels,
            self.saveSection.update,
        )
        self.inboxSection = InboxSection(
            self.ui, self.logic, self.loadSection.clearScene, self.segmentation, self._choose
        )
        self.earlierRuns = EarlierRuns(self.ui, self.logic, self.segmentSection.show)
        self.quitGuard = QuitGuard(self.logic)
        mrml = slicer.mrmlScene
        self.addObserver(mrml, mrml.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(mrml, mrml.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(mrml, mrml.NodeAboutToBeRemovedEvent, self.onNodeRemoved)
        self.initializeParameterNode()
        self.earlierRuns.look()

    def cleanup(self):
        """Before the module is unloaded, reloaded, or Slicer ends."""
        for part in (
            self.fullHeight,
            self.quitGuard,
            self.loadSection,
            self.segmentSection,
            self.inboxSection,
            self.earlierRuns,
        ):
            part.close()
        self.setParameterNode(None)
        self.removeObservers()

    def onReload(self):
        """For developers: our packages are read anew too."""
        for name in [name for name in sys.modules if name.split(".")[0] in ("HNSegmenterLib", "HNSegmenterWidgets")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def enter(self):
        """Contours may have been edited meanwhile."""
        self.initializeParameterNode()
        self.segmentSection.enter()
        self.refreshSections()
        self.inboxSection.enter()

    def exit(self):
        if self._parameterNode is not None and self._guiTag is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self._guiTag = None

    def volume(self):
        return self._parameterNode.inputVolume if self._parameterNode else None

    def segmentation(self):
        return self._parameterNode.segmentation if self._parameterNode else None

    def models(self):
        """Chosen in this scene; None without one."""
        return list(self._parameterNode.models) if self._parameterNode else None

    def rememberModels(self, texts):
        if self._parameterNode is not None:
            self._parameterNode.models = texts

    def onLoaded(self, volume):
        self._choose(volume, None)

    def onSegmented(self, node):
        from HNSegmenterWidgets.views import face_organs

        self._choose(scene.volume_of(node), node)
        face_organs(node)

    def _choose(self, volume, segmentation):
        if self._parameterNode is None:  # the scene was closed while another module was shown
            self.initializeParameterNode()
        with slicer.util.NodeModify(self._parameterNode):
            self._parameterNode.inputVolume = volume
            self._parameterNode.segmentation = segmentation

    def onSceneStartClose(self, _caller, _event):
        self.segmentSection.stopImport()
        self.inboxSection.stopImport()
        self.logic.cancel()
        self.setParameterNode(None)

    def onSceneEndClose(self, _caller, _event):
        self.segmentSection.forget()
        if self.parent.isEntered:
            self.initializeParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeRemoved(self, _caller, _event, node):
        """A CT that is deleted while it is segmented takes its run along."""
        if node is not None and node.IsA("vtkMRMLScalarVolumeNode"):
            self.segmentSection.stopImport()
            self.inboxSection.stopImport()
        if self.logic.running and node is not None and node.GetID() == self.logic.volumeId:
            self.logic.cancel()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.inputVolume:
            first = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
            if first is not None:
                self._parameterNode.inputVolume = first

    def setParameterNode(self, node):
        if self._parameterNode is not None:
            if self._guiTag is not None:
                self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateSections)
        self._parameterNode, self._guiTag = node, None
        if node is not None:
            self._guiTag = node.connectGui(self.ui)
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self.updateSections)
        self.updateSections()

    def updateSections(self, _caller=None, _event=None):
        self.segmentSection.update()
        self.inboxSection.update()
        node = self.segmentation()
        if (node.GetID() if node is not None else None) != self._shown:
            self.refreshSections()

    def refreshSections(self):
        """What depends on the voxels, and so takes a moment."""
        node = self.segmentation()
        self._shown = node.GetID() if node is not None else None
        shown = node is not None and (scene.is_own(node) or scene.volume_of(node) is not None)
        masks = scene.own_masks(node) if shown else {}
        self.segmentSection.refresh(masks)
        self.saveSection.refresh(masks)


class HNSegmenterLogic(ScriptedLoadableModuleLogic, Runner):
    """The steps, each usable alone from Python; segment() and segmentAndSave() do several and wait.

    Raises HNSegmenterLib.errors.HNSegmenterError, whose text says what is wrong and what to do.
    """

    def getParameterNode(self):
        node = ScriptedLoadableModuleLogic.getParameterNode(self)
        return HNSegmenterParameterNode(node)  # type: ignore[call-arg]  # parameterNodeWrapper makes its __init__

    def settings(self):
        """The library's settings of this machine; the defaults before its packages are installed."""
        from HNSegmenterLib.settings import Settings

        try:
            return Settings.load()
        except ModuleNotFoundError:  # platformdirs
            return Settings()

    # Load

    def load(self, path, seriesUid=None, onEvent=None, copy=False):
        """A DICOM folder or a NIfTI, NRRD or MetaImage file -> volume node, shown in a soft-tissue window.

        copy: into the DICOM database, for a folder that will go away. Raises UnusableInput; its candidates list the
            series where several could be the planning CT.
        """
        volume = scene.load(Path(path), seriesUid, onEvent, copy)
        scene.show_ct(volume)
        if slicer.app.layoutManager() is not None:
            slicer.util.setSliceViewerLayers(background=volume, fit=True)
        return volume

    def loadSample(self):
        """The sample patient -> volume node; its DICOM files go to Slicer's cache folder."""
        from HNSegmenterLib import sample

        folder = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()) / SAMPLE
        if not folder.is_dir():
            sample.write_dicom(folder)
        return self.load(folder)

    # Segment

    def exportToNifti(self, volume, onWait=None):
        """The volume as img.nii in a new folder of this user -> scene.HandOver, whose remove() deletes it.

        Tilted and uneven series are read from their DICOM files again;
        onWait() is called between files, to paint the window.
        """
        return scene.HandOver.create(volume, emit=lambda _event: onWait() if onWait else None)

    def start(self, volume, runtime="auto", dockerHost=None, onEvent=None, onEnd=None, onWait=None, models=()):
        """Begin to segment, in a child process; returns at once. runtime: auto, docker or local.
        onWait: see exportToNifti. models: as `segment --model` takes them, each draws what those before it lack; none
        for what is chosen on this computer.

        onEvent(dict) hears all events, onEnd(run) the end, run.state says which. poll(), cancel(), abandon() and
        release() are Runner's. Raises WrongUsage if a run goes on.
        """
        self.refuseSecond()
        job = self.exportToNifti(volume, onWait)
        arguments = job.arguments(runtime=runtime, docker_host=dockerHost, models=models)
        self.begin(job, arguments, job.environment(), onEvent, onEnd, volume)

    def leftBehind(self):
        """Hand-overs of runs that a Slicer began that is closed now, done or still going on."""
        try:
            return scene.left_behind()
        except ModuleNotFoundError:  # platformdirs: nothing was ever run
            return []

    def importSteps(self, job, replace=None):
        """importResults for a window that must stay alive: a generator of scene.show_in_steps;
        the job is the caller's to remove."""
        volume = job.volume(slicer.mrmlScene) or job.load_volume()
        return scene.show_in_steps(job.results, volume, replace)

    def importResults(self, job, replace=None):
        """Labelmaps of a run that is done -> segmentation node beside its CT; then the job's folder is removed.

        The CT is loaded again if it is gone. replace: an earlier result of ours (scene.own_results),
        whose place it takes.
        """
        volume = job.volume(slicer.mrmlScene) or job.load_volume()
        node = scene.show_results(job.results, volume, replace)
        job.remove()
        return node

    def segment(self, volume, runtime="auto", dockerHost=None, onEvent=None, models=()):
        """Segment and wait, Slicer's window alive -> segmentation node. Raises Cancelled, RuntimeFault."""
        self.start(volume, runtime, dockerHost, onEvent, models=models)
        run = self.waited()
        return self.importResults(run.job)

    # Save

    def exportDicomRt(self, segmentation, folder, types=None, slicerRt=True, onEvent=None):
        """Write the RTSTRUCT on the original CT series into a new or empty folder -> scene.Saved,
        read back and compared.

        types: {segment name: "GTV"} where name and terminology do not tell; slicerRt False draws with our own tracer;
        onEvent(dict) hears what is being done.
        """

        def emit(event):
            if onEvent is not None:
                onEvent(event.to_dict())

        return scene.export_rtstruct(segmentation, Path(folder), types=types or {}, use_slicer_rt=slicerRt, emit=emit)

    def segmentAndSave(self, path, folder, runtime="auto", onEvent=None, models=()):
        """All steps: a DICOM folder in, an RTSTRUCT in folder out -> scene.Saved."""
        return self.exportDicomRt(self.segment(self.load(path), runtime, onEvent=onEvent, models=models), folder)


class HNSegmenterTest(ScriptedLoadableModuleTest):
    """What a user would do: sample in, segment on this computer, RTSTRUCT out, checked. No network, no Docker."""

    def setUp(self):
        slicer.mrmlScene.Clear(False)

    def runTest(self):
        self.setUp()
        self.test_sampleToRtstruct()

    def test_sampleToRtstruct(self):
        import tempfile

        import pydicom
        from DICOMLib import DICOMUtils

        from HNSegmenterWidgets import packages

        if lacking := packages.missing("local"):
            self.skipTest(f"Python packages are missing: {', '.join(lacking)}")
        with DICOMUtils.TemporaryDICOMDatabase(), tempfile.TemporaryDirectory() as folder:
            logic = HNSegmenterLogic()
            self.delayDisplay("Loading the sample patient", 100)
            volume = logic.loadSample()
            self.assertEqual(volume.GetImageData().GetDimensions()[:2], (512, 512))
            self.delayDisplay("Segmenting on this computer", 100)
            stages = []
            segmentation = logic.segment(volume, "local", onEvent=lambda event: stages.append(event.get("stage")))
            self.assertIn("network", stages)
            found = {row.name for row in scene.organ_rows(segmentation) if row.segment_id}
            self.assertLessEqual({"Brainstem", "SpinalCord", "Parotid_L", "Parotid_R"}, found)
            self.delayDisplay("Saving the RTSTRUCT", 100)
            saved = logic.exportDicomRt(segmentation, Path(folder) / "rtstruct")
            written = pydicom.dcmread(saved.path)
            self.assertEqual({roi.ROIName for roi in written.StructureSetROISequence}, found)
            self.assertEqual(written.ApprovalStatus, "UNAPPROVED")
            slices = set(volume.GetAttribute("DICOM.instanceUIDs").split())
            contours = [contour for roi in written.ROIContourSequence for contour in roi.ContourSequence]
            named = {contour.ContourImageSequence[0].ReferencedSOPInstanceUID for contour in contours}
            self.assertTrue(named and named <= slices)
            self.assertGreaterEqual(min(roi.dice for roi in saved.rois), 0.99)
        self.delayDisplay("Test passed")
