"""Chosen models, one after the other: of each the organs that it gives, in one folder of results."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import RuntimeFault
from ..events import CancelToken, Emit, Event
from ..models import Choice
from ..result import NOT_IN_MODEL, Organ, Result
from .base import JobFolder, Runtime

RESULT = "result.json"


@dataclass(frozen=True)
class Part:
    """A model, and where it runs."""

    choice: Choice
    runtime: Runtime

    @property
    def title(self) -> str:
        return self.choice.model.title

    def describe(self) -> str:
        organs = self.choice.organs
        some = "" if organs is None else f" for {len(organs)} of its {len(self.choice.model.organs)} organs"
        return f"{self.title}{some}: {self.runtime.describe()}"


class ChosenModels:
    """A runtime of one model or several; each sees the same CT, and the first result that fails ends the job."""

    def __init__(self, parts: Sequence[Part]):
        self.parts = tuple(parts)
        self.name = ", ".join(dict.fromkeys(part.runtime.name for part in parts))

    @property
    def digest(self) -> str:
        """Of one whole model its own; else one that another choice of models or organs does not have."""
        choices = [part.choice for part in self.parts]
        if len(choices) == 1 and choices[0].organs is None:
            return choices[0].model.digest
        lines = [f"{choice.model.digest} {','.join(sorted(choice.organs or ('all',)))}\n" for choice in choices]
        return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()

    def describe(self) -> str:
        return " ".join(part.describe() for part in self.parts)

    def run(self, job: JobFolder, emit: Emit, cancel: CancelToken) -> Path:
        """As the protocol says (base.Runtime). Raises RuntimeFault where another model ran than was chosen."""
        found: list[Result] = []
        for number, part in enumerate(self.parts):
            folder = JobFolder(job.id, job.path / f"model-{number + 1}", job.image)
            folder.results.mkdir(mode=0o700, parents=True)
            results = part.runtime.run(folder, self._scaled(emit, number), cancel)
            found.append(_result_of(part, results))
            with _disk_faults():
                _move(found, results, job.results)
            shutil.rmtree(folder.path, ignore_errors=True)  # what was not asked for takes no room
        with _disk_faults():
            merged(found).write(job.results / RESULT)
        return job.results

    def _scaled(self, emit: Emit, number: int) -> Emit:
        """Each model has the same share of the run's bar, since nobody knows how long they take."""
        count = len(self.parts)
        if count == 1:
            return emit

        def scaled(event: Event) -> None:
            if event.kind == "progress":
                fraction = event.fraction
                if isinstance(fraction, (int, float)):
                    fraction = round((number + min(max(fraction, 0.0), 1.0)) / count, 4)
                message = " ".join(filter(None, (event.message, f"({self.parts[number].title})")))
                event = Event("progress", event.stage, fraction, message)
            emit(event)

        return scaled


@contextmanager
def _disk_faults() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RuntimeFault(
            f"The results of the models could not be put together ({error.strerror}): free disk space, or name another "
            "folder in HNSEG_JOBS."
        ) from error


def _result_of(part: Part, results: Path) -> Result:
    """The result with the organs that were asked for, those first that the model has."""
    result, model = Result.read(results / RESULT), part.choice.model
    if result.model.get("digest") != model.digest:
        raise RuntimeFault(
            f"Another model ran than {model.title}: {result.model.get('digest') or 'one without a digest'} in place "
            f"of {model.digest}. Start again, and build its image again if it ran in one."
        )
    wanted = part.choice.organs if part.choice.organs is not None else model.organ_names
    organs = [organ for organ in result.organs if organ.status != NOT_IN_MODEL and organ.name in wanted]
    if missing := set(wanted) - {organ.name for organ in organs}:
        raise RuntimeFault(
            f"The result of {model.title} says nothing of {', '.join(sorted(missing))}: "
            "the image or network does not keep its contract."
        )
    if part.choice.organs is None:
        organs += [organ for organ in result.organs if organ.status == NOT_IN_MODEL]
    result.organs = organs
    return result


def _move(found: list[Result], results: Path, target: Path) -> None:
    """The labelmaps of the newest result into the folder that all share, each under its organ's name."""
    for organ in found[-1].organs:
        if organ.file is None:
            continue
        own = f"{organ.name}.nii.gz"
        try:
            (results / organ.labelmap).replace(target / own)
        except FileNotFoundError as error:
            if organ.found:
                raise RuntimeFault(
                    f"The labelmap of {organ.name} was not written: the image or network does not keep its contract."
                ) from error
        organ.file = own


def merged(found: Sequence[Result]) -> Result:
    """One result of several: organs in the order of the models, labels made anew where they clash, colours as they are.

    Organs that a model does not have are told only where no other draws them. Times are added up.
    """
    organs: list[Organ] = []
    there = {organ.name.casefold() for result in found for organ in result.organs if organ.status != NOT_IN_MODEL}
    for result in found:
        for organ in result.organs:
            name = organ.name.casefold()
            if organ.status == NOT_IN_MODEL:
                if name in there:
                    continue
                there.add(name)
            organs.append(organ)
    _number(organs)
    timings: Counter[str] = Counter()
    for result in found:
        timings.update(result.timings_s)
    first = found[0]
    runtime = dict(first.runtime)
    if any(result.runtime != first.runtime for result in found):
        runtime["models"] = [dict(result.runtime) for result in found]
    return Result(
        model=first.model,
        organs=organs,
        runtime=runtime,
        input=first.input,
        timings_s={stage: round(seconds, 3) for stage, seconds in timings.items()},
        warnings=list(dict.fromkeys(warning for result in found for warning in result.warnings)),
        models=[result.model for result in found],
    )


def _number(organs: Sequence[Organ]) -> None:
    """Give organs whose label is taken already the lowest that are free."""
    own: dict[int, Organ] = {}
    for organ in organs:
        own.setdefault(organ.label, organ)
    label = 0
    for organ in organs:
        if own[organ.label] is organ:
            continue
        label = next(number for number in range(label + 1, label + len(organs) + len(own) + 2) if number not in own)
        organ.label = label
