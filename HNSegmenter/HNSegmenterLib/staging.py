"""Results appear at once or not at all: completed in a hidden folder inside the output folder, then moved in."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import HNSegmenterError

EARLIER = "earlier"


@contextmanager
def staging(out: Path, job_id: str, what: str) -> Iterator[Path]:
    """A folder inside out for files that are not complete yet; on a failure out is left as it was.

    what: the files' name in the sentence of the HNSegmenterError that an OSError becomes ("results").
    """
    made = [path for path in (out.absolute(), *out.absolute().parents) if not path.exists()]
    staged = out / f".{job_id}.part"
    try:
        staged.mkdir(parents=True)
        yield staged
    except OSError as error:
        raise HNSegmenterError(f"The {what} could not be written into {out} ({error.strerror}).") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        with suppress(OSError):  # not empty: the results are there, or somebody else's files
            for path in made:
                path.rmdir()


def move_in(staged: Path, out: Path, parts: Iterable[str | Path]) -> None:
    """Put the parts (files or folders, relative) in place of earlier ones, which come back if that fails.

    Parts that were not made anew go too; what is no part stays. Raises OSError.
    """
    moved = []
    try:
        for part in parts:
            for source, target in ((out / part, staged / EARLIER / part), (staged / part, out / part)):
                if source.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    source.replace(target)
                    moved.append((source, target))
    except OSError:
        for source, target in reversed(moved):
            with suppress(OSError):
                target.replace(source)
        raise
