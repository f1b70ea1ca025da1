"""One series of the node segmented: fetched, run through the same pipeline as the command line,
its results attached."""

from __future__ import annotations

import io
import re
import shutil
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path

from ...errors import Cancelled, HNSegmenterError, RuntimeFault, UnusableInput
from ...events import CancelToken
from ...job import Job as JobFolder
from ...models import shipped_model
from ...pipeline import Outcome, segment
from ...result import model_name
from ...runtimes import ChosenModels, Runtime
from ..node.client import RESULTS, NotThere
from ..table.interface import Job, State, digest_of
from .body_region import UNLIKELY, unlikely
from .context import DELETED, LOG, MODEL_KEYS, Service
from .rules import judge

NONE_FOUND = "none of the organs was found."
# A job holds the files, the image, a labelmap of half its size for each organ and, for a moment, both copies of these.
ROOM = 6


def segment_job(service: Service, key: str) -> None:
    """Do one queued job, if it is this worker's to do; whatever happens, the table knows it afterwards."""
    job = service.table.get(Job, key)
    if job is None or job.state != State.QUEUED or job.model != service.model or job.next_try_at > time.time():
        return
    job = service.claim(job)
    if job is None:
        return
    try:
        with service.lease(job) as cancel:
            _work(service, job, cancel)
    except Cancelled:
        service.end(job, State.QUEUED, attempts=job.attempts - 1, reason="The worker was stopped.", next_try_at=0.0)
    except UnusableInput as refusal:
        reason = neutral(refusal.sentence)
        service.end(job, State.HELD, reason=UNLIKELY + NONE_FOUND if NONE_FOUND in reason else reason)
    except NotThere:
        service.end(job, State.FAILED, reason=DELETED)
    except RuntimeFault as fault:
        service.again(job, neutral(fault.sentence), limited=True)
    except HNSegmenterError as fault:  # node, table or disk
        service.again(job, neutral(fault.sentence), limited=False)
    except OSError as fault:
        service.again(job, f"The worker could not write its files ({fault.strerror}): is the disk full?", limited=False)
    except Exception as fault:  # noqa: BLE001 - a bug: what it says may quote the patient
        LOG.error("job %s: an unforeseen fault (%s) at %s", job.id, type(fault).__name__, _place(fault))
        service.again(job, f"An unforeseen fault ({type(fault).__name__}).", limited=True)


def _work(service: Service, job: Job, cancel: CancelToken) -> None:
    service.node.detach(job.node_id, RESULTS)  # of what the series was before
    headers = service.node.headers(job.node_id)
    if digest_of(values.get("SOPInstanceUID", "") for values in headers.values()) != job.sop_digest:
        raise HNSegmenterError("The series has changed since: it is looked at again when it is complete.")
    if reason := judge(headers, service.settings.rules):
        raise UnusableInput(reason)
    assert service.runtime is not None  # serving.serve gives it to every worker
    with JobFolder(cancel=cancel) as folder:
        _check_room(folder.path, headers)
        fetch(service, sorted(headers), folder.path / "ct", cancel)
        outcome = segment(
            folder.path / "ct", folder.path / "results", service.runtime, series_uid=job.series_uid, cancel=cancel
        )
        summary = summarise(outcome)
        if reason := unlikely(outcome.result.organs, outcome.result.warnings):
            summary["warnings"] = [warning for warning in summary["warnings"] if warning != reason]  # it is said once
            service.end(job, State.HELD, reason=reason, summary=summary)
            return
        packed = pack(outcome.out)
    cancel.raise_if_cancelled()
    _hand_in(service, job, packed, summary)


def _hand_in(service: Service, job: Job, packed: bytes, summary: dict) -> None:
    current = service.job(job.id)
    if current.state != State.SEGMENTING or current.owner != service.owner:
        return  # superseded, or taken over
    service.node.attach(job.node_id, RESULTS, packed)
    if not service.end(job, State.WAITING, summary=summary, reason=""):
        # Superseded in this very moment, and the newer job's results may have been overwritten: it does them again.
        for other in service.table.of_series(job.node_id):
            if other.id != job.id and other.state == State.WAITING:
                service.move(other, State.QUEUED, next_try_at=0.0)


def fetch(service: Service, instances: Iterable[str], folder: Path, cancel: CancelToken) -> None:
    """Download instances as 0001.dcm, ... into a new folder for this user alone."""
    folder.mkdir(mode=0o700)
    for number, instance in enumerate(instances, 1):
        cancel.raise_if_cancelled()
        (folder / f"{number:04d}.dcm").write_bytes(service.node.download(instance))


def summarise(outcome: Outcome) -> dict:
    """What the table and job.json tell of a result."""
    result = outcome.result
    models = [{key: model.get(key) for key in MODEL_KEYS} for model in result.models]
    return {
        "model": models[0],
        "models": models,
        "warnings": [neutral(warning) for warning in result.warnings],
        "organs": [
            {
                "name": organ.name,
                "volume_ml": round(organ.volume_ml, 2),
                "found": organ.found,
                "checks": organ.checks,
                "model": model_name(organ.model),
            }
            for organ in result.organs
        ],
    }


def pack(folder: Path) -> bytes:
    """The files of a folder as a ZIP archive, with paths relative to it.
    Labelmaps and pictures are compressed already."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            method = zipfile.ZIP_DEFLATED if path.suffix in (".dcm", ".json") else zipfile.ZIP_STORED
            archive.write(path, path.relative_to(folder).as_posix(), method)
    return buffer.getvalue()


def model_digest(runtime: Runtime) -> str:
    """The digest of the model that a runtime runs, before it has run: of several one that no other choice has, of the
    image where that does not tell its model's.

    Raises RuntimeFault where the model folder is incomplete.
    """
    if isinstance(runtime, ChosenModels):
        return runtime.digest
    if runtime.name == "docker":
        from ...runtimes.docker_runtime import DockerRuntime

        assert isinstance(runtime, DockerRuntime)  # the one of that name
        return runtime.image.model_digest or runtime.image.id
    model = shipped_model()
    if model is None or model.fault:
        raise RuntimeFault(model.fault if model else "The network is not installed on this computer.")
    return model.digest


def neutral(sentence: str) -> str:
    """A sentence of the pipeline without paths, and without the series' description, which stands in quotes."""
    sentence = re.sub(r' ".*"', "", sentence, flags=re.DOTALL)
    sentence = re.sub(r"(?: in)? /\S+/(?:ct|results)\b:?", "", " " + sentence).strip()
    sentence = re.sub(r"/\S+/", "", sentence)
    return sentence[:1].upper() + sentence[1:]


def pixels_of(headers: dict[str, dict]) -> int:
    """Of all instances together; objects that are no images have none,
    nor have damaged ones that do not say how many."""
    sizes = [[str(values.get(word, "")) for word in ("Rows", "Columns")] for values in headers.values()]
    return sum(int(rows) * int(columns) for rows, columns in sizes if rows.isdecimal() and columns.isdecimal())


def _check_room(folder: Path, headers: dict[str, dict]) -> None:
    need, free = 2 * ROOM * pixels_of(headers), shutil.disk_usage(folder).free
    if free < need:
        raise HNSegmenterError(
            f"The worker's disk is too full: {free / 1e6:.0f} MB are free, this series needs {need / 1e6:.0f} MB."
        )


def _place(fault: BaseException) -> str:
    trace = fault.__traceback__
    while trace is not None and trace.tb_next:
        trace = trace.tb_next
    return "no known place" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
