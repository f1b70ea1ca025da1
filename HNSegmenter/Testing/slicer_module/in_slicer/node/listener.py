"""Slicer's own DICOM listener, as without a node: a scanner sends, the DICOM database has it, Load, Segment, Save.

HNSEG_TEST_PORT: a free port. HNSEG_TEST_SCANNER: DCMTK's storescu;
HNSEG_TEST_DCMTK: the folder of its storescp and dcmdump.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import qt
import slicer
from driver import WidgetTest, run, wait


def use_programs_of_the_system() -> None:
    """For a Slicer that was built without DCMTK's programs: Debian's are the same."""
    from DICOMLib import DICOMProcess

    if not Path(DICOMProcess.getDCMTKToolsPath(), "storescp").exists():
        DICOMProcess.POSSIBLE_DCMTK_PATHS.insert(
            0, "/" + os.path.relpath(os.environ["HNSEG_TEST_DCMTK"], slicer.app.slicerHome)
        )


class Listener(WidgetTest):
    def test_what_the_scanner_sends_is_segmented_and_saved_on_it(self):
        import pydicom
        from DICOMLib import DICOMUtils

        use_programs_of_the_system()
        port = os.environ["HNSEG_TEST_PORT"]
        qt.QSettings().setValue("StoragePort", port)
        files = sorted(self.ct.iterdir())
        sent = pydicom.dcmread(files[0], stop_before_pixels=True)
        self.dialogs.answers[""] = "No"  # Slicer asks whether it may end the storescp of others
        slicer.modules.DICOMInstance.startListener()
        self.addCleanup(slicer.modules.DICOMInstance.stopListener)
        wait(lambda: self.listens(int(port)), 30)
        command = [
            os.environ["HNSEG_TEST_SCANNER"],
            "-aet",
            "CT1",
            "-aec",
            "SLICER",
            "127.0.0.1",
            port,
            *map(str, files),
        ]
        scanner = subprocess.Popen(command, env=slicer.util.startupEnvironment())
        wait(lambda: scanner.poll() is not None, 120)
        self.assertEqual(scanner.returncode, 0)
        wait(lambda: len(slicer.dicomDatabase.filesForSeries(sent.SeriesInstanceUID)) == len(files), 120)

        (loaded,) = DICOMUtils.loadSeriesByUID([sent.SeriesInstanceUID])
        self.ui.inputSelector.setCurrentNode(slicer.mrmlScene.GetNodeByID(loaded))
        wait(lambda: self.ui.segmentButton.enabled, 60)
        self.segmented()
        folder = self.folder / "saved"
        self.ui.saveFolderEdit.currentPath = str(folder)
        self.ui.saveButton.click()
        wait(lambda: "Saved" in self.ui.saveStatus.text, 120)
        (rtstruct,) = folder.glob("*.dcm")
        saved = pydicom.dcmread(rtstruct)
        study = saved.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
        self.assertEqual(study.RTReferencedSeriesSequence[0].SeriesInstanceUID, sent.SeriesInstanceUID)

    @staticmethod
    def listens(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0


run(Listener)
