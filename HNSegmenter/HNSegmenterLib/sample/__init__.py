"""The sample patient: a CT of no real person with six known organs (docs/sample.md)."""

from .series import PATIENT_ID, PATIENT_NAME, write_dicom
from .volume import ORGANS, sample_volume

__all__ = ["ORGANS", "PATIENT_ID", "PATIENT_NAME", "sample_volume", "write_dicom"]
