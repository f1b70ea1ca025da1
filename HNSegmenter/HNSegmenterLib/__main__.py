"""python -m HNSegmenterLib: the command line where no console script is installed (Slicer)."""

from .cli.main import entry

entry()
