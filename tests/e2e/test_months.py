# SPDX-License-Identifier: Apache-2.0
"""The month's evidence, from requests to a signed document: users and tokens of a live daemon.

Nobody turns the daemon's clock: a start and a clean stop write what is new, so no test waits for a
midnight. (Midnights are tests/unit/policy/policy_months_test.c's.)
"""
import csv
import io
import json
import signal
import sqlite3
import subprocess
import time

import jsonschema
import pytest
from conftest import BUILD, MODEL, Server
from test_report import SCHEMA, report, this_month

CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
ACME, BETA = "acme-key-0123456789", "beta-key-0123456789"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "m.gguf").symlink_to(MODEL)
    (tmp_path / "weir.yaml").write_text(
        f"access: {{api_keys: [{{key: {ACME}, tenant: acme}}, {{key: {BETA}, tenant: beta}}]}}\n"
        f"users: {{state: {tmp_path}/state, trust_asserted: true}}\n"
        f"models:\n  - {{id: m, path: {tmp_path}/m.gguf, license: llama4, product: shop}}\n"
        f"  - {{id: n, path: {tmp_path}/m.gguf, license: llama4}}\n"
        "operator: {name: Acme, domicile: US, principal_place_of_business: US, answers: "
        "[{metric: mau, above: 700000000, month: 2025-03, exceeded: no}]}\n")
    return tmp_path


def ask(server, model, key, user=None):
    status, _, body = server.post(
        "/v1/chat/completions", {**CHAT, "model": model, **({"user": user} if user else {})},
        {"authorization": f"Bearer {key}"})
    assert status == 200, body
    return body["usage"]


def read(home, *scope):
    told = json.loads(report("--month", this_month(), "--state", home / "state", "--json", *scope))
    jsonschema.validate(told, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert told["anomalies"] == []
    return told


def by_name(told):
    return {(one["scope"], one["model"] or one["family"] or one["product"]): one
            for one in told["users"]}


def test_users_and_tokens_of_a_live_daemon_are_in_its_signed_report(home, start):
    month = this_month()
    server = start("--config", home / "weir.yaml", model=False)
    used = [ask(server, "m", ACME, f"user-{i}") for i in range(3)]
    used += [ask(server, "n", ACME, f"user-{i}") for i in range(2, 5)]
    ask(server, "n", BETA)  # nobody named: the key alone
    server.stop()
    told = read(home)
    users = by_name(told)
    assert set(users) == {("organisation", ""), ("product", "shop"), ("family", "llama"),
                          ("model", "m"), ("model", "n")}
    everyone = users["organisation", ""]
    assert (everyone["lower"]["low"], everyone["best"]["users"], everyone["upper"]["high"]) == \
        (5, 6, 6), "user-2 asked both models and is one"
    assert everyone["state"] == "provisional" and everyone["exact"] is True
    assert everyone["anonymous_requests"] == 1
    assert everyone["coverage"] == pytest.approx(6 / 7)
    assert len(everyone["sketch_sha256"]) == 64
    assert users["model", "m"]["best"]["users"] == users["product", "shop"]["best"]["users"] == 3
    assert users["model", "n"]["best"]["users"] == 4
    assert users["model", "m"]["product"] == "shop"
    assert users["family", "llama"]["best"]["users"] == 6
    assert users["family", "llama"]["lines"][0]["line"] == 700000000
    tokens = {(one["tenant"], one["model"]): one for one in told["tokens"]}
    assert set(tokens) == {("acme", "m"), ("acme", "n"), ("beta", "n")}
    assert tokens["acme", "m"]["requests"] == 3
    assert tokens["acme", "m"]["prompt_tokens"] == sum(one["prompt_tokens"] for one in used[:3])
    assert tokens["acme", "n"]["generated_tokens"] == \
        sum(one["completion_tokens"] for one in used[3:])

    rows = list(csv.DictReader(io.StringIO(
        report("--month", month, "--state", home / "state", "--csv"))))
    figures = {(row["scope"], row["name"], row["item"]): row["value"] for row in rows
               if row["record"] == "users"}
    assert figures["organisation", "", "best"] == "6" and figures["model", "n", "best"] == "4"
    assert figures["product", "shop", "best"] == "3" and figures["model", "m", "lower"] == "3"
    counted = {(row["note"], row["name"], row["item"]): row["value"] for row in rows
               if row["record"] == "tokens"}
    assert counted["beta", "n", "requests"] == "1"
    text = report("--month", month, "--state", home / "state")
    assert "at least 5, best 6, at most 6" in text and "beta, n: 1 requests" in text
    page = home / "month.html"
    report("--month", month, "--state", home / "state", "--html", "--sign", "--output", page)
    report("--verify", page, "--state", home / "state")
    for words in ("Product shop", "Tokens by tenant and model", "acme", "700,000,000"):
        assert words in page.read_text(), words
    state = b"".join(path.read_bytes() for path in (home / "state").iterdir() if path.is_file())
    assert b"user-2" not in state and ACME.encode() not in state


def ledger_rows(home):
    with sqlite3.connect(home / "state/ledger.db") as ledger:
        return ledger.execute("SELECT count(*) FROM ledger WHERE kind = 'month'").fetchone()[0]


def test_restarts_add_no_row_where_nothing_is_new(home, start):
    server = start("--config", home / "weir.yaml", model=False)
    ask(server, "m", ACME, "ada")
    server.stop()
    rows = ledger_rows(home)
    assert rows > 0
    start("--config", home / "weir.yaml", model=False).stop()
    assert ledger_rows(home) == rows


def wait_until(told, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not told():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_daemon_keeps_its_tokens_and_tells_its_users_at_the_next_start(home, start):
    server = Server("--config", home / "weir.yaml", model=False)
    ask(server, "m", ACME, "ada")
    ask(server, "m", ACME, "grace")
    wait_until(lambda: any(one["requests"] == 2 for one in read(home)["tokens"]))
    server.process.send_signal(signal.SIGKILL)
    server.stop(-signal.SIGKILL)
    again = start("--config", home / "weir.yaml", model=False)
    wait_until(lambda: by_name(read(home)).get(("model", "m"), {}).get("rows", 0) > 0 and
               by_name(read(home))["model", "m"]["best"]["users"] == 2)
    again.stop()
    tokens, = read(home)["tokens"]
    assert tokens["requests"] == 2 and tokens["generated_tokens"] > 0


def test_wrong_hours_are_refused_with_a_remedy(home):
    text = (home / "weir.yaml").read_text().replace("users: {", "users: {final_hours: 0, ")
    (home / "weir.yaml").write_text(text)
    done = subprocess.run([BUILD / "weir", "serve", "--config", home / "weir.yaml"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "users.final_hours" in done.stderr and "1 to 720" in done.stderr
    assert "weir.yaml" in done.stderr
