"""Words for what the child process of a run says that it does."""

from __future__ import annotations

from slicer.i18n import tr as _


def stage_words() -> dict[str | None, str]:
    return {
        "reading": _("Reading the CT"),
        "running": _("Starting the network"),
        "start": _("Starting the network"),
        "pull": _("Pulling the image"),
        "load": _("Loading the image"),
        "upload": _("Uploading the CT"),
        "read": _("Reading the CT"),
        "preprocess": _("Preparing the CT"),
        "network": _("Network at work"),
        "postprocess": _("Restoring the contours"),
        "write": _("Writing the contours"),
        "download": _("Downloading the contours"),
        "checking": _("Checking the contours"),
        "writing": _("Collecting the results"),
        "overview": _("Drawing the overview"),
        "done": _("Loading the contours"),
    }
