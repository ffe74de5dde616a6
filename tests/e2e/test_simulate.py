# SPDX-License-Identifier: Apache-2.0
"""weir simulate: alerts rehearsed, and sent to a receiver that fails at first."""
import base64
import collections
import hashlib
import hmac
import http.server
import json
import os
import re
import subprocess
import threading

import pytest
from conftest import BUILD

SECRET_KEY = b"a key for a rehearsal, of 32 byt"
YEAR = ("--threshold", "100M", "--growth", "0.35%:280,-0.6%", "--from", "2026-11-01")
RULES = {"level-50", "level-75", "level-90", "level-95", "level-100", "lead-90", "lead-30", "lead-7"}


def simulate(*flags, env=None):
    return subprocess.run([str(BUILD / "weir"), "simulate", *map(str, flags)], capture_output=True,
                          text=True, timeout=120, env={**os.environ, **(env or {})})


@pytest.fixture
def receiver():
    """Takes a message at the second try only; `seen` holds every try, by id."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            with server.lock:
                tries = server.seen[self.headers["webhook-id"]]
                tries.append((dict(self.headers), body))
                taken = len(tries) > 1 and not server.sulks
            self.send_response(204 if taken else 503)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.lock, server.seen = threading.Lock(), collections.defaultdict(list)
    server.sulks = False
    server.url = f"http://127.0.0.1:{server.server_port}/hook"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_every_alert_fires_once_before_its_level_and_clears_after():
    year = json.loads(simulate(*YEAR, "--json").stdout)
    assert len(year["days"]) == 365 and year["crossed"] == "2027-07-22"
    for rule in RULES:
        events = [(day, alert["fires"]) for day in year["days"] for alert in day["alerts"]
                  if alert["rule"] == rule]
        fired = events[0][0]
        assert [fires for _, fires in events] in ([True, False], [True]), rule
        level = 100e6 * (int(rule.split("-")[1]) / 100 if rule.startswith("level") else 1)
        assert fired["users"] < level
    again = json.loads(simulate(*YEAR, "--json").stdout)
    assert [day["users_upper"] for day in again["days"]] == [
        day["users_upper"] for day in year["days"]]


def test_the_table_shows_each_day_or_only_those_with_alerts():
    table = simulate(*YEAR).stdout
    assert len(re.findall(r"^ *\d+  20\d\d-\d\d-\d\d  ", table, re.M)) == 365
    short = simulate(*YEAR, "--alerts", "--condition", "kimi-k2.5/ui-name").stdout
    assert len(short.splitlines()) < 40 and "kimi-k2.5/ui-name" in short
    for rule in RULES:
        assert f"fires {rule}: " in short
    assert "The threshold is crossed on 2027-07-22, day 264." in short


def test_without_history_there_is_no_forecast_for_60_days():
    days = json.loads(simulate(*YEAR, "--history", 0, "--json").stdout)["days"]
    assert [day["days_early"] is None for day in days[:60]] == [True] * 59 + [False]


def test_alerts_arrive_signed_marked_and_once_by_id(receiver, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + base64.b64encode(SECRET_KEY).decode() + "\n")
    result = simulate(*YEAR, "--json", "--webhook", receiver.url, "--secret-file", secret,
                      env={"TMPDIR": str(tmp_path)})
    assert result.returncode == 0, result.stderr
    year = json.loads(result.stdout)
    ids = [alert["id"] for day in year["days"] for alert in day["alerts"]]
    assert year["sent"] == year["delivered"] == len(ids) == len(set(ids)) > len(RULES)
    assert set(receiver.seen) == set(ids)
    for id_, tries in receiver.seen.items():
        assert len(tries) == 2 and tries[0][1] == tries[1][1]
        headers, body = tries[1]
        signed = f"{id_}.{headers['webhook-timestamp']}.".encode() + body
        digest = base64.b64encode(hmac.new(SECRET_KEY, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{digest}"
        message = json.loads(body)
        assert message["data"]["rehearsal"] is True and message["data"]["id"] == id_
        assert message["data"]["text"].startswith("rehearsal: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret"]


@pytest.mark.slow
def test_a_receiver_that_never_takes_them_is_told(receiver):
    receiver.sulks = True
    result = simulate("--threshold", "1M", "--growth", "0.4%", "--days", 60, "--webhook",
                      receiver.url)
    assert result.returncode == 69 and "HTTP status 503" in result.stderr
    assert "0 of " in result.stdout


@pytest.mark.parametrize("flags, complaint", [
    ([], "--threshold and --growth are needed"),
    (["--threshold", "many", "--growth", "1%"], "--threshold: 'many'"),
    (["--threshold", "0", "--growth", "1%"], "--threshold: '0'"),
    (["--threshold", "nan", "--growth", "1%"], "--threshold: 'nan'"),
    (["--threshold", "1M", "--growth", "1"], "--growth: '1'"),
    (["--threshold", "1M", "--growth", "nan%"], "--growth: 'nan%'"),
    (["--threshold", "1M", "--growth", "1%,2%"], "--growth: '1%,2%'"),
    (["--threshold", "1M", "--growth", "1%", "--days", "0"], "--days: '0'"),
    (["--threshold", "1M", "--growth", "1%", "--days", "1001"], "--days: '1001'"),
    (["--threshold", "1M", "--growth", "1%", "--from", "2027-02-29"], "--from: '2027-02-29'"),
    (["--threshold", "1M", "--growth", "1%", "--webhook", "http://a.example/"], "--webhook"),
    (["--threshold", "1M", "--growth", "1%", "--secret-file", "x"], "--secret-file"),
    (["--threshold"], "--threshold: unknown, or without a value"),
    (["--loud"], "--loud: unknown"),
])
def test_a_wrong_command_line_is_explained(flags, complaint):
    result = simulate(*flags)
    assert result.returncode == 64 and result.stdout == ""
    assert complaint in result.stderr and "--help" in result.stderr


def test_help_and_a_missing_secret():
    assert simulate("--help").stdout.startswith("weir simulate -- ")
    result = simulate("--threshold", "1M", "--growth", "1%", "--webhook", "https://127.0.0.1:1/",
                      "--secret-file", "/nowhere")
    assert result.returncode == 66 and "/nowhere" in result.stderr
