"""service.toml: every wrong entry is named; the node that cannot be reached or refuses says why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from HNSegmenterLib.cli.main import main
from HNSegmenterLib.errors import WrongUsage
from HNSegmenterLib.service.node.client import JOB, Node, NodeFault, NotThere
from HNSegmenterLib.service.settings import NodeSettings, load
from Testing.machine import free_port
from Testing.service.fixtures import make_node, write_service_toml

BASE = '[destinations.PLAN]\nae_title = "PLAN"\nhost = "10.0.0.9"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x =", "not valid TOML"),
        ("[nod]", "unknown parts .nod."),
        ("node = 3", "node must be a table"),
        ("[node]\nurl = 3", "node.url must be a text"),
        ('[node]\nurl = "localhost"', "node.url must be an address"),
        ('[node]\npasword = "x"', "unknown keys .pasword."),
        ("[node]\ndicom_port = 70000", "node.dicom_port must be a port"),
        ("[node]\ndicom_port = true", "node.dicom_port must be a whole number"),
        ('[node]\nae_title = "SEVENTEEN_LETTERS"', "node.ae_title must be an AE title"),
        ('[node]\nae_title = "A\\\\B"', "node.ae_title must be an AE title"),
        ('[scanners.CT]\nae_title = "CT"', "scanners.CT. lacks host"),
        ('[scanners]\nae_title = "CT"', "scanners.ae_title must be a table"),
        (BASE + 'approval = "MAYBE"', 'destinations.PLAN.approval must be "UNAPPROVED" or "APPROVED"'),
        (BASE + 'automatic = "yes"', "destinations.PLAN.automatic must be true or false"),
        (BASE + "tls = true", "there is no .tls."),
        ('[rules]\nbody_part_patterns = ["("]', "rules.body_part_patterns must be a list of regular expressions"),
        ("[rules]\nminimum_coverage_mm = -1", "rules.minimum_coverage_mm must be 0 or more"),
        ('[worker]\nqueue = "mysql"', "worker.queue must be"),
        ('[worker]\nruntime = "gpu"', "worker.runtime must be"),
        ("[worker]\nmodel = 3", "worker.model must be the name of a model, its folder, or a list"),
        ('[worker]\nmodel = ["a", 3]', "worker.model must be the name of a model, its folder, or a list"),
        ("[worker]\nattempts = 0", "worker.attempts must be more than 0"),
    ],
)
def test_a_wrong_entry_is_named(text, said, tmp_path):
    (tmp_path / "service.toml").write_text(text)
    with pytest.raises(WrongUsage, match=said):
        load(tmp_path / "service.toml")


def test_an_absent_configuration_is_a_sentence_and_the_code_of_wrong_usage(tmp_path, capsys):
    for command in ("serve", "queue list"):
        assert main([*command.split(), "--config", str(tmp_path / "none.toml")]) == 64
        assert "cannot be read" in capsys.readouterr().err


def test_paths_are_those_beside_the_configuration(tmp_path, monkeypatch):
    monkeypatch.delenv("HNSEG_NODE_PASSWORD", raising=False)
    settings = load(write_service_toml(tmp_path / "a"))
    assert settings.worker.folder == tmp_path / "a" / "worker"
    assert settings.node.password() == (tmp_path / "a" / "node-password").read_text().strip()
    monkeypatch.setenv("HNSEG_NODE_PASSWORD", "from the environment")
    assert settings.node.password() == "from the environment"
    assert settings.node.password() not in repr(settings)


def test_models_are_names_or_folders_one_or_several(tmp_path):
    (tmp_path / "site" / "mine").mkdir(parents=True)
    (tmp_path / "site" / "mine" / "model.json").touch()
    config, mine = tmp_path / "site" / "service.toml", tmp_path / "site" / "mine"
    many = "clinic:" + ",".join(f"Organ_{number}" for number in range(100))  # too long to be a path
    for text, choices in (
        ('""', ()),
        ('"clinic@1.0"', ("clinic@1.0",)),
        ('"mine"', (str(mine),)),
        (f'["clinic", "mine:Parotid_L", "{mine}", "{many}"]', ("clinic", f"{mine}:Parotid_L", str(mine), many)),
    ):
        config.write_text(f"[worker]\nmodel = {text}\n")
        assert load(config).worker.model == choices
    config.write_text("[worker]\n")
    assert load(config).worker.model == ()


def test_a_missing_password_says_where_to_write_it(tmp_path, monkeypatch):
    monkeypatch.delenv("HNSEG_NODE_PASSWORD", raising=False)
    with pytest.raises(WrongUsage, match="password_file"):
        NodeSettings().password()
    with pytest.raises(WrongUsage, match="cannot be read"):
        NodeSettings(password_file=tmp_path / "none").password()
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(WrongUsage, match="is empty"):
        NodeSettings(password_file=tmp_path / "empty").password()


def test_the_node_says_why_it_does_not_answer(make_node, tmp_path):
    node = make_node()
    with Node(node.settings.node) as sound:
        assert sound.system()["Name"]
        with pytest.raises(NotThere, match="deleted"):
            sound.series("0" * 8)
        with pytest.raises(NotThere):
            sound.attach("0" * 8, JOB, b"x")
    (tmp_path / "wrong").write_text("not the password")
    with (
        Node(replace(node.settings.node, password_file=tmp_path / "wrong")) as refused,
        pytest.raises(NodeFault, match="refuses user or password"),
    ):
        refused.system()
    nobody = replace(node.settings.node, url=f"http://127.0.0.1:{free_port()}")
    with Node(nobody) as absent, pytest.raises(NodeFault, match="Nothing listens"):
        absent.system()
    dicom = replace(node.settings.node, url=f"http://127.0.0.1:{node.port}")
    with Node(dicom) as other, pytest.raises(NodeFault):
        other.system()
    with pytest.raises(NodeFault, match="ca_file"):
        Node(replace(node.settings.node, ca_file=tmp_path / "none.pem"))
