# SPDX-License-Identifier: Apache-2.0
"""Before the line, on a real daemon: headroom as users come, and alerts that reach a receiver.

A rule wants three days in a row, and nobody turns the daemon's clock. So a state folder is made
that looks as if weir had been off since the days in question: it makes up for them at its start.
"""
import base64
import collections
import hashlib
import hmac
import http.server
import json
import os
import re
import sqlite3
import subprocess
import threading
import time

import pytest
from conftest import BUILD, MODEL
from test_prometheus_rules import SERIES

CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
KEY = b"a key for a test, of 32 bytes..."
RULES = {"level-50", "level-75", "level-90", "level-95", "level-100", "lead-90", "lead-30",
         "lead-7"}


@pytest.fixture
def receiver():
    """Takes a message at the second try only; `seen` holds every try, by id."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            with server.lock:
                tries = server.seen[self.headers["webhook-id"]]
                tries.append((dict(self.headers), body))
                taken = len(tries) > 1
            self.send_response(204 if taken else 503)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.lock, server.seen = threading.Lock(), collections.defaultdict(list)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def config(tmp_path, receiver):
    """weir.yaml with a licence of its own, whose line is at 20 monthly users of a product."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "acme-1.yaml").write_text(
        "id: acme-1\nname: Acme Model Terms\nfamily: acme\ncategory: threshold\ngrade: P\n"
        "verified: true\nsources: [a contract]\nsummary: Ours.\nconditions:\n"
        "  - id: size\n    kind: threshold\n    clause: '4'\n    summary: Ask above twenty.\n"
        "    any_of: [{metric: mau, op: '>', value: 20, window: month}]\n"
        "    test: continuing\n    entity: licensee\n    scope: product_using_model\n"
        "    consequence: separate_license\n")
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + base64.b64encode(KEY).decode() + "\n")
    secret.chmod(0o600)
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps({
        "users": {"state": str(tmp_path / "state")},
        "licenses": {"folder": str(own)},
        "models": [{"id": "m", "path": MODEL, "license": "acme-1"}],
        "alerts": {"webhooks": [{"url": f"http://127.0.0.1:{receiver.server_port}/hook?token=xyzzy",
                                 "secret_file": str(secret), "name": "counsel"}]}}))
    return path


def series(server, name):
    return [line for line in server.get("/metrics")[1].splitlines() if line.startswith(name + "{")]


def pretend_days(state, count, users):
    """As if the watch had run until `count` days ago, and nobody since; users of those days."""
    today = int(time.time()) // 86400
    with sqlite3.connect(state / "outbox.db") as outbox:
        outbox.execute("DELETE FROM daily_point")
        outbox.execute("DELETE FROM alert_watch")
        outbox.execute("INSERT INTO alert_watch VALUES ('acme-1/size', 'm', 'day', 0, 0, 0,"
                       " ?)", (today - count - 1,))
        outbox.executemany("INSERT INTO daily_point VALUES ('model/m', ?, ?, ?, 1, 1)",
                           [(today - ago, users, users) for ago in range(1, count + 1)])


def test_headroom_falls_as_users_come(start, config):
    server = start("--config", config, model=False)
    labels = {"model": "m", "license": "acme-1", "condition": "acme-1/size"}
    assert server.metric("weir_license_headroom_ratio", **labels) == 1
    for i in range(30):
        assert server.post("/v1/chat/completions", {**CHAT, "user": f"user-{i}"})[0] == 200
    assert series(server, "weir_license_headroom_ratio") == [
        'weir_license_headroom_ratio{model="m",license="acme-1",condition="acme-1/size"} -0.5']
    assert series(server, "weir_license_crossing_days") == []  # no day of it is over
    assert len(series(server, "weir_alert_messages")) == 3
    assert server.metric("weir_alert_messages") == 0


def test_alerts_of_missed_days_arrive_signed_and_once(start, config, receiver, tmp_path):
    start("--config", config, model=False).stop()
    pretend_days(tmp_path / "state", 5, users=30)
    server = start("--config", config, model=False)
    for rule in RULES:
        assert server.wait_for(rf"event=alert_fired.*\b{rule}: (m: .*)", 60)
    server.wait_metric(len(RULES), "weir_alert_messages", state="delivered")
    assert server.metric("weir_alert_messages", state="pending") == 0
    labels = {"model": "m", "license": "acme-1", "condition": "acme-1/size"}
    assert {line.split('bound="')[1].split('"')[0]
            for line in series(server, "weir_license_crossing_days")} == {"early", "central",
                                                                         "late"}
    assert server.metric("weir_license_crossing_days", **labels) == 0  # crossed
    for name, labels in SERIES.items():  # what rules ask for is there
        if name.startswith("weir_tls_"):
            continue  # here all is clear text; test_tls.py asks for these
        found = re.findall(rf"^{name}(?:{{(.*)}})? \S+$", server.get("/metrics")[1], re.M)
        assert found, name
        for line in found:
            assert set(re.findall(r'([a-z]+)="', line)) == labels, line
    with receiver.lock:
        seen = dict(receiver.seen)
    told = {}
    for id_, tries in seen.items():
        assert len(tries) == 2 and tries[0][1] == tries[1][1]
        headers, body = tries[1]
        signed = f"{id_}.{headers['webhook-timestamp']}.".encode() + body
        digest = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{digest}"
        message = json.loads(body)
        assert message["type"] == "license.alert.fired" and not message["data"]["rehearsal"]
        assert message["data"]["users_upper"] == 30 and message["data"]["threshold"] == 20
        told[message["data"]["rule"]] = message["data"]["id"]
    assert set(told) == RULES and set(told.values()) == set(seen)
    with sqlite3.connect(f"file:{tmp_path}/state/ledger.db?mode=ro", uri=True) as ledger:
        rows = [json.loads(body) for body, in ledger.execute(
            "SELECT body FROM ledger WHERE kind = 'alert' AND model = 'm'")]
    assert {row["rule"]: row["id"] for row in rows} == told and len(rows) == len(RULES)
    server.stop()
    again = start("--config", config, model=False)  # nothing is said twice
    again.wait_metric(len(RULES), "weir_alert_messages", state="delivered")
    assert not any("alert_fired" in line for line in again.lines)
    again.stop()
    for line in server.lines + again.lines:
        assert "xyzzy" not in line and "hook" not in line.replace("webhook", "")
    for path in (tmp_path / "state").iterdir():
        assert b"xyzzy" not in path.read_bytes()


def test_a_secret_that_others_read_ends_the_start(config, tmp_path):
    os.chmod(tmp_path / "secret", 0o644)
    done = subprocess.run([BUILD / "weir", "serve", "--config", config], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 78 and "webhook 'counsel': secret_file" in done.stderr
