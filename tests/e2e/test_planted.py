# SPDX-License-Identifier: Apache-2.0
"""No raw id is kept or told: whatever a request holds, and however it ends, nothing of it is in the
log (at its most talkative), the state folder, the fleet's Redis, the metrics, the reports, the
webhooks, or what is left of a crash. Answers to the client itself may say its own words back."""
import base64
import http.client
import json
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time

import pytest
from conftest import BUILD, Server
from planted import (ALL, ELSEWHERE, SECRETS, USERS, gateway_header, key_set, search, search_folder,
                     search_redis, spellings, token)
from test_alerts import config, pretend_days, receiver  # two fixtures

ADDRESS = ELSEWHERE["client address"]
CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": ELSEWHERE["prompt"]}], "max_tokens": 1}
LIMITS = {"body": "64KiB"}
IMPATIENT = {**LIMITS, "header_timeout": "500ms", "body_timeout": "500ms"}


def test_every_spelling_is_found():
    for kind, text in ALL.items():
        for needle, name in spellings(text).items():
            assert len(needle) >= 9, (kind, name)
            assert kind in {each[1] for each in search(b"\x00before" + needle + b"behind", "")}
    for before in (b"", b"a", b"ab"):  # within a token, say
        coded = base64.b64encode(before + USERS["gateway"].encode() + b"behind")
        assert [each[1] for each in search(coded, "")] == ["gateway"]
    assert search(b"nobody@example.com", "") == []


def test_what_is_planted_in_a_database_is_found(tmp_path):
    with sqlite3.connect(tmp_path / "a.db") as file:
        file.execute("CREATE TABLE t (v)")
        file.execute("INSERT INTO t VALUES (?)", (USERS["user"] * 1000,))
    assert {each[0] for each in search_folder(tmp_path)} == {"a.db", "values of a.db"}


@pytest.fixture
def redis():
    """The path of a Redis' socket. Debian's redis-tools has the server as redis-check-rdb."""
    folder = tempfile.mkdtemp(dir="/tmp")  # a socket's path is short
    path = f"{folder}/redis"
    process = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder],
        executable=shutil.which("redis-server") or shutil.which("redis-check-rdb"),
        stdout=subprocess.DEVNULL)
    ping = ["redis-cli", "-s", path, "PING"]
    while subprocess.run(ping, capture_output=True).stdout != b"PONG\n":
        assert process.poll() is None
    yield path
    process.kill()
    process.wait(30)
    shutil.rmtree(folder)


@pytest.fixture
def settings(config, redis, tmp_path):
    """Configurations over one state folder, of replicas of a fleet: one asks for keys, one knows
    clients by address. A third is another replica, which has nothing but what the fleet tells."""
    text = json.loads(config.read_text())
    text["alerts"]["webhooks"][0]["url"] = text["alerts"]["webhooks"][0]["url"].replace(
        "xyzzy", SECRETS["webhook's token"])
    (tmp_path / "jwks").write_text(key_set(SECRETS["HMAC secret of tokens"]))
    (tmp_path / "gateway").write_text(SECRETS["gateway secret"])
    (tmp_path / "root-key").write_bytes(b"a root key that all replicas of this test have")
    for name in ("jwks", "gateway", "root-key"):
        (tmp_path / name).chmod(0o600)
    text["users"] |= {"headers": "x-litellm-end-user-id", "jwt_keys": str(tmp_path / "jwks"),
                      "jwt_header": "x-forwarded-access-token",
                      "gateway_secret_file": str(tmp_path / "gateway"),
                      "key_file": str(tmp_path / "root-key")}
    text["fleet"] = {"redis": redis, "sync": "200ms"}
    text["server"] = {"limits": LIMITS}
    text["log"] = {"level": "debug", "format": "json"}
    (tmp_path / "open.yaml").write_text(json.dumps(text))
    text["server"] = {"limits": IMPATIENT}
    text["log"]["format"] = "logfmt"
    text["access"] = {"api_keys": [{"key": SECRETS["api key"], "tenant": "acme"}]}
    (tmp_path / "keys.yaml").write_text(json.dumps(text))
    text["users"]["state"] = str(tmp_path / "other-state")
    (tmp_path / "other.yaml").write_text(json.dumps(text))
    return tmp_path


@pytest.fixture
def doomed(_needs):
    """Starts daemons that a test will end by force."""
    started = []

    def start_one(*flags):
        started.append(Server(*flags, model=False))
        return started[-1]

    yield start_one
    for server in started:
        server.process.kill()
        server.process.wait(30)


def ask(server, body, path=CHAT, method="POST", key=SECRETS["api key"], **headers):
    """The status of a request from an address of its own."""
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60,
                                      source_address=(ADDRESS, 0))
    named = {"content-type": "application/json", "user-agent": ELSEWHERE["user-agent"],
             "x-forwarded-for": ELSEWHERE["forwarded"], "x-request-id": ELSEWHERE["x-request-id"],
             "authorization": f"Bearer {key}"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    link.request(method, path, content, named)
    answer = link.getresponse()
    answer.read()
    assert answer.headers["x-request-id"] != ELSEWHERE["x-request-id"]
    link.close()
    return answer.status


def send(server, content, hang_up=False):
    """Bytes that need be no request; what comes back until the daemon closes."""
    with socket.create_connection(("127.0.0.1", server.port), 60, (ADDRESS, 0)) as link:
        link.sendall(content)
        if hang_up:
            return link.recv(64)
        back = b""
        while piece := link.recv(65536):
            back += piece
        return back


def send_good(server):
    """One user of each kind."""
    assert ask(server, {**BODY, "user": USERS["user"]}) == 200
    assert ask(server, {**BODY, "user": USERS["user in a stream"], "stream": True}) == 200
    assert ask(server, {**BODY, "user": USERS["user of letters beyond ASCII"]}) == 200
    assert ask(server, {"prompt": ELSEWHERE["prompt"], "max_tokens": 1,
                        "user": USERS["user in a completion"]}, "/v1/completions") == 200
    assert ask(server, {**BODY, "safety_identifier": USERS["safety_identifier"]}) == 200
    assert ask(server, {**BODY, "metadata": {"user_id": USERS["metadata.user_id"]}}) == 200
    assert ask(server, BODY, x_user_id=USERS["header"]) == 200
    assert ask(server, BODY, x_litellm_end_user_id=USERS["second header"]) == 200
    secret = SECRETS["HMAC secret of tokens"]
    assert ask(server, BODY, x_forwarded_access_token=token(USERS["sub of a token"], secret)) == 200
    assert ask(server, BODY, x_forwarded_access_token=token(
        USERS["sub of a token that does not hold"], "another secret")) == 200
    assert ask(server, BODY, x_weir_user=gateway_header(USERS["gateway"],
                                                       SECRETS["gateway secret"])) == 200
    assert ask(server, BODY) == 200  # the key, or the address, alone


def send_bad(server, keys):
    """What is refused, and where it can be told that it was."""
    assert ask(server, b'{"user": "%s", "messages": [' %
               USERS["user in malformed JSON"].encode()) == 400
    for wrong in ({"id": USERS["user of a wrong type"]}, [USERS["user of a wrong type"]]):
        assert ask(server, {**BODY, "user": wrong}) == 400
    long = USERS["user that is too long"] * 40
    assert ask(server, {**BODY, "user": long}) in (200, 400)
    assert ask(server, BODY, x_user_id=long) == 200
    assert ask(server, {**BODY, "user": USERS["user with a control character"] + "\x01\n"}) == 200
    assert ask(server, {**BODY, "user": USERS["user of an unknown model"],
                        "model": ELSEWHERE["model"]}) == 404
    assert ask(server, {**BODY, "temperature": ELSEWHERE["value of a parameter"]}) == 400
    assert ask(server, {**BODY, ELSEWHERE["name of a parameter"]: 1}) == 200
    twice = '{"%s": 1, "%s": 2}' % ((ELSEWHERE["name of a parameter"],) * 2)
    assert ask(server, twice.encode()) == 400
    if keys:
        assert ask(server, {**BODY, "user": USERS["user of a refused key"]},
                   key=SECRETS["api key that is unknown"]) == 401
    assert ask(server, b"", f"/health?user={ELSEWHERE['query of a path']}", "GET") == 200
    assert ask(server, b"", f"/v1/{ELSEWHERE['path']}", "GET") == 404
    assert ask(server, b"", f"/v1/models/{ELSEWHERE['path']}", "GET") == 404
    assert ask(server, b"", CHAT, ELSEWHERE["method"]) == 405
    assert ask(server, BODY, content_type=ELSEWHERE["content-type"]) == 415
    assert ask(server, BODY, **{ELSEWHERE["name of a header"]: "1"}) == 200
    assert ask(server, {**BODY, "user": USERS["user"], "padding": "x" * 70000}) == 413
    garbage = ELSEWHERE["request line that is none"].encode()
    assert send(server, garbage + b" / HTTP/9.9\r\n\r\n").startswith(b"HTTP/1.1 ")
    big = b"GET /health HTTP/1.1\r\nhost: a\r\nx-user-id: " + long.encode() * 60 + b"\r\n\r\n"
    assert b" 431 " in send(server, big)
    head = (f"POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {SECRETS['api key']}\r\n"
            f"x-user-id: {USERS['user of half a body']}\r\n").encode()
    if keys:  # the server that is impatient; first the head never ends, then the body
        half = b'content-length: 500\r\n\r\n{"user": "' + USERS["user of half a body"].encode()
        assert b" 408 " in send(server, head)
        assert b" 408 " in send(server, head + half)
    body = json.dumps({**BODY, "max_tokens": 2000, "stream": True, "ignore_eos": True,
                       "user": USERS["user who hung up"]}).encode()
    assert b" 200 " in send(server, head + b"content-length: %d\r\n\r\n" % len(body) + body,
                            hang_up=True)
    server.assert_nothing_leaked()


def send_over_http2(server):
    done = subprocess.run(
        ["curl", "-sS", "--http2-prior-knowledge", "--interface", ADDRESS, server.base + CHAT,
         "-H", "content-type: application/json",
         "-H", f"authorization: Bearer {SECRETS['api key']}",
         "-H", f"x-user-id: {USERS['user over HTTP/2']}", "-d", json.dumps(BODY), "-o", "/dev/null",
         "-w", "%{http_code} %{http_version}"], capture_output=True, text=True, timeout=60)
    assert done.stdout == "200 2", done


def told_by(server):
    """All that may be asked of a daemon, as one text."""
    key = {"authorization": f"Bearer {SECRETS['api key']}"}
    parts = []
    for path in ("/metrics", "/v1/models", "/v1/models/m", "/v1/models/m/license", "/health",
                 "/ready", "/version"):
        link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        link.request("GET", path, headers=key)
        answer = link.getresponse()
        assert answer.status == 200, path
        parts.append(str(answer.headers) + answer.read().decode())
        link.close()
    return "\n".join(parts)


def drain(server):
    """SIGTERM while one is answered; another has said half of what it wants, and is served too."""
    body = {**BODY, "stream": True, "ignore_eos": True, "user": USERS["user while draining"]}
    running = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    running.request("POST", CHAT, json.dumps({**body, "max_tokens": 1000}),
                    {"content-type": "application/json"})
    stream = running.getresponse()
    assert stream.status == 200 and stream.read(1)
    content = json.dumps(body).encode()
    head = (f"POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            f"x-user-id: {USERS['user while draining']}\r\n").encode()
    with socket.create_connection(("127.0.0.1", server.port), 60, (ADDRESS, 0)) as late:
        late.sendall(head)
        server.get("/health")  # the one worker has read that by now
        server.process.send_signal(signal.SIGTERM)
        server.wait_for(r'"event":"draining"', 30)
        late.sendall(b"content-length: %d\r\n\r\n" % len(content) + content)
        assert b" 200 " in late.recv(4096)
    running.close()  # who hangs up is not waited for
    server.stop()


def reports(state, scratch):
    month = time.strftime("%Y-%m", time.gmtime())
    out = scratch / "reports"
    out.mkdir()
    for form in ("txt", "html", "json", "csv"):
        for name, which in (("model", ["--model", "m"]), ("org", ["--org"]), ("all", [])):
            done = subprocess.run(
                [BUILD / "weir", "report", "--month", month, "--state", state, *which, "--sign",
                 *([] if form == "txt" else [f"--{form}"]), "--output", out / f"{name}.{form}"],
                capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            (out / f"{name}.{form}.said").write_text(done.stdout + done.stderr)
    return out


def test_nothing_planted_is_kept_or_told(start, doomed, settings, receiver, redis):
    # A server that asks for keys, and ends without a chance to tidy up.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    keyed = doomed("--config", settings / "keys.yaml")
    send_good(keyed)
    send_bad(keyed, keys=True)
    send_over_http2(keyed)
    by_class = "weir_monthly_active_users_by_class"
    assert keyed.metric(by_class, model="m", **{"class": "verified"}) == 2
    assert keyed.metric(by_class, model="m", **{"class": "asserted"}) >= 10
    told = [told_by(keyed)]
    keyed.process.kill()
    keyed.stop(expected=-signal.SIGKILL)
    found = search_folder(settings / "state")

    # One that knows clients by their address, has alerts to send, and is told to stop while busy.
    pretend_days(settings / "state", 5, users=30)
    open_ = start("--config", settings / "open.yaml", model=False)
    send_good(open_)
    send_bad(open_, keys=False)
    open_.process.send_signal(signal.SIGHUP)
    open_.wait_for(r'"event":"reloaded"', 30)
    open_.wait_metric(8, "weir_alert_messages", state="delivered")
    told.append(told_by(open_))
    found += search_folder(settings / "state")
    drain(open_)

    # One that crashes: what it says at its end.
    crashed = doomed("--config", settings / "open.yaml")
    assert ask(crashed, {**BODY, "user": USERS["user who comes before a crash"]}) == 200
    crashed.process.send_signal(signal.SIGABRT)
    crashed.stop(expected=-signal.SIGABRT)

    # One that knows of them by Redis alone: they are in there, of both tenants.
    other = start("--config", settings / "other.yaml", model=False)
    other.wait_metric(4, by_class, model="m", **{"class": "verified"})
    found += search_redis(["-s", redis], settings) + search_folder(settings / "other-state")
    told.append(told_by(other))

    for server in (keyed, open_):  # answers are in the log, and so are the probes of debug
        lines = [line for line in server.lines if re.search(r'event(=|":")request\b', line)]
        assert len(lines) > 25 and any("/health" in line for line in lines)
    for server in (keyed, open_, crashed, other):
        found += search("\n".join(server.lines), "log")
    for text in told:
        assert re.search(r"^weir_mau\{", text, re.M)
        found += search(text, "what it tells")
    with receiver.lock:
        bodies = [pair for tries in receiver.seen.values() for pair in tries]
    assert bodies
    for headers, body in bodies:
        found += search(json.dumps(headers).encode() + body, "webhook")
    found += search_folder(settings / "state")
    found += search_folder(reports(settings / "state", settings))
    found += search_folder(settings / "state")  # with the key that reports are signed by
    assert found == []
