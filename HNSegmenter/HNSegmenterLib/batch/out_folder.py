"""OUT: whether it can be used, its own name, and files in it that appear whole or not at all."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

from ..errors import HNSegmenterError, WrongUsage

PAGE, TABLE = "index.html", "results.csv"
NAME = ".batch"  # file in OUT: its own name in tables and queues, the same on every machine that shares it
STALE_S = 600.0  # after which a file that is being written is taken for left behind


def prepare(out: Path, root: Path) -> str:
    """Make OUT if need be, and return its own name: 32 hexadecimal digits, given to it by who came first.

    Raises WrongUsage.
    """
    if out.exists() and not out.is_dir():
        raise WrongUsage(f"{out} is a file: give a folder for the results.")
    if out.exists() and root.exists() and out.samefile(root):
        raise WrongUsage("Results do not go among the patients' files: give another folder with -o.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for left in (path for name in (PAGE, TABLE, NAME) for path in out.glob(f".{name.strip('.')}.*")):
            if left.stat().st_mtime < time.time() - STALE_S:
                left.unlink(missing_ok=True)
        name = _name(out / NAME)
    except OSError as error:
        raise WrongUsage(f"Nothing can be written into {out} ({error.strerror}): give another folder.") from error
    except UnicodeDecodeError:
        name = ""
    if len(name) != 32 or not name.isalnum():
        raise WrongUsage(f"{out / NAME} is damaged: delete it when no batch works there, and start again.")
    return name


def write_lists(out: Path, page: str, table: str) -> None:
    """Raises HNSegmenterError."""
    try:
        _write(out / PAGE, page)
        _write(out / TABLE, table)
    except OSError as error:
        raise HNSegmenterError(f"The lists could not be written into {out} ({error.strerror}).") from error


def _name(path: Path) -> str:
    mine = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    mine.write_text(uuid.uuid4().hex)  # also shows that OUT can be written
    try:
        os.link(mine, path)
    except FileExistsError:
        pass
    except OSError:  # a disk without hard links
        if not path.exists():
            mine.replace(path)
    finally:
        mine.unlink(missing_ok=True)
    return path.read_text(encoding="ascii").strip()


def _write(path: Path, text: str) -> None:
    """Also where others write the same at the same time."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
