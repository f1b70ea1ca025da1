"""What Slicer's Python lacks is installed at first use, after asking, online or from a folder of wheels."""

from __future__ import annotations

import importlib
import tempfile
from importlib import metadata
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from HNSegmenterLib.errors import Cancelled, HNSegmenterError

RESOURCES = Path(__file__).resolve().parents[1] / "Resources"
REQUIREMENTS, INBOX_REQUIREMENTS = RESOURCES / "requirements.txt", RESOURCES / "requirements-inbox.txt"
LOCAL = ("nibabel", "openvino", "connected-components-3d")
DOCKER = ("docker",)
INBOX, MODELS = "inbox", "models"
NOT_NEEDED = {"docker": LOCAL, "local": DOCKER, INBOX: LOCAL + DOCKER, MODELS: LOCAL + DOCKER}
SIZES = {INBOX: "10 MB", MODELS: "1 MB"}


def missing(purpose: str = "auto") -> list[str]:
    """Requirements ("docker>=7.2") of a runtime ("auto", "docker", "local"), the inbox or
    what adds models that this Python does not meet."""
    wanted = _requirements(REQUIREMENTS) + (_requirements(INBOX_REQUIREMENTS) if purpose == INBOX else [])
    return [str(item) for item in wanted if item.name not in NOT_NEEDED.get(purpose, ()) and not _met(item)]


def _requirements(path: Path) -> list:
    from packaging.requirements import Requirement

    return [
        Requirement(line) for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")
    ]


def _met(requirement) -> bool:
    try:
        return metadata.version(requirement.name) in requirement.specifier
    except metadata.PackageNotFoundError:
        return False


def ensure(purpose: str = "auto") -> None:
    """Ask, then install what is missing. Raises Cancelled if the user declines, HNSegmenterError if pip fails.

    Nothing is installed in Slicer's testing mode.
    """
    lacking = missing(purpose)
    if not lacking:
        return
    if slicer.app.testingEnabled():
        sentence = _("Python packages are missing ({names}): install them into this Slicer first.")
        raise HNSegmenterError(sentence.format(names=", ".join(lacking)))
    install(lacking, _ask(lacking, SIZES.get(purpose, "100 MB")))


def install(requirements: list[str], wheels: Path | None = None) -> None:
    """Install with pip, from the folder wheels if given,
    without changing anything that Slicer brought (numpy above all).

    Raises HNSegmenterError with pip's own way out if that is not possible.
    """
    from packaging.requirements import Requirement

    source = ["--no-index", "--find-links", str(wheels)] if wheels else []
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(_installed(requirements)), encoding="utf-8")
        try:
            slicer.util.pip_install([*source, "--prefer-binary", "--constraint", str(constraints), *requirements])
        except Exception as error:  # CalledProcessError, or RuntimeError of the progress dialog
            where = _("in that folder") if wheels else _("on the network")
            raise HNSegmenterError(
                _(
                    "The Python packages could not be installed: pip did not find fitting ones {where}. Look at the "
                    "Python console for its messages. On a computer without network, choose "
                    "a folder of wheels (see the documentation)."
                ).format(where=where)
            ) from error
    importlib.invalidate_caches()
    if still := [item for item in requirements if not _met(Requirement(item))]:
        raise HNSegmenterError(
            _("After the installation these are still missing: {names}.").format(names=", ".join(still))
        )


def _installed(requirements: list[str]) -> list[str]:
    """Pins of all packages that are here, but for those that are to be installed."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    asked = {canonicalize_name(Requirement(item).name) for item in requirements}
    versions: dict[str, str] = {}
    for item in metadata.distributions():  # in the order of sys.path: the first of two is the one that is used
        if item.name:
            versions.setdefault(canonicalize_name(item.name), item.version)
    return [f"{name}=={version}" for name, version in sorted(versions.items()) if name not in asked]


def _ask(lacking: list[str], size: str) -> Path | None:
    """The folder of wheels, or None for the network. Raises Cancelled."""
    box = qt.QMessageBox(slicer.util.mainWindow())
    box.setObjectName("HNSegmenterPackages")
    box.setIcon(qt.QMessageBox.Question)
    box.setWindowTitle(_("HN Segmenter: Python packages"))
    box.setText(
        _(
            "For this HN Segmenter needs Python packages that Slicer does not have (about {size}): {names}.\n\n"
            "They are added to this Slicer; nothing that is there changes. Install them now?"
        ).format(size=size, names=", ".join(lacking))
    )
    online = box.addButton(_("Install"), qt.QMessageBox.AcceptRole)
    offline = box.addButton(_("From a folder..."), qt.QMessageBox.ActionRole)
    offline.setToolTip(_("A folder of wheels, made on a computer with network by  pip download."))
    box.addButton(_("Not now"), qt.QMessageBox.RejectRole)
    box.exec_()
    clicked = box.clickedButton()
    box.deleteLater()
    if clicked == online:
        return None
    folder = (
        qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of wheels"))
        if clicked == offline
        else ""
    )
    if not folder:
        raise Cancelled(_("Not installed: HN Segmenter needs these Python packages for this."))
    return Path(folder)
