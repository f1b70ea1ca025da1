"""evaluate on made-up data sets: what counts, what is missing, what is written, and what it says of bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.cli.evaluate import _parts, run
from HNSegmenterLib.cli.main import build_parser, main
from HNSegmenterLib.cli.ui import JsonUi
from HNSegmenterLib.errors import Cancelled, HNSegmenterError
from HNSegmenterLib.evaluation.dataset import PRESETS, Dataset
from HNSegmenterLib.evaluation.evaluate import stored_predictions, try_patient
from HNSegmenterLib.events import CancelToken
from HNSegmenterLib.sample import sample_volume
from HNSegmenterLib.staging import move_in, staging
from Testing.painted_head import COLORS, like, painted_head, shifted

LABELS = {name: value for value, name in PRESETS["tcia"].items()}
CUBE = {
    name: np.s_[2:8, 4:10, 4 + 10 * number : 10 + 10 * number]
    for number, name in enumerate(("Brainstem", "SpinalCord", "Parotid_L"))
}


def cubes(*names: str, shift: int = 0) -> dict[str, np.ndarray]:
    """Labelmaps of 6 x 6 x 6 voxels, moved by so many rows."""
    labelmaps = {}
    for name in names:
        mask = np.zeros((10, 20, 40), np.uint8)
        mask[CUBE[name]] = 1
        labelmaps[name] = np.roll(mask, shift, axis=1)
    return labelmaps


def image(array: np.ndarray) -> sitk.Image:
    made = sitk.GetImageFromArray(array)
    made.SetSpacing((1.0, 2.0, 3.0))
    return made


def write_patient(folder: Path, labelmaps: dict[str, np.ndarray], labels: dict[str, int] = LABELS) -> None:
    folder.mkdir(parents=True)
    label = sum(mask.astype(np.uint8) * labels[name] for name, mask in labelmaps.items())
    sitk.WriteImage(image(label), str(folder / "label.nii.gz"))
    sitk.WriteImage(image(np.full(label.shape, 40, np.int16)), str(folder / "data.nii.gz"))


def write_prediction(folder: Path, labelmaps: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True)
    for name, mask in labelmaps.items():
        sitk.WriteImage(image(mask), str(folder / f"{name}.nii.gz"))


@pytest.fixture
def data(tmp_path):
    """Two patients with predictions: one moved by a row (2 mm), one equal but without its cord."""
    write_patient(tmp_path / "set" / "pt_1", cubes("Brainstem", "SpinalCord", "Parotid_L"))
    write_patient(tmp_path / "set" / "pt_2", cubes("Brainstem", "SpinalCord"))
    write_prediction(tmp_path / "made" / "pt_1", cubes("Brainstem", "SpinalCord", "Parotid_L", shift=1))
    write_prediction(tmp_path / "made" / "pt_2" / "segmentations", cubes("Brainstem", "Parotid_L"))
    return tmp_path


def evaluate(data: Path, *more: str) -> tuple[int, dict]:
    code = main(
        [
            "evaluate",
            str(data / "set"),
            "--labels",
            "tcia",
            "--predictions",
            str(data / "made"),
            "-o",
            str(data / "report"),
            *more,
        ]
    )
    file = data / "report" / "evaluation.csv"
    if not file.is_file():
        return code, {}
    with file.open(encoding="utf-8", newline="") as lines:
        return code, {(row["patient"], row["organ"]): row for row in csv.DictReader(lines)}


def test_figures_by_hand(data, capsys):
    code, rows = evaluate(data)
    assert code == 0
    moved = rows["pt_1", "Brainstem"]
    assert (moved["status"], moved["dice"], moved["hd95_mm"]) == ("compared", f"{5 / 6:.4f}", "2.0000")
    assert moved["reference_ml"] == f"{216 * 6 / 1000:.4f}"
    assert float(moved["volume_error_ml"]) == 0.0
    assert rows["pt_2", "Brainstem"]["dice"] == "1.0000"
    assert rows["pt_1", "SpinalCord"]["slices"] == "6"
    assert "Brainstem" in capsys.readouterr().out


def test_missing_organs_are_never_dropped(data, capsys):
    _code, rows = evaluate(data)
    missed = rows["pt_2", "SpinalCord"]
    assert (missed["status"], missed["dice"], missed["hd95_mm"], missed["msd_mm"]) == (
        "not predicted",
        "0.0000",
        "",
        "",
    )
    assert missed["volume_error_percent"] == "-100.0000"
    undrawn = rows["pt_2", "Parotid_L"]
    assert (undrawn["status"], undrawn["dice"]) == ("no reference", "")
    text = (data / "report" / "evaluation.md").read_text(encoding="utf-8")
    assert "SpinalCord of pt_2 was missed." in text
    assert "SpinalCord of pt_2 was missed." in capsys.readouterr().out
    assert f"| SpinalCord | 2 | 1 | {(5 / 6) / 2:.3f}" in text, "the mean of Dice counts the missed one as 0"
    assert "infinite" in text


def test_a_labelmap_of_zeros_counts_as_missed(data):
    write_prediction(data / "zeros", {"Brainstem": cubes("Brainstem")["Brainstem"] * 0})
    for file in (data / "zeros").iterdir():
        file.rename(data / "made" / "pt_1" / file.name)
    assert evaluate(data)[1]["pt_1", "Brainstem"]["status"] == "not predicted"


def test_result_json_tells_a_model_without_the_organ_from_one_that_missed_it(data):
    def organ(name, status):
        return {"name": name, "label": 1, "color": [0, 0, 0], "status": status}

    for patient in ("pt_1", "pt_2"):
        for file in (data / "made" / patient).rglob("SpinalCord.nii.gz"):
            file.unlink()
        values = {"contract": 1, "model": {}, "runtime": {}, "input": {}, "timings_s": {}, "warnings": []}
        values["organs"] = [organ("SpinalCord", "not found"), organ("Eye_L", "not in this model")]
        (data / "made" / patient / "result.json").write_text(json.dumps(values), encoding="utf-8")
    rows = evaluate(data)[1]
    assert rows["pt_1", "SpinalCord"]["status"] == "not predicted"
    assert not [key for key in rows if key[1] == "Eye_L"]


def test_index_leaves_out_organs_and_slices(data, capsys):
    spoilt = cubes("Brainstem", "SpinalCord", "Parotid_L")
    spoilt["Brainstem"][2:4] = 0  # wrong, on slices that don't count
    for name, mask in spoilt.items():
        sitk.WriteImage(image(mask), str(data / "made" / "pt_1" / f"{name}.nii.gz"))
    entries = {
        "set/pt_1": {
            "context": {"Brainstem": 0.95, "SpinalCord": 0.5},
            "slices_without_context": {"Brainstem": [2, 3]},
        },
        "set/pt_2": {"context": {"Brainstem": 1.0, "SpinalCord": 1.0}},
    }
    (data / "index.json").write_text(json.dumps(entries), encoding="utf-8")
    rows = evaluate(data)[1]
    assert (rows["pt_1", "Brainstem"]["dice"], rows["pt_1", "Brainstem"]["slices"]) == ("1.0000", "4")
    assert rows["pt_1", "Brainstem"]["hd95_mm"] == "0.0000"
    assert (rows["pt_1", "SpinalCord"]["status"], rows["pt_1", "Parotid_L"]["status"]) == ("not counted", "not counted")
    assert "50%" in rows["pt_1", "SpinalCord"]["note"]
    assert "not drawn" in rows["pt_1", "Parotid_L"]["note"]
    assert str(data / "index.json") in capsys.readouterr().out


def test_the_cord_counts_only_where_the_reference_has_it(data):
    longer = cubes("SpinalCord")["SpinalCord"]
    longer[:] |= longer[4]
    sitk.WriteImage(image(longer), str(data / "made" / "pt_1" / "SpinalCord.nii.gz"))
    row = evaluate(data)[1]["pt_1", "SpinalCord"]
    assert (row["dice"], row["hd95_mm"], row["volume_error_ml"]) == ("1.0000", "0.0000", "0.0000")


def test_files(data):
    pytest.importorskip("matplotlib")
    assert evaluate(data)[0] == 0
    assert {file.name for file in (data / "report").iterdir()} == {"evaluation.csv", "evaluation.md", "evaluation.png"}
    assert (data / "report" / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    assert evaluate(data)[0] == 64, "an earlier report is not replaced unasked"
    assert evaluate(data, "--overwrite")[0] == 0


def test_without_matplotlib_the_rest_is_written(data, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert evaluate(data)[0] == 0
    assert {file.name for file in (data / "report").iterdir()} == {"evaluation.csv", "evaluation.md"}
    assert "hn-segmenter[evaluate]" in capsys.readouterr().out


def test_json_for_scripts(data, capsys):
    assert evaluate(data, "--json")[0] == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["event"] == "result"
    summary = {one["organ"]: one for one in last["organs"]}
    assert summary["Brainstem"]["patients"] == 2
    assert summary["Brainstem"]["dice"][0] == pytest.approx((5 / 6 + 1) / 2)
    assert summary["SpinalCord"]["missed"] == 1


def test_a_label_map_from_a_file_and_chosen_organs(data):
    (data / "map.json").write_text(json.dumps({"3": "Brainstem", "5": "Parotid_L"}), encoding="utf-8")
    code, rows = evaluate(data, "--labels", str(data / "map.json"))
    assert code == 0
    assert {organ for _, organ in rows} == {"Brainstem", "Parotid_L"}
    rows = evaluate(data, "--organs", "Parotid_L", "--overwrite")[1]
    assert {organ for _, organ in rows} == {"Parotid_L"}


def test_a_patient_that_fails_is_said_and_the_others_go_on(data, capsys):
    small = sitk.RegionOfInterest(image(cubes("Brainstem")["Brainstem"]), [20, 20, 10])
    sitk.WriteImage(small, str(data / "made" / "pt_1" / "Brainstem.nii.gz"))
    code, rows = evaluate(data)
    assert code == 1
    assert rows["pt_1", ""]["status"] == "failed"
    assert "not on the grid" in rows["pt_1", ""]["note"]
    assert rows["pt_2", "Brainstem"]["dice"] == "1.0000"
    assert "pt_1 failed" in capsys.readouterr().out


def test_a_patient_without_predictions_is_said(data):
    for file in (data / "made" / "pt_1").iterdir():
        file.unlink()
    (data / "made" / "pt_1").rmdir()
    code, rows = evaluate(data)
    assert code == 1
    assert "has no folder pt_1" in rows["pt_1", ""]["note"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{data}/nowhere", "--labels", "tcia"], 2, "is no folder"),
        (["{data}/made", "--labels", "tcia"], 2, "holds no <patient>/data.nii.gz"),
        (["{data}/set"], 64, "--labels"),
        (["{data}/set", "--labels", "nothing"], 64, "openkbp, openkbp-eyes, structseg, tcia"),
        (["{data}/set", "--labels", "{data}/broken.json"], 64, "is no label map"),
        (["{data}/set", "--labels", "{data}/twice.json"], 64, "a name of its own"),
        (["{data}/set", "--labels", "tcia", "--organs", "Liver"], 64, "no Liver"),
        (["{data}/set", "--labels", "tcia", "--index", "{data}/broken.json"], 2, "repair it"),
        (
            ["{data}/set", "--labels", "tcia", "-o", "{data}/broken.json", "--predictions", "{data}/made"],
            64,
            "is a file",
        ),
    ],
)
def test_bad_input_gets_a_sentence_and_leaves_nothing(data, capsys, arguments, code, words):
    (data / "broken.json").write_text("{", encoding="utf-8")
    (data / "twice.json").write_text('{"1": "Eye_L", "2": "Eye_L"}', encoding="utf-8")
    arguments = [argument.format(data=data) for argument in arguments]
    if "-o" not in arguments:
        arguments += ["-o", str(data / "report")]
    assert main(["evaluate", *arguments]) == code
    said = capsys.readouterr()
    assert words in " ".join((said.out + said.err).split())
    assert "Traceback" not in said.err
    assert not (data / "report").exists()


def test_patients_in_natural_order_and_left_out_ones_said(tmp_path):
    for name in ("pt_10", "pt_9", "pt_2"):
        write_patient(tmp_path / name, cubes("Brainstem"))
    (tmp_path / "pt_2" / "data.nii.gz").unlink()
    dataset = Dataset.read(tmp_path)
    assert [patient.name for patient in dataset.patients] == ["pt_9", "pt_10"]
    assert dataset.warnings == ["pt_2 was left out: it has no data.nii.gz."]


class InterruptedUi(JsonUi):
    """As if the user pressed Ctrl-C while the first patient is on, after something else happened on the disk."""

    def __init__(self, cancel: CancelToken, before=lambda: None):
        super().__init__()
        self._cancel, self._before = cancel, before

    def emit(self, event) -> None:
        self._before()
        self._cancel.cancel()


def interrupt(arguments: list, before=lambda: None) -> None:
    args = build_parser().parse_args(["evaluate", *map(str, arguments), "--labels", "tcia"])
    args.cancel = CancelToken()
    with pytest.raises(Cancelled):
        run(args, InterruptedUi(args.cancel, before))


def digests(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def test_a_cancel_leaves_the_predictions_and_the_earlier_report(data):
    report = data / "report"
    assert evaluate(data)[0] == 0
    (data / "made").rename(report / "predictions")
    before = digests(report)
    interrupt([data / "set", "--predictions", report / "predictions", "-o", report, "--overwrite"])
    assert digests(report) == before


def test_a_cancel_removes_new_folders_only_while_they_are_empty(data):
    arguments = [data / "set", "--predictions", data / "made", "-o", data / "new" / "deep"]
    interrupt(arguments)
    assert not (data / "new").exists()
    interrupt(arguments, lambda: (data / "new" / "notes.txt").write_text("the user's"))
    assert [path.name for path in (data / "new").iterdir()] == ["notes.txt"]


def test_a_report_that_cannot_be_moved_in_whole_leaves_the_earlier_one(data):
    report = data / "report"
    assert evaluate(data)[0] == 0
    (report / "predictions" / "pt_1").mkdir(parents=True)
    (report / "predictions" / "pt_1" / "result.json").write_text("earlier")
    (report / "predictions" / "pt_2").write_text("a file where a folder belongs")
    before = digests(report)
    with (
        pytest.raises(HNSegmenterError, match=r"could not be written into .*report"),
        staging(report, "0" * 32, "report") as staged,
    ):
        for patient in ("pt_1", "pt_2"):
            (staged / "predictions" / patient).mkdir(parents=True)
            (staged / "predictions" / patient / "result.json").write_text("new")
        move_in(staged, report, _parts(staged, Dataset.read(data / "set").patients))
    assert digests(report) == before


def test_references_are_not_kept(data):
    dataset = Dataset.read(data / "set")
    for patient in dataset.patients:
        assert try_patient(patient, PRESETS["tcia"], stored_predictions(data / "made"))[1]
    assert not [
        value for patient in dataset.patients for value in vars(patient).values() if isinstance(value, sitk.Image)
    ]


def test_runs_the_network_where_no_predictions_are_given(tmp_path, capsys):
    """The whole way on the sample patient, made coarse to be quick; how well the network does there is not asked."""
    ct, labelmaps = sample_volume()
    thin = [slice(None, None, 3), slice(None, None, 3), slice(None)]
    folder = tmp_path / "set" / "pt_1"
    folder.mkdir(parents=True)
    sitk.WriteImage(ct[thin], str(folder / "data.nii.gz"))
    label = sum(sitk.GetArrayFromImage(labelmaps[name][thin]) * LABELS[name] for name in labelmaps)
    sitk.WriteImage(like(ct[thin], label.astype(np.uint8)), str(folder / "label.nii.gz"))
    code = main(
        ["evaluate", str(tmp_path / "set"), "--labels", "tcia", "--runtime", "local", "-o", str(tmp_path / "report")]
    )
    assert code == 0, capsys.readouterr()
    place = tmp_path / "report" / "predictions" / "pt_1"
    assert (place / "result.json").is_file()
    with (tmp_path / "report" / "evaluation.csv").open(encoding="utf-8", newline="") as lines:
        rows = {row["organ"]: row for row in csv.DictReader(lines)}
    organs = json.loads((place / "result.json").read_text(encoding="utf-8"))["organs"]
    assert set(rows) == {organ["name"] for organ in organs if organ["status"] != "not in this model"}
    for organ in organs:
        if organ["status"] == "found":
            assert float(rows[organ["name"]]["predicted_ml"]) <= organ["volume_ml"] + 0.01
    (place / "notes.txt").write_text("the user's")
    before = digests(tmp_path)
    interrupt([tmp_path / "set", "--runtime", "local", "-o", tmp_path / "report", "--overwrite"])
    assert digests(tmp_path) == before


def test_a_prediction_moved_in_the_patient_keeps_its_distance(tmp_path):
    ct, labelmaps = painted_head()
    for place, maps in (
        ("set", labelmaps),
        ("made", {name: shifted(labelmap, (0, 0, 6)) for name, labelmap in labelmaps.items()}),
    ):
        (tmp_path / place / "pt_1").mkdir(parents=True)
        if place == "made":
            for name in ("Eye_L", "Parotid_R"):
                sitk.WriteImage(maps[name], str(tmp_path / place / "pt_1" / f"{name}.nii.gz"))
    label = sum(sitk.GetArrayFromImage(labelmaps[name]) * LABELS[name] for name in COLORS)
    sitk.WriteImage(like(ct, label.astype(np.uint8)), str(tmp_path / "set" / "pt_1" / "label.nii.gz"))
    code, rows = evaluate(tmp_path)
    assert code == 0
    assert float(rows["pt_1", "Eye_L"]["hd95_mm"]) == pytest.approx(6.0, abs=1e-3)
    assert set(rows) == {("pt_1", "Eye_L"), ("pt_1", "Parotid_R")}
