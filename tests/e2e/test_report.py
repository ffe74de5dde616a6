# SPDX-License-Identifier: Apache-2.0
"""weir report: from a daemon's ledger to a signed document, and back."""
import base64
import contextlib
import csv
import datetime
import hashlib
import io
import json
import os
import re
import sqlite3
import stat
import struct
import subprocess

import jsonschema
import pytest

from conftest import BUILD, MODEL, ROOT

SCHEMA = json.loads((ROOT / "config/schema/report.schema.json").read_text())
NOT_VERIFIED, USAGE, BAD_DATA, NO_INPUT = 1, 64, 65, 66
HOSTILE = "<img src=x onerror=alert(1)>"


def report(*arguments, expected=0, **options):
    done = subprocess.run([BUILD / "weir", "report", *map(str, arguments)], capture_output=True,
                          text=True, timeout=120, **options)
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout if expected == 0 else done.stderr


def this_month():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m")


def append(state, kind, model, subject, body):
    """A row sealed as policy/ledger.c says, by other means than it."""
    def field(value):
        value = value.encode() if isinstance(value, str) else value
        return struct.pack(">Q", len(value)) + value

    body = json.dumps(body)
    at = int(datetime.datetime.now().timestamp())
    with contextlib.closing(sqlite3.connect(state / "ledger.db")) as ledger, ledger:
        sequence, before = ledger.execute("SELECT sequence, hash FROM head").fetchone()
        sequence += 1
        digest = hashlib.sha256(
            field("weir-ledger-1") + field(before) + struct.pack(">QQ", sequence, at) +
            b"".join(map(field, (kind, model, subject, body)))).hexdigest()
        ledger.execute("INSERT INTO ledger VALUES(?, ?, ?, ?, ?, ?, ?)",
                       (sequence, at, kind, model, subject, body, digest))
        ledger.execute("UPDATE head SET sequence = ?, hash = ?", (sequence, digest))


def figures(model, family, month, lower, best, upper):
    def figure(users):
        return {"users": users, "low": users, "high": users}
    return {"product": "", "model": model, "family": family, "month": month,
            "lower": figure(lower), "best": figure(best), "upper": figure(upper), "exact": True,
            "coverage": 0.9, "anonymous_requests": 17, "state": "provisional",
            "sketch_sha256": "", "key_id": "00c0ffee00c0ffee",
            "daily": [{"day": f"{month}-01", "lower": 1, "best": 2, "upper": 3}]}


@pytest.fixture(scope="module")
def served(tmp_path_factory, _needs):
    """A state folder in which a daemon has weighed a model, taken on by name; and its config."""
    from conftest import Server
    home = tmp_path_factory.mktemp("report")
    (home / "m.gguf").symlink_to(MODEL)
    config = home / "weir.yaml"
    config.write_text(f"users: {{state: {home}/state}}\nmodels:\n"
                      f"  - {{id: m, path: {home}/m.gguf, license: mrl-0.1}}\n"
                      f"  - {{id: n, path: {home}/m.gguf, license: llama4}}\n"
                      f"operator: {{name: '{HOSTILE}', production: yes, acknowledge: [{{condition: "
                      "mrl-0.1/research-only, reference: contract 7/2026, signer: Ada}]}\n")
    server = Server("--config", config, model=False)
    server.stop()
    return home


@pytest.fixture
def state(served, tmp_path):
    """A copy of it, to be written to."""
    subprocess.run(["cp", "-r", served / "state", tmp_path / "state"], check=True)
    return tmp_path / "state"


def test_a_month_without_figures_is_told_plainly(state, served):
    for form in ([], ["--html"], ["--csv"]):
        text = " ".join(report("--month", this_month(), "--state", state, *form).split())
        assert "No user figures are kept for this month" in text
        assert "mrl-0.1/research-only" in text and "contract 7/2026" in text
    told = json.loads(report("--month", this_month(), "--config", served / "weir.yaml", "--json"))
    jsonschema.validate(told, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert told["has_figures"] is False and told["operator"] == HOSTILE
    assert [one["model"] for one in told["licenses"]] == ["m", "n"]
    acknowledged, = told["acknowledgements"]
    assert (acknowledged["reference"], acknowledged["signer"]) == ("contract 7/2026", "Ada")
    assert acknowledged["in_force"] is True


def test_the_verdicts_rows_hold_lines_and_exact_texts(state):
    told = json.loads(report("--month", this_month(), "--state", state, "--json", "--model", "n"))
    conditions = {one["id"]: one for one in told["licenses"][0]["conditions"]}
    line, = conditions["llama4/mau-700m"]["any_of"]
    assert (line["metric"], line["op"], line["value"]) == ("mau", ">", 700000000)
    assert conditions["llama4/mau-700m"]["scope"] == "all_products"
    assert conditions["llama4/mau-700m"]["test_month"] == "2025-03"
    assert conditions["llama4/built-with"]["text"] == "Built with Llama"


def test_figures_are_held_against_lines_in_every_format(state):
    month = this_month()
    append(state, "month", "n", f"{month}  llama", figures("n", "llama", month, 11000, 12345, 99000))
    append(state, "month", "n", f"{month}  llama", figures("n", "llama", month, 10999, 12345, 99000))
    append(state, "month", "", f"{month}  ", figures("", "", month, 11000, 12345, 99000))
    told = json.loads(report("--month", month, "--state", state, "--json"))
    jsonschema.validate(told, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert [one["scope"] for one in told["users"]] == ["organisation", "model"]
    line, = told["users"][1]["lines"]
    assert line["condition"] == "llama4/mau-700m" and line["figure_is_lower_bound"] is True
    anomaly, = told["anomalies"]
    assert "do not sink" in anomaly["text"]
    page = report("--month", month, "--state", state, "--html")
    for words in ("12,345", "99,000", "700,000,000", "<svg", "they are a lower bound",
                  "Identity coverage is insufficient"):
        assert words in page, words
    rows = list(csv.DictReader(io.StringIO(report("--month", month, "--state", state, "--csv"))))
    best, = (row for row in rows if row["record"] == "users" and row["scope"] == "model"
             and row["item"] == "best")
    assert (best["name"], best["value"]) == ("n", "12345")
    only = json.loads(report("--month", month, "--state", state, "--json", "--org"))
    assert [one["scope"] for one in only["users"]] == ["organisation"]


def test_the_page_runs_nothing_and_loads_nothing(state, served):
    config = served / "weir.yaml"
    page = report("--month", this_month(), "--state", state, "--config", config, "--html")
    assert "<img" not in page and "&lt;img src=x" in page
    style = re.search(r"<style>(.*?)</style>", page, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in page
    assert not re.search(r"<(script|link|iframe|object|form)|\b(src|href|style)=\"", page)


@pytest.mark.parametrize("form", ["html", "json", "csv"])
def test_a_signed_report_verifies_and_a_changed_one_does_not(state, tmp_path, form):
    path = tmp_path / f"month.{form}"
    report("--month", this_month(), "--state", state, "--sign", "--output", path)
    assert stat.S_IMODE(os.stat(state / "report-key.pem").st_mode) == 0o600
    append(state, "alert", "m", "", {"id": "later"})
    told = report("--verify", path, "--state", state)
    assert "as it was signed" in told and "which verifies" in told
    path.write_bytes(path.read_bytes() + b" ")
    assert "not the one that was signed" in report("--verify", path, "--state", state,
                                                   expected=NOT_VERIFIED)


def test_a_signature_can_be_checked_without_weir(state, tmp_path):
    path = tmp_path / "month.html"
    report("--month", this_month(), "--state", state, "--sign", "--output", path)
    (tmp_path / "raw").write_bytes(base64.b64decode(
        re.search(r"^signature: (\S+)$", (tmp_path / "month.html.sig").read_text(), re.M).group(1)))
    subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", state / "report-key.pub",
                    "-rawin", "-in", path, "-sigfile", tmp_path / "raw"], check=True,
                   capture_output=True)


def test_whoever_has_no_ledger_verifies_the_signature_alone(state, tmp_path):
    path = tmp_path / "sent" / "month.json"
    path.parent.mkdir()
    report("--month", this_month(), "--state", state, "--sign", "--output", path)
    away = {"env": {**os.environ, "XDG_STATE_HOME": str(tmp_path / "none")}}
    assert "name it by --key" in report("--verify", path, expected=NO_INPUT, **away)
    told = report("--verify", path, "--key", state / "report-key.pub", **away)
    assert "not compared with a ledger" in told
    report("--verify", path, "--key", state / "report-key.pub", "--state", tmp_path / "none",
           expected=NO_INPUT, **away)
    assert not (tmp_path / "none").exists()


def test_a_report_of_another_ledger_does_not_verify(state, tmp_path):
    path = tmp_path / "month.json"
    report("--month", this_month(), "--state", state, "--sign", "--output", path)
    with contextlib.closing(sqlite3.connect(state / "ledger.db")) as ledger, ledger:
        ledger.execute("DELETE FROM ledger")
        ledger.execute("UPDATE head SET sequence = 0, hash = ?", ("0" * 64,))
    append(state, "alert", "m", "", {"id": "another"})
    assert "another ledger" in report("--verify", path, "--state", state, expected=NOT_VERIFIED)


def test_a_tampered_ledger_gives_no_report_and_does_not_verify(state):
    assert "verified" in report("--verify", state)
    with contextlib.closing(sqlite3.connect(state / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE ledger SET body = replace(body, 'breach', 'watch') "
                       "WHERE sequence = 1")
    for arguments in (["--verify", state], ["--month", this_month(), "--state", state]):
        assert "row 1 was changed" in report(*arguments, expected=NOT_VERIFIED)


def test_what_is_wrong_is_said_and_nothing_is_made(state, tmp_path):
    assert "weir report --verify" in report("--help")
    for arguments in ([], ["--month", "2026-13"], ["--month", "2026-10", "--sign"],
                      ["--month", "2026-10", "--html", "--csv"], ["--month"], ["--wrong"],
                      ["--month", "2026-10", "--org", "--model", "m"],
                      ["--verify", state, "--month", "2026-10"]):
        assert "weir report --help" in report(*arguments, expected=USAGE)
    empty = tmp_path / "empty"
    empty.mkdir()
    report("--month", "2026-10", "--state", empty, expected=NO_INPUT)
    assert not list(empty.iterdir())
    report("--month", "2026-10", "--state", state, "--model", "nobody", expected=NO_INPUT)
    (empty / "ledger.db").write_bytes(b"no database" * 100)
    report("--month", "2026-10", "--state", empty, expected=BAD_DATA)
    report("--verify", tmp_path / "none.html", expected=NO_INPUT)
    assert not (state / "report-key.pem").exists()
