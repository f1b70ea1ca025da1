"""Client library of HN Segmenter: a planning CT in, organ contours and an RTSTRUCT out.

Importing the package is cheap: SimpleITK, pydicom, docker and rich are imported by the modules that use them.
"""

__version__ = "0.1.0"
