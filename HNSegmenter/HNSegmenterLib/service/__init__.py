"""The DICOM node's worker, its queue, the inbox client and the DICOM connections.

Needs the packages of the extra `service`; nothing of it is imported by the rest of the library but by its commands.
"""
