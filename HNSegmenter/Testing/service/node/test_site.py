"""What the physicist starts from: the example of service.toml,
and the commands of systemd's units and of the compose file."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess

import pytest

from HNSegmenterLib.cli.main import build_parser, main
from HNSegmenterLib.service.settings import load
from Testing.machine import ROOT, require_program

SITE = ROOT / "docs" / "node"
UNITS = sorted(SITE.glob("*.service"))


def test_the_example_is_a_configuration_that_works(tmp_path):
    shutil.copy(SITE / "service.example.toml", tmp_path / "service.toml")
    (tmp_path / "node-password").write_text("made up for this test\n")
    assert (
        main(["node", "configure", "--config", str(tmp_path / "service.toml"), "--out", str(tmp_path / "orthanc.json")])
        == 0
    )
    rights = {
        peer["AET"]: (peer["Host"], peer["AllowStore"])
        for peer in json.loads((tmp_path / "orthanc.json").read_text())["DicomModalities"].values()
    }
    assert rights["CT1"] == ("192.0.2.21", True) and rights["MONACO"] == ("192.0.2.30", False)


def test_the_examples_values_are_the_defaults_or_said_to_be_examples(tmp_path):
    """So that the page's table of defaults and the example do not drift apart."""
    example = load(SITE / "service.example.toml")
    (tmp_path / "service.toml").write_text("")
    default = load(tmp_path / "service.toml")
    assert example.rules == default.rules and example.worker == default.worker
    for name in ("url", "user", "ae_title", "dicom_port", "stable_age_s"):
        assert getattr(example.node, name) == getattr(default.node, name)


def test_the_commented_parts_are_right_too(tmp_path):
    text = (SITE / "service.example.toml").read_text()
    (tmp_path / "service.toml").write_text(re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.MULTILINE))
    settings = load(tmp_path / "service.toml")
    assert settings.https.orthanc_port == 8042 and settings.tls.ca.name == "hospital-ca.pem"


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_the_units_commands_are_commands(unit):
    commands = [line.partition("=")[2] for line in unit.read_text().splitlines() if line.startswith("ExecStart")]
    assert commands
    for program, *arguments in map(shlex.split, commands):
        if program.endswith("hn-segmenter"):
            build_parser().parse_args(arguments)
        else:
            assert program in ("/usr/sbin/Orthanc", "/usr/sbin/nginx")


def test_the_compose_files_commands_are_commands():
    shown = subprocess.run(
        [
            require_program("docker-compose"),
            "-f",
            str(ROOT / "docker" / "compose.yaml"),
            "--profile",
            "https",
            "config",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    commands = re.findall(r"^    command:\n((?:    - .*\n)+)", shown.stdout, re.MULTILINE)
    parsed = [[item[6:] for item in block.splitlines()] for block in commands]
    ours = [command for command in parsed if command[0] != "nginx"]
    assert sorted(command[0] for command in ours) == ["node", "serve"]
    for command in ours:
        build_parser().parse_args(command)
