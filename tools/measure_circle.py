"""Whether corrected patients make the model better, by real parts:

    python -m tools.measure_circle EXPERTS CTS MODEL --config service.toml --out FOLDER [--hand NAME] [--learn 6]

The patients of EXPERTS (`pt_N/NAME.nii.gz` and `index.json`, CTs in CTS/pt_N/data.nii.gz) are sent to the node of
service.toml by storescu as its first scanner. A worker contours them with MODEL. The contours of the first patients are
replaced by those of a person (--hand), on the slices whose surroundings can be seen, and approved; then come `node
collect`, `adapt` and `model add`, and a worker with the new model contours the others anew. What it drew before and
after is compared with that person's contours. The node must be empty, for tests alone, and its destinations must
answer; beside it only DCMTK is needed. FOLDER keeps all that was made.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk

from HNSegmenterLib.dicom import PlanningCT, read_planning_ct
from HNSegmenterLib.errors import HNSegmenterError
from HNSegmenterLib.evaluation.dataset import Patient
from HNSegmenterLib.evaluation.metrics import compare
from HNSegmenterLib.evaluation.rasterise import read_contours
from HNSegmenterLib.result import FOUND, Result
from HNSegmenterLib.rtstruct import write_rtstruct
from HNSegmenterLib.sample.series import MadeUp, write_series
from HNSegmenterLib.service.settings import ServiceSettings, load

PROGRAM = [sys.executable, "-m", "HNSegmenterLib"]
TRAINING = Path(__file__).resolve().parents[1] / "training"
LABELS = {1: "Eye_L", 2: "Eye_R", 3: "Brainstem", 4: "SpinalCord", 5: "Parotid_L", 6: "Parotid_R"}
SCORED_CONTEXT = 0.5  # of an organ's slices that must be sound for a score
WAIT_S = 3600.0


class Expert:
    """A patient, and what a person drew on the slices whose surroundings can be seen."""

    def __init__(self, folder: Path, cts: Path, entry: dict, hand: str):
        self.name, self.context = folder.name, entry["context"]
        self.ct = sitk.ReadImage(str(cts / folder.name / "data.nii.gz"))
        self._labels = sitk.ReadImage(str(folder / f"{hand}.nii.gz"))
        self._patient = Patient(folder.name, folder, entry)
        text = "Measuring the circle, no real identity"
        self.who = MadeUp(
            f"TEST^Circle{self.name}", f"HNSEG-CIRCLE-{self.name}", text, text, text, f"HN Segmenter circle {self.name}"
        )

    def drawn(self, ct: PlanningCT) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By organ with anything to be seen: what was drawn there, and what counts; bool [k, j, i] on the CT's grid."""
        values = sitk.GetArrayFromImage(self._labels)
        found = {}
        for value, organ in LABELS.items():
            mask = values == value
            counted = self._patient.counted_slices(organ, mask)
            if self.context.get(organ) and (mask & counted[:, None, None]).any():
                sound = np.broadcast_to(counted[:, None, None], mask.shape)
                found[organ] = self._on(ct, mask & sound), self._on(ct, sound)
        return found

    def _on(self, ct: PlanningCT, mask: np.ndarray) -> np.ndarray:
        image = sitk.GetImageFromArray(mask.astype(np.uint8))
        image.CopyInformation(self._labels)
        moved = sitk.Resample(image, ct.image, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        return sitk.GetArrayFromImage(moved) > 0

    def scores(self, fetched: Path) -> dict[str, tuple[float, float]]:
        """Organ -> Dice, and volume relative to the person's, of a fetched result."""
        ct = read_planning_ct(fetched / "ct")
        contours = read_contours(fetched / "results" / "rtstruct.dcm", ct.image)
        scores = {}
        for organ, (mask, counted) in self.drawn(ct).items():
            if self.context[organ] >= SCORED_CONTEXT:
                drawn = contours.get(organ, np.zeros_like(mask))
                got = compare(mask, drawn, ct.image.GetSpacing(), counted)
                scores[organ] = got.dice, got.predicted_ml / got.reference_ml
        return scores

    def correct(self, fetched: Path, path: Path) -> None:
        """The fetched structure set with the person's contours in place of the network's: what was not drawn goes."""
        ct = read_planning_ct(fetched / "ct")
        result = Result.read(fetched / "results" / "result.json")
        drawn = self.drawn(ct)
        result.organs = [organ for organ in result.organs if organ.name in drawn]
        labelmaps = {}
        for organ in result.organs:
            organ.status, organ.checks = FOUND, []
            labelmaps[organ.name] = sitk.GetImageFromArray(drawn[organ.name][0].astype(np.uint8))
            labelmaps[organ.name].CopyInformation(ct.image)
        write_rtstruct(ct, labelmaps, result, path)
        dataset = pydicom.dcmread(path)
        for item in dataset.StructureSetROISequence:
            item.ROIGenerationAlgorithm = "SEMIAUTOMATIC"
        dataset.save_as(path)


class Circle:
    """One node, its worker's folder, and a service.toml for each model."""

    def __init__(self, config: Path, out: Path):
        self.settings: ServiceSettings = load(config)
        self._text, self._config, self._out = config.read_text(encoding="utf-8"), config, out

    def config(self, model: str) -> Path:
        """service.toml with another model, beside the original, for its relative paths."""
        text = re.sub(r"(?m)^\s*model\s*=.*\n", "", self._text)
        text = re.sub(r"(?m)^\[worker\][^\n]*\n", lambda found: f"{found[0]}model = {json.dumps(model)}\n", text)
        path = self._config.with_name(f"circle-{re.sub('[^a-z0-9.]+', '-', model.lower())[-40:]}.toml")
        path.write_text(text, encoding="utf-8")
        return path

    def send(self, expert: Expert) -> None:
        folder = write_series(sitk.Cast(expert.ct, sitk.sitkInt16), self._out / "dicom" / expert.name, expert.who)
        node, scanner = self.settings.node, next(iter(self.settings.scanners.values()))
        command = ["storescu", "-aet", scanner.ae_title, "-aec", node.ae_title, "127.0.0.1", str(node.dicom_port)]
        call([*command, *map(str, sorted(folder.iterdir()))])

    @contextmanager
    def worker(self, model: str) -> Iterator[Path]:
        """A worker that serves with the model; yields its service.toml."""
        config = self.config(model)
        with (self._out / "worker.log").open("ab") as log:
            process = subprocess.Popen([*PROGRAM, "serve", "--config", str(config)], stdout=log, stderr=log)
            try:
                yield config
            finally:
                process.terminate()
                process.wait(120)

    def wait(self, config: Path, states: dict[str, str], job_of: dict[str, str] | None = None) -> dict[str, str]:
        """Until every series (by UID) has the wanted state; job_of: those of before, another is waited for.

        Returns the jobs by series."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            rows = {row["series_uid"]: row for row in hn("inbox", "list", "--config", config)["patients"]}
            there = {uid: rows[uid]["state"] for uid in states if uid in rows}
            jobs = {uid: rows[uid]["job"] for uid in there}
            if there == states and not any(jobs[uid] == before for uid, before in (job_of or {}).items()):
                return jobs
            time.sleep(2.0)
        raise HNSegmenterError(f"The worker did not bring the patients where they should be: {there}. See worker.log.")


def hn(*words: object) -> dict:
    """hn-segmenter WORDS; its last JSON line."""
    return json.loads(call([*PROGRAM, *map(str, words), "--json"]).splitlines()[-1])


def call(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HNSegmenterError(f"{' '.join(command[:6])} failed: {(done.stderr or done.stdout)[-1500:]}")
    return done.stdout


def measure(args: argparse.Namespace) -> None:
    index = json.loads((args.experts / "index.json").read_text(encoding="utf-8"))
    folders = sorted(args.experts.glob("pt_*"), key=lambda path: int(path.name[3:]))
    patients = [Expert(folder, args.cts, index[folder.name], args.hand) for folder in folders]
    learn, others = patients[: args.learn], patients[args.learn :]
    args.out.mkdir(parents=True)
    circle = Circle(args.config, args.out)
    uid = {one.name: one.who.uid("series") for one in patients}
    model = hn("model", "add", args.model)
    with circle.worker(f"{model['name']}@{model['version']}") as config:
        for one in patients:
            circle.send(one)
        jobs = circle.wait(config, dict.fromkeys(uid.values(), "waiting"))
        for one in patients:
            hn("inbox", "fetch", uid[one.name], "--out", args.out / "before" / one.name, "--config", config)
        for one in learn:
            corrected = args.out / f"{one.name}-corrected.dcm"
            one.correct(args.out / "before" / one.name, corrected)
            hn("inbox", "approve", uid[one.name], "--reviewer", args.hand, "--rtstruct", corrected, "--yes",
               "--config", config)  # fmt: skip
        circle.wait(config, {uid[one.name]: "sent" for one in learn})
    data, adapted = args.out / "DATA", args.out / "ADAPTED"
    hn("node", "collect", "--out", data, "--despite-checks", "--config", config)
    adapt(args, data, adapted)
    model = hn("model", "add", adapted / "model")
    with circle.worker(f"{model['name']}@{model['version']}") as config:
        waiting = {uid[one.name]: "waiting" for one in others}
        circle.wait(config, waiting, {series: jobs[series] for series in waiting})
        for one in others:
            hn("inbox", "fetch", uid[one.name], "--out", args.out / "after" / one.name, "--config", config)
    tell(others, args.out)


def adapt(args: argparse.Namespace, data: Path, adapted: Path) -> None:
    if args.threads:
        settings = (data / "adapt.toml").read_text(encoding="utf-8")
        (data / "adapt.toml").write_text(re.sub(r"threads = \d+", f"threads = {args.threads}", settings))
    command = [str(args.python), "-m", "hn_training", "adapt", str(args.model.absolute())]
    command += ["--config", str((data / "adapt.toml").absolute()), "--out", str(adapted.absolute())]
    command += ["--folds", str(args.folds)] if args.folds else []
    with (args.out / "adapt.log").open("w") as log:
        if subprocess.run(command, stdout=log, stderr=log, cwd=TRAINING, check=False).returncode:
            raise HNSegmenterError(f"adapt failed: see {args.out / 'adapt.log'}.")


def tell(others: list[Expert], out: Path) -> None:
    """Print a table: for every organ the patients who did not teach, before and after."""
    scores = {(when, one.name): one.scores(out / when / one.name) for when in ("before", "after") for one in others}
    print("| organ | patients | Dice before | after | change | volume before | after |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for organ in LABELS.values():
        names = [one.name for one in others if organ in scores["before", one.name]]
        if names:
            table = np.array([[scores[when, name][organ] for name in names] for when in ("before", "after")])
            (before, size), (after, new_size) = table.mean(axis=1)
            each = ", ".join(f"{first:.3f} to {then:.3f}" for first, then in table[:, :, 0].T)
            print(
                f"| {organ} | {len(names)} | {before:.3f} | {after:.3f} ({each}) | {after - before:+.3f} "
                f"| {size:.2f} | {new_size:.2f} |"
            )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.measure_circle", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experts", type=Path, metavar="EXPERTS")
    parser.add_argument("cts", type=Path, metavar="CTS")
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model folder that knows none of the patients")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="service.toml of a node for tests")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder")
    parser.add_argument("--hand", default="oncologist", metavar="NAME", help="whose contours are approved")
    parser.add_argument("--learn", type=int, default=6, metavar="N", help="so many teach, by number (default: 6)")
    parser.add_argument("--folds", type=int, default=0, metavar="N", help="of adapt (default: no cross-validation)")
    parser.add_argument("--threads", type=int, metavar="N", help="of adapt (default: as collect writes it)")
    parser.add_argument("--python", type=Path, default=Path(".venv-training/bin/python").absolute(), metavar="FILE")
    args = parser.parse_args()
    try:
        measure(args)
    except HNSegmenterError as fault:
        print(fault.sentence, file=sys.stderr)
        return fault.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
