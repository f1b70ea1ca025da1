"""Lists on a terminal of 80 columns: one line a job, and every id that is shown can be typed as it is shown."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console

pytest.importorskip("huey")
from HNSegmenterLib.cli.main import main
from HNSegmenterLib.cli.ui import TerminalUi
from HNSegmenterLib.service.ids import SHOWN, listed, meant, shortened
from HNSegmenterLib.service.settings import Worker
from HNSegmenterLib.service.table.interface import Delivery, Job, Sending, State, job_id
from HNSegmenterLib.service.table.opening import open_table
from Testing.service.fixtures import write_service_toml

UID = "1.2.840.113619.2.55.3.2831868886.423.1763{:04}.1234567890.12345678"  # 64 characters
SAID = "The scan looks upside down, its head where the feet should be: check Patient Position, and send the scan again."


def terminal(columns: int) -> TerminalUi:
    ui = TerminalUi()
    ui._out = Console(
        file=io.StringIO(), width=columns, force_terminal=True, color_system=None, highlight=False, soft_wrap=True
    )
    return ui


def test_ids_are_as_short_as_tells_them_apart():
    ids = ["0123456789ab", "0123456789cd", "0123456fffff", "fedcba987654"]
    short = shortened(ids)
    assert short == {
        "0123456789ab": "0123456789a",
        "0123456789cd": "0123456789c",
        "0123456fffff": "0123456f",
        "fedcba987654": "fedcba98",
    }
    assert all(meant(text, ids) == [one] for one, text in short.items())
    assert meant("0123", ids) == ids[:3] and meant("9", ids) == [] and meant("01", ["01", "012"]) == ["01"]
    assert shortened(["aa", "aab"]) == {"aa": "aa", "aab": "aab"} and shortened([]) == {}
    assert listed(ids[:2]) == "0123456789a, 0123456789c" and listed([f"{n:012}" for n in range(9)]).endswith(", ...")


NAMES = ["MÜLLER-LÜDENSCHEIDT^Hans-Jürgen^Maximilian", "山田^太郎=やまだ^たろう=ヤマダ^タロウ", "김^민수", "Doe^Jane"]


@pytest.mark.parametrize("columns", [80, 100, 260])
def test_a_row_is_a_line_whatever_letters_are_in_it(columns):
    ui = terminal(columns)
    rows = [(f"{n}1b2c3d4", "27 Nov 01:24", "segmenting", name, "0012345678", SAID) for n, name in enumerate(NAMES)]
    was_cut = ui.lines(("Series", "Received", "State", "Patient", "ID", "Remarks"), rows, whole=3)
    head, *lines = ui._out.file.getvalue().splitlines()
    assert head.split() == ["Series", "Received", "State", "Patient", "ID", "Remarks"] and len(lines) == len(rows)
    assert all(cell_len(line) <= columns for line in lines)
    assert [line.split()[0] for line in lines] == [row[0] for row in rows]
    assert was_cut == (columns < 260) == any("…" in line for line in lines)


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Jobs of real length in the table, one of a series that grew; with the configuration that leads there."""
    monkeypatch.delenv("HNSEG_NODE_PASSWORD", raising=False)
    config = write_service_toml(tmp_path / "site")
    table = open_table(Worker(folder=tmp_path / "site" / "worker"))
    made = []
    for number, state in enumerate((State.HELD, State.FAILED, State.SENDING, State.SUPERSEDED, State.WAITING)):
        node_id = "-".join([f"{min(number, 3):08x}", *["0a1b2c3d"] * 4])
        job = Job(
            job_id(node_id, str(number), "m"),
            node_id,
            UID.format(number),
            str(number),
            "m",
            state=state,
            reason=SAID,
            attempts=number,
        )
        table.add(job)
        made.append(job)
    table.add(
        Delivery(made[2].id, "MONACO", "reviewed", "2.25.1", state=Sending.FAILED, reason="Nothing listens there.")
    )
    table.close()
    return config, made


def queue(config, *words, **environment) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "HNSegmenterLib", "queue", *words, "--config", str(config)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, check=False
    )


def test_the_queue_is_one_line_a_job_at_80_columns_and_whole_without_a_terminal(jobs):
    config, made = jobs
    head, *lines = queue(config, "list", COLUMNS="80").stdout.splitlines()
    assert head.split() == ["Job", "Series", "State", "Changed", "Tries", "Reason"] and len(lines) == len(made) + 1
    assert all(cell_len(line) <= 80 for line in lines) and "--long" in lines[-1]
    _, *piped = queue(config, "list", COLUMNS="").stdout.splitlines()
    assert [line.split()[:3] for line in piped] == [line.split()[:3] for line in lines[:-1]]
    assert len(piped) == len(made) and all(SAID in line for line in piped)
    long = queue(config, "list", "--long", COLUMNS="80").stdout
    for job in made:
        assert all(text in long for text in (job.id, job.node_id, job.series_uid, job.state))
    assert long.count(SAID) == len(made) and "MONACO failed: Nothing listens there." in long
    told = json.loads(queue(config, "list", "--json").stdout)["jobs"]
    assert [(one["id"], one["node_id"], one["series_uid"]) for one in told] == [
        (job.id, job.node_id, job.series_uid) for job in made
    ]


def test_every_id_of_the_queue_can_be_typed_as_it_is_shown(jobs, capsys):
    config, made = jobs
    lines = queue(config, "list", COLUMNS="80").stdout.splitlines()[1:-1]
    for job, line in zip(made, lines, strict=True):
        shown, series, state = line.split()[:3]
        assert job.id.startswith(shown) and job.node_id.startswith(series) and state == job.state
        assert len(shown) == len(series) == SHOWN
        for typed in (shown, series):
            code = main(["queue", "retry", typed, "--config", str(config)])
            said = capsys.readouterr()
            if job.state in (State.SUPERSEDED, State.WAITING) and typed == series:  # two jobs of one series
                assert code == 64 and all(other.id[:SHOWN] in said.err for other in made[3:]), said
            elif typed == shown and job.state not in (State.SUPERSEDED, State.WAITING):
                assert code == 0 and "1 job is tried again" in said.out, said
            else:  # meant the one job, of which nothing failed (any more)
                assert code == 64 and f"Job {job.id[:SHOWN]} is " in said.err, said
    assert main(["queue", "retry", made[0].series_uid, "--config", str(config)]) == 64
    assert f"Job {made[0].id[:SHOWN]} is " in capsys.readouterr().err
    assert main(["queue", "retry", "xyz", "--config", str(config)]) == 64
    assert "No job or series" in capsys.readouterr().err


def test_commands_to_copy_stand_in_one_line():
    """Of doctor, whose table is too narrow for them."""
    command = [sys.executable, "-m", "HNSegmenterLib", "doctor", "--docker-host", "unix:///nowhere/docker.sock"]
    said = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "COLUMNS": "80"}, check=False
    ).stdout
    table, hints = (([line for line in said.splitlines() if (line[0] in "┏┃┡│└") == boxed]) for boxed in (True, False))
    assert all(cell_len(line) == cell_len(table[0]) <= 80 for line in table)
    found = json.loads(
        subprocess.run(
            [*command, "--json"], capture_output=True, text=True, timeout=60, check=False
        ).stdout.splitlines()[-1]
    )["findings"]
    assert hints == [f"{item['what']}: {item['fix']}" for item in found if item["fix"]] != []
