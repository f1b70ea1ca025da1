"""A worker (`hn-segmenter serve`) as a process of its own, and what it has written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from HNSegmenterLib.service.node.client import JOB, Node
from Testing.machine import ROOT, wait_for
from Testing.service.fixtures import OrthancNode

LINE = "from HNSegmenterLib.cli.main import entry; entry()"


class WorkerProcess:
    """hn-segmenter serve for a node. before: Python lines that run first in its process,
    such as a power cut to come."""

    def __init__(self, node: OrthancNode, log: Path, before: str = ""):
        self.node, self.log = node, log
        command = [sys.executable, "-c", f"{before}\n{LINE}", "serve", "--config", str(node.config)]
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command, cwd=ROOT / "HNSegmenter", stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )

    def wait_killed(self, seconds: float = 120) -> None:
        """Until the power cut of `before` came."""
        assert self._process.wait(seconds) == -signal.SIGKILL, self.log.read_text()[-3000:]

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def wait_state(self, state: str, series: str | None = None, seconds: float = 180) -> dict:
        """Wait until the node's series (the only one, or that) tells the state; its job.json."""
        found: dict = {}

        def there() -> bool:
            assert self._process.poll() is None, self.log.read_text()[-3000:]
            found.update(job_of(self.node, series) or {})
            return found.get("state") == state

        try:
            wait_for(there, seconds)
        except AssertionError as error:
            raise AssertionError(f"{found}\n{self.log.read_text()[-3000:]}") from error
        return found


def job_of(node: OrthancNode, series: str | None = None) -> dict | None:
    """job.json of a series of the node (default: its first)."""
    with Node(node.settings.node) as rest:
        ids = [series] if series else rest.all_series()[:1]
        return rest.attached_json(ids[0], JOB) if ids else None


def audit(node: OrthancNode) -> list[dict]:
    return [json.loads(line) for line in (node.settings.worker.folder / "audit.jsonl").read_text().splitlines()]


def written(folder: Path, suffixes: tuple[str, ...] = (".log", ".jsonl", ".db", ".db-wal")) -> str:
    """All that logs, table, queue and audit hold, as text."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name.endswith(suffixes)]
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in files)
