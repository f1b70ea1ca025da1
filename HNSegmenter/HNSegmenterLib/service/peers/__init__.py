"""DICOM connections to other machines: who they are, whether they answer, why not."""
