# SPDX-License-Identifier: Apache-2.0
"""What happens at a licence's user threshold, for who asks for more than alerts."""
import datetime
import json
import os
import signal
import sqlite3
import subprocess
import tempfile
import time
import urllib.parse

import openai
import pytest

from conftest import BUILD, MODEL, MODEL_ID, Server
from test_fleet import Redis

HEAD = {"family": "test", "category": "threshold", "grade": "P", "verified": True,
        "sources": ["a test"], "summary": "A licence of a test."}


def licence(folder, name, conditions):
    """A record of a made-up licence; its id."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(
        json.dumps({"id": name, "name": name, **HEAD, "conditions": conditions}))
    return name


def threshold(users, **rest):
    return {"id": "size", "kind": "threshold", "clause": "§4", "summary": "Mind the size.",
            "any_of": [{"metric": "mau", "op": ">", "value": users, "window": "month"}],
            "test": "continuing", "entity": "licensee", "scope": "product_using_model", **rest}


def configure(folder, license_id, enforce, most=None, **sections):
    config = folder / "weir.yaml"
    model = {"path": MODEL, "license": license_id, "enforce": enforce}
    if most:
        model["cap"] = most
    sections = {"licenses": {"folder": str(folder / "licenses")}, **sections}
    sections["users"] = {"trust_asserted": True, **sections.get("users", {})}
    config.write_text(json.dumps({"models": [model], **sections}))
    return config


def chat(server, user, key=None):
    return server.post("/v1/chat/completions",
                       {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1,
                        "user": user},
                       {"authorization": f"Bearer {key}"} if key else None)


def until(condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


def model_object(server):
    return json.loads(server.get("/v1/models")[1])["data"][0]


def next_month():
    today = datetime.datetime.now(datetime.timezone.utc)
    first = today.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + datetime.timedelta(days=32)).replace(day=1)


def enforcement_rows(state):
    with sqlite3.connect(f"file:{state}/weir/ledger.db?mode=ro", uri=True) as ledger:
        table = ledger.execute("SELECT name FROM sqlite_master WHERE type='table' AND "
                               "sql LIKE '%subject%'").fetchone()[0]
        return [json.loads(body) for (body,) in ledger.execute(
            f"SELECT body FROM {table} WHERE kind = 'enforcement' ORDER BY sequence")]


def test_words_come_with_answers_once_they_are_due(start, tmp_path):
    name = licence(tmp_path / "licenses", "show-1", [
        threshold(3, consequence="attribute", text="Powered by 火 100%", where=["website"])])
    server = start("--config", configure(tmp_path, name, "attribute"), model=False)
    status, headers, _ = chat(server, "u1")
    assert status == 200 and headers["x-weir-attribution"] is None
    assert "attribution" not in model_object(server)["license"]
    for user in ("u2", "u3", "u4"):
        assert chat(server, user)[0] == 200
    server.wait_for("event=enforcement_began", 60)
    until(lambda: "attribution" in model_object(server)["license"])
    assert model_object(server)["license"]["attribution"] == "Powered by 火 100%"
    header = chat(server, "u1")[1]["x-weir-attribution"]
    assert header == "Powered by %E7%81%AB 100%25"
    assert urllib.parse.unquote(header) == "Powered by 火 100%"
    assert server.metric("weir_enforcement_decisions_total", decision="attributed") >= 1
    server.assert_nothing_leaked()


def test_past_the_line_a_model_is_not_served(start, tmp_path):
    name = licence(tmp_path / "licenses", "stop-1", [
        threshold(3, consequence="separate_license")])
    server = start("--config", configure(tmp_path, name, "refuse"), model=False)
    for user in ("u1", "u2", "u3", "u4"):
        assert chat(server, user)[0] == 200
    server.wait_for("event=enforcement_began", 60)
    until(lambda: chat(server, "u1")[0] == 403)
    client = openai.OpenAI(base_url=server.base + "/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.PermissionDeniedError) as refused:
        client.chat.completions.create(model=MODEL_ID, max_tokens=1, user="u1",
                                       messages=[{"role": "user", "content": "Hi"}])
    assert "needs a licence of its own, by stop-1/size (licence stop-1, §4)" in str(refused.value)
    assert refused.value.code == "license_threshold"
    body = refused.value.response.json()
    assert body["license"] == "stop-1" and body["users"] == 3 and body["until"] is None
    assert server.metric("weir_mau", window="month", bound="best") == 4


def test_at_a_cap_the_known_pass_and_the_new_do_not_whatever_happens(start, tmp_path):
    name = licence(tmp_path / "licenses", "stop-1", [
        threshold(700000000, consequence="separate_license")])
    config = configure(tmp_path, name, "cap", 20)
    state = tempfile.mkdtemp(dir=os.environ["XDG_STATE_HOME"])

    def begin():
        return start("--config", config, model=False, env={"XDG_STATE_HOME": state})

    server = begin()
    assert [chat(server, f"u{i}")[0] for i in range(25)] == [200] * 20 + [403] * 5
    status, headers, body = chat(server, "new")
    assert status == 403 and headers["content-type"] == "application/problem+json"
    assert body["status"] == 403 and body["code"] == body["error"]["code"] == "user_cap"
    assert body["detail"] == body["error"]["message"]
    assert (body["license"], body["condition"], body["clause"]) == ("stop-1", "stop-1/size", "§4")
    assert body["users"] == 20
    assert body["until"] == next_month().strftime("%Y-%m-%dT%H:%M:%SZ")
    server.wait_for("event=enforcement_began", 60)
    assert server.metric("weir_cap_limit", scope="model") == 20
    server.wait_metric(20, "weir_cap_users")
    assert server.metric("weir_cap_tickets") == 0
    server.stop()
    server = Server("--config", config, model=False, env={"XDG_STATE_HOME": state})
    assert [chat(server, f"u{i}")[0] for i in range(20)] == [200] * 20
    assert chat(server, "new")[0] == 403
    server.process.send_signal(signal.SIGKILL)
    server.stop(-signal.SIGKILL)
    server = begin()
    assert [chat(server, f"u{i}")[0] for i in range(20)] == [200] * 20
    assert chat(server, "new")[0] == 403
    assert server.metric("weir_mau", window="month", bound="best") == 20
    rows = enforcement_rows(state)
    assert len(rows) == 1 and rows[0]["begins"] and rows[0]["users"] == 20


def test_who_is_refused_too_often_is_told_to_wait(start, tmp_path):
    name = licence(tmp_path / "licenses", "stop-1", [
        threshold(700000000, consequence="separate_license")])
    keys = {"api_keys": [{"key": "sk-one-one", "tenant": "a"}, {"key": "sk-two-two"}]}
    server = start("--config", configure(tmp_path, name, "cap", 1, access=keys,
                                         server={"workers": 1}), model=False)
    assert chat(server, "known", "sk-one-one")[0] == 200
    answers = [chat(server, f"new-{i}", "sk-one-one") for i in range(40)]
    assert [status for status, _, _ in answers] == [403] * 30 + [429] * 10
    assert 1 <= int(answers[-1][1]["retry-after"]) <= 60
    assert answers[-1][2]["error"]["code"] == "refusals_limited"
    assert chat(server, "known", "sk-one-one")[0] == 200
    assert chat(server, "another", "sk-two-two")[0] == 403


CAP, STRANGERS = 300, 420


@pytest.fixture
def redis():
    server = Redis()
    yield server
    server.end()


def test_three_daemons_share_a_cap(start, redis, tmp_path):
    name = licence(tmp_path / "licenses", "stop-1", [
        threshold(700000000, consequence="separate_license")])
    key = tmp_path / "users.key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    config = configure(tmp_path, name, "cap", CAP, users={"key_file": str(key)},
                       fleet={"redis": redis.socket, "sync": "300ms"})

    def begin(index):
        return start("--config", config, "--threads", 1, "--workers", 1, "--kv-memory", "32MiB",
                     "--context", 64, model=False,
                     env={"XDG_STATE_HOME": str(tmp_path / f"state-{index}")})

    def passes(daemon, user):
        # The smallest answer that is counted; a stranger may be told to wait, or to come again.
        status, _, body = daemon.post("/v1/completions", {"prompt": "a", "max_tokens": 1,
                                                          "user": f"person-{user}"})
        assert status == 200 or body["error"]["code"] in ("user_cap", "refusals_limited")
        return status == 200

    def users():
        return [daemon.metric("weir_mau", window="month", bound="best") for daemon in daemons]

    daemons = [begin(index) for index in range(3)]
    let_in = set()
    deadline = time.monotonic() + 120
    while len(let_in) < CAP:  # who finds no ticket just now finds one a little later
        assert time.monotonic() < deadline, f"{len(let_in)} are in, {users()}"
        for user in range(STRANGERS):
            if user not in let_in and passes(daemons[(user + len(let_in)) % 3], user):
                let_in.add(user)
    until(lambda: users() == [CAP] * 3, 120)
    # Full: nobody new anywhere; and who is in is in everywhere, be it after kill -9.
    strangers = [user for user in range(STRANGERS) if user not in let_in]
    assert not any(passes(daemon, user) for daemon in daemons for user in strangers[:20])
    known = sorted(let_in)
    until(lambda: all(passes(daemon, user) for daemon in daemons for user in known[-5:]))
    assert all(passes(daemon, user) for daemon in daemons for user in known)
    daemons[0].process.send_signal(signal.SIGKILL)
    daemons[0].stop(-signal.SIGKILL)
    start.forget(daemons[0])
    daemons[0] = begin(0)
    assert all(passes(daemons[0], user) for user in known)
    assert not any(passes(daemon, user) for daemon in daemons for user in strangers[20:30])
    assert len(let_in) == CAP and users() == [CAP] * 3
    # Without the store the known go on, and nobody new comes in.
    redis.kill()
    assert all(passes(daemon, user) for daemon in daemons for user in known[:50])
    assert not any(passes(daemon, user) for daemon in daemons for user in strangers[:20])
    assert daemons[0].metric("weir_cap_limit") == CAP


def test_a_wrong_setting_names_its_key_and_what_would_be_right(tmp_path):
    for model, words in (({"enforce": "block"}, "expected one of alert, attribute, cap, refuse"),
                         ({"cap": "300"}, "needs 'enforce: cap' beside it"),
                         ({"enforce": "cap", "cap": "0"}, "expected users from 1")):
        config = tmp_path / "weir.yaml"
        config.write_text(json.dumps({"models": [{"path": MODEL, **model}]}))
        done = subprocess.run([BUILD / "weir", "serve", "--config", config], capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 78
        assert words in done.stderr and "models[0]" in done.stderr and str(config) in done.stderr
