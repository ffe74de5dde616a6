# SPDX-License-Identifier: Apache-2.0
"""Licences and a running daemon: what is told, what is refused, what a signal changes."""
import json
import os
import signal
import sqlite3
import stat
import subprocess
import urllib.parse
import urllib.request

import jsonschema
import pytest

from conftest import BUILD, MODEL, MODEL_ID, ROOT

CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
SCHEMA = json.loads((ROOT / "config/schema/assessment.schema.json").read_text())
RESEARCH_ONLY = "mrl-0.1/research-only"
REFUSED, BAD_CONFIG = 78, 78


@pytest.fixture
def home(tmp_path):
    """A folder with a configuration in it, and the model under a name of its own."""
    (tmp_path / "m.gguf").symlink_to(MODEL)
    return tmp_path


def configure(home, models, operator):
    """weir.yaml: models as {id: licence}, operator as YAML."""
    lines = [f"users: {{state: {home}/state}}", "models:"]
    lines += [f"  - {{id: '{name}', path: {home}/m.gguf, license: '{license}'}}"
              for name, license in models.items()]
    path = home / "weir.yaml"
    path.write_text("\n".join(lines) + f"\noperator: {{{operator}}}\n")
    return path


def license_of(server, model=MODEL_ID):
    """What /v1/models/{id}/license answers, by the schema of the repository."""
    status, text = server.get(f"/v1/models/{urllib.parse.quote(model, safe='')}/license")
    assert status == 200, text
    answer = json.loads(text)
    jsonschema.validate(answer, SCHEMA)
    return answer


def ledger_rows(home, kind):
    with sqlite3.connect(f"file:{home}/state/ledger.db?mode=ro", uri=True) as ledger:
        return [(model, subject, json.loads(body)) for model, subject, body in ledger.execute(
            "SELECT model, subject, body FROM ledger WHERE kind = ? ORDER BY sequence", (kind,))]


def reload(server, *patterns):
    """SIGHUP, then the lines that it must bring."""
    server.process.send_signal(signal.SIGHUP)
    return [server.wait_for(pattern, 60) for pattern in patterns]


def test_the_default_model_tells_its_licence(server):
    listed = json.loads(server.get("/v1/models")[1])["data"][0]
    assert listed["license"]["id"] == "Apache-2.0"
    assert listed["license"]["verdict"] == "obligation"
    assert listed["license"]["recognised_by"] == "weights"
    told = license_of(server)
    assert told["license"]["id"] == "Apache-2.0" and told["verdict"] == "obligation"
    assert "Apache-2.0/notice" in {condition["id"] for condition in told["conditions"]}
    server.wait_for(f"event=model_license model={MODEL_ID} license=Apache-2.0", 5)


def test_answers_link_to_the_licence(server):
    link = f'</v1/models/{MODEL_ID}/license>; rel="license"'
    with urllib.request.urlopen(f"{server.base}/v1/models/{MODEL_ID}") as answer:
        assert answer.headers["link"] == link
    assert server.post("/v1/chat/completions", CHAT)[1]["link"] == link


def test_metrics_tell_verdicts(server):
    assert server.metric("weir_license_verdict", model=MODEL_ID, verdict="obligation") == 1
    assert server.metric("weir_license_condition", model=MODEL_ID,
                         condition="Apache-2.0/notice", verdict="obligation") == 1


def test_a_daemon_whose_only_model_is_refused_says_why_and_ends(home):
    path = configure(home, {"m": "mrl-0.1"}, "production: yes")
    done = subprocess.run([BUILD / "weir", "serve", "--port", "0", "--config", path],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == REFUSED, done.stderr
    last = done.stderr.splitlines()[-1]
    assert "event=start_failed" in last and RESEARCH_ONLY in last
    assert "operator.production: yes" in last and "operator.acknowledge" in last
    assert "event=model_refused" in done.stderr and "event=model_loaded" not in done.stderr
    (_, _, verdict), = ledger_rows(home, "license_verdict")
    assert verdict["verdict"] == "breach"


def test_the_other_models_are_served(start, home):
    path = configure(home, {"fine": "", "org/barred": "mrl-0.1"}, "production: yes")
    server = start("--config", path, model=False)
    assert [model["id"] for model in json.loads(server.get("/v1/models")[1])["data"]] == ["fine"]
    assert server.post("/v1/chat/completions", {**CHAT, "model": "fine"})[0] == 200
    status, _, answer = server.post("/v1/chat/completions", {**CHAT, "model": "org/barred"})
    assert status == 404 and "refused by its licence (mrl-0.1)" in answer["error"]["message"]
    assert license_of(server, "org/barred")["verdict"] == "breach"
    assert server.get("/v1/models/org/barred/license")[0] == 200
    assert server.metric("weir_license_verdict", model="org/barred", verdict="breach") == 1


def test_an_acknowledged_breach_is_served_and_written_down(start, home):
    path = configure(home, {"m": "mrl-0.1"}, "production: yes, acknowledge: [{condition: "
                     f"{RESEARCH_ONLY}, reference: contract 7/2026, signer: Ada}}]")
    server = start("--config", path, model=False)
    condition, = (one for one in license_of(server, "m")["conditions"]
                  if one["id"] == RESEARCH_ONLY)
    assert condition["conservative"] == "breach"
    assert condition["acknowledged"] == "contract 7/2026"
    server.wait_for(f"event=license_condition model=m condition={RESEARCH_ONLY}.*"
                    'acknowledged="contract 7/2026"', 5)
    (model, subject, body), = ledger_rows(home, "acknowledgement")
    assert (model, subject) == ("m", RESEARCH_ONLY)
    assert (body["reference"], body["signer"]) == ("contract 7/2026", "Ada")
    server.stop()
    start("--config", path, model=False)
    assert len(ledger_rows(home, "acknowledgement")) == 1
    assert len(ledger_rows(home, "license_verdict")) == 1
    assert stat.S_IMODE(os.stat(home / "state/ledger.db").st_mode) == 0o600


def test_sighup_takes_up_the_declaration_and_leaves_the_model_served(start, home):
    path = configure(home, {"m": "mrl-0.1"}, "production: no, commercial: no")
    server = start("--config", path, model=False)
    before = license_of(server, "m")["verdict"]
    assert before != "breach"
    configure(home, {"m": "mrl-0.1"}, "production: yes, commercial: no")
    reload(server, "event=license_changed model=m.*verdict=breach", "event=reloaded")
    assert license_of(server, "m")["verdict"] == "breach"
    assert server.metric("weir_license_verdict", model="m", verdict="breach") == 1
    assert server.metric("weir_license_verdict", model="m", verdict=before) == 0
    assert server.post("/v1/chat/completions", CHAT)[0] == 200
    assert [body["verdict"] for _, _, body in ledger_rows(home, "license_verdict")] == [
        before, "breach"]


def test_a_bad_reload_is_refused_and_all_goes_on(start, home):
    path = configure(home, {"m": "mrl-0.1"}, "production: no, commercial: no")
    server = start("--config", path, model=False)
    before = license_of(server, "m")
    configure(home, {"m": "mrl-0.1"}, "production: yes, domicile: Atlantis")
    reload(server, "event=reload_refused.*weir.yaml:.*operator.domicile")
    path.unlink()
    reload(server, "event=reload_refused.*No such file")
    assert license_of(server, "m") == before
    assert server.post("/v1/chat/completions", CHAT)[0] == 200


def test_an_own_folder_adds_licences(start, home):
    own = home / "own"
    own.mkdir()
    (own / "acme-1.yaml").write_text(
        "id: acme-1\nname: Acme Model Terms\nfamily: acme\ncategory: threshold\ngrade: P\n"
        "verified: true\nsources: [a contract]\nsummary: Ours.\nconditions:\n"
        "  - id: size\n    kind: threshold\n    clause: '4'\n    summary: Ask above a million.\n"
        "    any_of: [{metric: mau, op: '>', value: 1000000, window: month}]\n"
        "    test: continuing\n    entity: licensee\n    scope: product_using_model\n"
        "    consequence: separate_license\n")
    path = configure(home, {"m": "acme-1"}, "")
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"licenses: {{folder: {own}}}\n")
    server = start("--config", path, model=False)
    assert license_of(server, "m")["license"]["id"] == "acme-1"
    assert server.metric("weir_license_threshold", model="m", condition="acme-1/size",
                         metric="mau", window="month") == 1000000
    (own / "acme-1.yaml").write_text("id: acme-1\n")
    reload(server, "event=reload_refused.*acme-1.yaml")
    checked = subprocess.run([BUILD / "weir", "--check", "--config", path], capture_output=True,
                             text=True, timeout=60)
    assert checked.returncode == BAD_CONFIG and "acme-1.yaml" in checked.stderr


def test_an_unknown_text_beside_the_weights_goes_to_review(start, home):
    (home / "LICENSE").write_text("Terms of the model.\n\nYou may use the model for as long as the "
                                  "moon is blue.\n\nYou may not use it to sell bicycles.\n")
    server = start("--config", configure(home, {"m": ""}, "production: yes"), model=False)
    told = license_of(server, "m")
    assert told["verdict"] == "review"
    assert any("LICENSE" in condition["reason"] for condition in told["conditions"]
               if condition["kind"] == "recognition")
