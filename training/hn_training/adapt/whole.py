"""All of an adaptation: cross-validation, the model that learns from all, thresholds, report."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import statistics
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from ..config import Config, ConfigError
from ..data.patches import Mixed, Patches, batches, patches_of
from ..fitting import average
from ..packing import export, unpack
from ..packing.model_folder import write_json
from ..scoring import score
from . import hands, measures, prepare, report, run
from .settings import Settings, training_config

START, BLENDED, BEGUN, SCORES, BEFORE = "start.pt", "blended.pt", "adapt.json", "scores.json", "before.json"
ADAPTED = "-adapted"
FEWEST = 3
"""Patients from which one is set aside for early stopping."""


class Adaptation:
    """What every run shares: settings, prepared patients and the weights to start from, in the folder `out`."""

    def __init__(self, model: Path, settings: Settings, out: Path, folds: int):
        self.settings, self.out, self.folds = settings, out, folds
        self.config = training_config(settings, model, out)
        self.cases = hands.cases(settings.patients)
        if folds and not 2 <= folds <= len(self.cases):
            raise ConfigError(
                f"--folds {folds}: there are {len(self.cases)} patients, so 0 (none), or from 2 to {len(self.cases)}."
            )
        if not (folds or settings.stop.one_in):
            raise ConfigError("[stop] one_in = 0 needs --folds: nobody would be left to choose the thresholds on.")
        hands.check_labels(self.cases, settings.patients)
        out.mkdir(parents=True, exist_ok=True)
        begin(out, settings, model, folds)
        self.volumes = prepare.volumes(settings, self.config, self.cases)
        self.old = prepare.old_volumes(settings, self.config, self.cases)
        self.start = out / START
        if not self.start.exists():
            names = [case.name for case in self.cases]
            difference = unpack.checkpoint(
                model, self.config, self.start, lambda: batches(self.patches(names, self.config), self.config, 0)
            )
            print(f"{self.start} differs from the model by {difference:.1e}", flush=True)

    def patches(self, names: Sequence[str], config: Config) -> Mixed:
        """Patches of these patients, by any hand, and of the old ones."""
        better = [folder for name in names for folder in self.volumes[name]]
        sets, share = [(better, 1.0)], self.settings.old.share
        if self.old:
            sets = [(better, 1 - share), (self.old, share)]
        return Mixed([Patches(folders, config, patches_of(config)) for folders, _ in sets], [part for _, part in sets])

    def ordered(self) -> list[hands.Case]:
        """Those with most organs to score first, so that every fold and the early stopping get some of everything."""

        def organs(case: hands.Case) -> int:
            return len(score.counted(self.read(case), absent=False))

        return sorted(self.cases, key=organs, reverse=True)

    def read(self, case: hands.Case, hand: str | None = None):
        return hands.read(case, hand or case.first, self.settings.patients)

    def learn(
        self, cases: Sequence[hands.Case], config: Config, name: str, stopping: bool
    ) -> tuple[int, list[hands.Case]]:
        """One run that learns from `cases`; gives the step of its weights and who was set aside for early stopping."""
        one_in = self.settings.stop.one_in if stopping and len(cases) >= FEWEST else 0
        aside = list(cases[FEWEST - 1 :: one_in]) if one_in else []
        names = [case.name for case in cases if case not in aside]
        judges = [self.read(case) for case in aside]
        folder = self.out / name
        step = run.adapt(config, self.start, self.patches(names, config), judges, self.settings.stop, folder)
        average.blend(self.start, folder / run.BEST, self.settings.old.weights, folder / BLENDED)
        return step, aside

    def scores(self, checkpoint: Path, cases: Sequence[hands.Case], path: Path) -> dict:
        """By patient, organ and threshold; kept in `path`."""
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        network, _, _ = export.load_average(checkpoint)
        found = {}
        for case in cases:
            patient = self.read(case)
            found[case.name] = measures.of_prediction(score.predict(network, patient, self.config), patient)
        write_json(path, found)
        return found

    def others(self) -> dict[str, dict]:
        """What every other hand, and the old contours of the same CT, score: by name of the hand, patient and organ."""
        found: dict[str, dict] = {}
        for case in self.cases:
            patient = self.read(case)
            for hand in list(case.fine)[1:]:
                found.setdefault(hand, {})[case.name] = measures.of_hand(self.read(case, hand), patient)
            old = prepare.clinic(self.settings, case)
            if old:
                found.setdefault("old contours", {})[case.name] = measures.of_hand(old, patient)
        return found


def begin(out: Path, settings: Settings, model: Path, folds: int) -> None:
    """Notes what was begun in `out`; raises ConfigError if it was something else."""
    network = model / "network.onnx"
    digest = hashlib.sha256(network.read_bytes()).hexdigest() if network.exists() else ""
    ours = json.loads(json.dumps({"network": digest, "folds": folds} | dataclasses.asdict(settings)))
    if not (out / BEGUN).exists():
        write_json(out / BEGUN, ours)
    elif json.loads((out / BEGUN).read_text(encoding="utf-8")) != ours:
        raise ConfigError(
            f"{out} was begun with another model or other settings ({out / BEGUN}): give another --out, or the same "
            "settings to go on."
        )


def title(model: Path, name: str | None, version: str | None) -> export.Title:
    """Of the adapted model: another name than the one before, and the day, so that both can be added beside it."""
    before = json.loads((model / "model.json").read_text(encoding="utf-8"))["name"]
    return export.Title(name or before.removesuffix(ADAPTED) + ADAPTED, version or f"{date.today():%Y.%m.%d}")


def adapt(
    model: Path,
    settings: Settings,
    out: Path,
    folds: int,
    data: str,
    name: str | None = None,
    version: str | None = None,
) -> Path:
    """Adapts, from where it was stopped if it was; gives the adapted model's folder. The report lies beside it.

    data: a word for model.json on what the model was trained on; name, version: see `title`.
        Raises ConfigError for settings, patients or a model that cannot be used.
    """
    whole = Adaptation(model, settings, out, folds)
    called = title(model, name, version)
    cases, scores, steps = whole.ordered(), {}, []
    for number in range(folds):
        name, test = f"fold_{number + 1}", cases[number::folds]
        step, _ = whole.learn([case for case in cases if case not in test], whole.config, name, stopping=True)
        scores[name] = whole.scores(out / name / BLENDED, test, out / name / SCORES)
        steps.append(step)
    config = scheduled(whole.config, round(statistics.median(steps))) if folds else whole.config
    _, aside = whole.learn(cases, config, "final", stopping=not folds)
    if not folds:
        scores["final"] = whole.scores(out / "final" / BLENDED, aside, out / "final" / SCORES)
    thresholds = measures.thresholds(pooled(scores.values()))
    old = whole.scores(whole.start, [case for case in cases if case.name in pooled(scores.values())], out / BEFORE)
    alone = crossed({name: {patient: old[patient] for patient in part} for name, part in scores.items()})
    compared = {"before": measures.at(old, {}), "thresholds alone": alone, "after": crossed(scores)} | whole.others()
    export.export(out / "final" / BLENDED, out / "model", data, thresholds, called)
    report.write(out, report.Report(compared, thresholds, steps, cases[0].first, bool(folds)))
    return out / "model"


def scheduled(config: Config, steps: int) -> Config:
    steps = max(1, steps)
    optimise = dataclasses.replace(config.optimise, steps=steps, warmup_steps=min(steps, config.optimise.warmup_steps))
    return dataclasses.replace(config, optimise=optimise)


def crossed(parts: dict[str, dict]) -> dict[str, dict]:
    """Measures by patient and organ, each part at the thresholds of the other parts;
    of its own where there is no other."""
    found: dict[str, dict] = {}
    for name, part in parts.items():
        others = pooled(scores for other, scores in parts.items() if other != name)
        found |= measures.at(part, measures.thresholds(others or part))
    return found


def pooled(parts: Iterable[dict]) -> dict:
    return {patient: found for part in parts for patient, found in part.items()}
