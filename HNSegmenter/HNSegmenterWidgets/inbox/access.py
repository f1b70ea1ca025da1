"""How the inbox reaches the DICOM node: this machine's service.toml, the password of this session,
and child processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from HNSegmenterLib import scene
from HNSegmenterLib.errors import Cancelled, HNSegmenterError
from HNSegmenterLib.service import settings as service

from .. import packages
from ..runs.process import CANCEL_MS
from ..runs.run import Run, RunState
from . import questions

CONFIGURATION = "HNSegmenter/NodeConfiguration"
DECISIONS = ("approve", "reject")
ABOUT_PASSWORD = "password"  # in the sentence of a node that refuses it


class NodeAccess:
    """settings: of the chosen service.toml, None without a usable one, and fault says why;
    both empty where none is chosen."""

    def __init__(self):
        self.settings: service.ServiceSettings | None = None
        self.fault = ""
        self._password = ""
        self._runs: dict[Run, str] = {}
        self._read()

    @property
    def path(self) -> str:
        """Of the configuration file; empty if none was chosen."""
        return slicer.util.settingsValue(CONFIGURATION, "")

    @property
    def silent(self) -> bool:
        """Whether the node can be asked without a question to the user."""
        return (
            self.settings is not None
            and not packages.missing(packages.INBOX)
            and (bool(self._password) or self._found())
        )

    def choose(self, path: str) -> None:
        """Keep another configuration for this machine.
        Raises WrongUsage, and keeps the former one, if it is not usable."""
        service.load(Path(path))
        self.close()
        qt.QSettings().setValue(CONFIGURATION, path)
        self._password = ""
        self._read()

    def ask(
        self,
        command: list[str],
        onResult: Callable[[dict], None],
        onFault: Callable[[str], None],
        onEvent: Callable[[dict], None] = lambda _event: None,
    ) -> Run:
        """Begin `hn-segmenter inbox <command>`; one of the two is called at its end, onFault with "" after a cancel.

        Raises Cancelled if the user declines the packages or the password, HNSegmenterError.
        """
        packages.ensure(packages.INBOX)
        results: list[dict] = []

        def listen(event: dict) -> None:
            if event["event"] == "result":
                results.append(event)
            else:
                onEvent(event)

        def end(run: Run) -> None:
            self._runs.pop(run, None)
            if results and run.state != RunState.CANCELLED:  # connections that fail are a result, too
                onResult(results[-1])
            else:
                self._heed(run.sentence)
                onFault("" if run.state == RunState.CANCELLED else run.sentence or _("The node's answer is missing."))

        run = Run(None, listen, end)
        arguments = scene.child_arguments("inbox", *command, "--config", self.path, "--json")
        environment = scene.HandOver.environment() | self._secret()
        self._runs[run] = command[0]
        try:
            run.start(arguments, environment)
        except HNSegmenterError:
            del self._runs[run]
            raise
        return run

    def close(self) -> None:
        """Stop what only reads, wait for a decision that is on its way; nobody is called."""
        runs, self._runs = self._runs, {}
        for run, command in runs.items():
            decides = command in DECISIONS
            run.abandon(CANCEL_MS if decides else 0, cancel=not decides)

    def _read(self) -> None:
        self.settings, self.fault = None, ""
        if self.path:
            try:
                self.settings = service.load(Path(self.path))
            except HNSegmenterError as fault:
                self.fault = fault.sentence

    def _secret(self) -> dict[str, str]:
        """The password for the child, where it does not find it by itself: asked once, kept in memory alone."""
        if self.settings is None:
            raise HNSegmenterError(self.fault or _("Choose the configuration of the DICOM node first (service.toml)."))
        if not self._password and self._found():
            return {}
        self._password = self._password or questions.password(self.settings.node.user, self.settings.node.url)
        if not self._password:
            raise Cancelled(_("The node's password is needed: Refresh asks for it again."))
        return {service.PASSWORD_VARIABLE: self._password}

    def _found(self) -> bool:
        """Whether the configuration leads to a password."""
        try:
            return self.settings is not None and bool(self.settings.node.password())
        except HNSegmenterError:
            return False

    def _heed(self, sentence: str) -> None:
        """A password that was refused is asked for again."""
        if ABOUT_PASSWORD in sentence:
            self._password = ""
