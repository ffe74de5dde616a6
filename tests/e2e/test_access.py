# SPDX-License-Identifier: Apache-2.0
"""Who may ask for what: keys in a file, scopes, tenants; read again while requests run."""
import base64
import calendar
import concurrent.futures
import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest
from conftest import BUILD, MODEL, MODEL_ID
from planted import key_set, spellings

CHAT = "/v1/chat/completions"
ASK = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 2}


def line(name, key, rest):
    return f"{name} sha256:{hashlib.sha256(key.encode()).hexdigest()} {rest}\n"


def put(path, text, mode=0o600):
    """As an editor that is careful does: another file takes the name."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(mode)
    new.rename(path)


def ask(server, path, key=None, body=None, **headers):
    """(status, headers, body as text)."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    if body is not None:
        headers["content-type"] = "application/json"
        body = json.dumps(body).encode()
    request = urllib.request.Request(server.base + path, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def status(*arguments, **options):
    return ask(*arguments, **options)[0]


def until(what, expected=True, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while (value := what()) != expected:
        assert time.monotonic() < deadline, f"{value}, not {expected}"
        time.sleep(0.05)


@pytest.fixture
def place(tmp_path):
    """A configuration whose keys lie in a file; `more` is further YAML of it."""
    class Place:
        keys, config = tmp_path / "keys", tmp_path / "weir.yaml"

        def configure(self, more="", access=""):
            self.config.write_text(f"models: [{{path: {MODEL}}}]\naccess:\n"
                                   f"  keys_file: {self.keys}\n{access}{more}")
            return self.config
    return Place()


GET = ["/v1/models", f"/v1/models/{MODEL_ID}", f"/v1/models/{MODEL_ID}/license"]
POST = {CHAT: ASK, "/v1/completions": {"prompt": "a", "max_tokens": 1}, "/tokenize": {"prompt": "a"},
        "/detokenize": {"tokens": [1]}}
FEED = {"product": "chat", "users": ["a"]}


def test_every_route_asks_for_its_scope(start, place):
    put(place.keys, "# who may what\n" + line("k_chat", "key-chat", "tenant=acme scopes=inference") +
        line("k_look", "key-look", "scopes=usage") + line("k_boss", "key-boss", "scopes=admin"))
    server = start("--config", place.configure(), model=False)
    for path in ("/health", "/ready", "/version", "/metrics"):
        assert status(server, path) == 200
    inference = [(path, None) for path in GET] + list(POST.items())
    for path, body in inference:
        code, headers, text = ask(server, path, None, body)
        assert code == 401 and headers["www-authenticate"] == "Bearer", path
        assert status(server, path, "key-nobody", body) == 401
        assert status(server, path, "key-chat", body) == 200, path
        for key in ("key-look", "key-boss"):
            code, headers, text = ask(server, path, key, body)
            assert code == 403 and json.loads(text)["error"]["code"] == "insufficient_scope"
            assert headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="inference"'
            assert "'inference'" in text
    usage = [status(server, "/admin/v1/usage", key) for key in (None, "key-chat", "key-look",
                                                                "key-boss")]
    assert usage == [401, 403, 200, 200]
    users = [status(server, "/admin/v1/users", key, FEED) for key in (None, "key-chat", "key-look",
                                                                     "key-boss")]
    assert users == [401, 403, 403, 200]
    assert status(server, "/nowhere") == 404
    assert server.metric("weir_access_refused_total", reason="absent") == len(inference) + 2
    assert server.metric("weir_access_refused_total", reason="unknown") == len(inference)
    assert server.metric("weir_access_refused_total", reason="scope") == 2 * len(inference) + 3
    assert server.metric("weir_access_keys", place="file") == 3
    server.wait_for(r"event=request .*\btenant=acme key=k_chat\b", 30)


def test_without_a_key_for_it_there_is_no_admin_door(start, place):
    put(place.keys, line("k_chat", "key-chat", "scopes=inference"))
    server = start("--config", place.configure(), model=False)
    for key in (None, "key-chat"):
        assert status(server, "/admin/v1/usage", key) == 404
        assert status(server, "/admin/v1/users", key, FEED) == 404


def test_expired_and_revoked_keys_are_told_why(start, place):
    put(place.keys, line("k_1", "key-1", "scopes=inference expires=2026-01-01T00:00:00Z") +
        line("k_2", "key-2", "scopes=inference revoked=2026-01-01T00:00:00Z") +
        line("k_3", "key-3", "scopes=inference expires=2126-01-01T00:00:00Z"))
    server = start("--config", place.configure(), model=False)
    for key, word in (("key-1", "expired"), ("key-2", "revoked")):
        code, headers, text = ask(server, "/v1/models", key)
        assert code == 401 and word in text and headers["www-authenticate"] == "Bearer"
        assert server.metric("weir_access_refused_total", reason=word) == 1
    assert status(server, "/v1/models", "key-3") == 200


def test_another_file_is_taken_up_without_a_signal(start, place):
    put(place.keys, line("k_1", "key-1", "scopes=inference"))
    server = start("--config", place.configure(), model=False)
    assert status(server, "/v1/models", "key-1") == 200
    put(place.keys, line("k_2", "key-2", "scopes=inference"))
    server.wait_for(r"event=keys_read keys=1", 60)
    until(lambda: status(server, "/v1/models", "key-2"), 200)
    assert status(server, "/v1/models", "key-1") == 401
    with place.keys.open("a") as file:  # in place, too
        file.write(line("k_3", "key-3", "scopes=inference"))
    until(lambda: status(server, "/v1/models", "key-3"), 200)


@pytest.mark.parametrize("bad, mode, words", [
    ("k_9 sha256:12 scopes=inference\n", 0o600, "line 1"),
    (line("k_9", "key-9", "scopes=everything"), 0o600, "scopes"),
    (line("k_9", "key-9", "scopes=inference"), 0o644, "mode 644"),
    ("weir_sk_0123456789 is not a line\n", 0o600, "line 1"),
])
def test_a_bad_file_is_refused_whole_and_the_old_keys_stay(start, place, bad, mode, words):
    put(place.keys, line("k_1", "key-1", "scopes=inference"))
    server = start("--config", place.configure(), model=False)
    put(place.keys, bad + line("k_2", "key-2", "scopes=inference"), mode)
    said = server.wait_for("event=keys_refused.*", 60).group(0)
    assert words in said and str(place.keys) in said and "weir_sk" not in said
    assert status(server, "/v1/models", "key-1") == 200
    assert status(server, "/v1/models", "key-2") == 401
    assert server.metric("weir_access_keys_stale") == 1
    time.sleep(2.5)  # it is not told again each second
    assert sum("event=keys_refused" in each for each in server.lines) == 1
    put(place.keys, line("k_2", "key-2", "scopes=inference"))
    until(lambda: status(server, "/v1/models", "key-2"), 200)
    assert server.metric("weir_access_keys_stale") == 0


def test_keys_change_under_load_and_no_request_fails(start, place):
    """One key stays in all versions of the file; whoever has it never notices."""
    stays = line("k_stays", "key-stays", "tenant=acme scopes=inference")
    put(place.keys, stays)
    server = start("--config", place.configure(), "--workers", "2", model=False)
    stop, codes = threading.Event(), []

    def client(stream):
        while not stop.is_set():
            codes.append(status(server, CHAT, "key-stays", {**ASK, "stream": stream}))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client, each % 2 == 0) for each in range(4)]
        try:
            for turn in range(6):
                put(place.keys, stays + line(f"k_{turn}", f"key-{turn}", "scopes=inference"))
                if turn % 2:
                    server.process.send_signal(signal.SIGHUP)
                until(lambda: status(server, "/v1/models", f"key-{turn}"), 200)
                if turn > 0:
                    until(lambda: status(server, "/v1/models", f"key-{turn - 1}"), 401)
            put(place.keys, "nonsense\n")
            server.wait_for("event=keys_refused", 60)
        finally:
            stop.set()
        for each in clients:
            each.result(300)
    assert set(codes) == {200} and len(codes) >= 4
    server.assert_nothing_leaked()


def test_a_tenant_s_models_and_a_request_s_place(start, place, tmp_path):
    put(place.keys, line("k_a", "key-a", "tenant=a scopes=inference") +
        line("k_b", "key-b", "tenant=b scopes=inference"))
    config = place.configure("tenants:\n  - {name: a, models: [one], priority: -3, weight: 2}\n"
                             "  - {name: b}\n")
    config.write_text(config.read_text().replace(f"{{path: {MODEL}}}", f"{{id: one, path: {MODEL}}},"
                                                 f" {{id: two, path: {MODEL}}}"))
    server = start("--config", config, "--kv-memory", "64MiB", "--context", "512", model=False)
    listed = [[each["id"] for each in json.loads(ask(server, "/v1/models", key)[2])["data"]]
              for key in ("key-a", "key-b")]
    assert listed == [["one"], ["one", "two"]]
    for path in ("/v1/models/two", "/v1/models/two/license"):
        assert status(server, path, "key-b") == 200
        known, unknown = (ask(server, path.replace("two", name), "key-a") for name in ("two", "six"))
        assert known[0] == unknown[0] == 404
        assert known[2] == unknown[2].replace("six", "two")  # nothing tells that it is there
    code, _, text = ask(server, CHAT, "key-a", {**ASK, "model": "two"})
    assert code == 404 and json.loads(text)["error"]["code"] == "model_not_found"
    assert status(server, CHAT, "key-b", {**ASK, "model": "two"}) == 200
    assert status(server, CHAT, "key-a", ASK) == 200  # its only one need not be named
    assert status(server, CHAT, "key-b", ASK) == 400
    assert status(server, CHAT, "key-a", {**ASK, "priority": -1}) == 400
    assert status(server, CHAT, "key-a", {**ASK, "priority": 9}) == 200
    config.write_text(config.read_text().replace("models: [one]", "models: [two]"))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: status(server, "/v1/models/two", "key-a"), 200)
    assert status(server, "/v1/models/one", "key-a") == 404


def test_a_credential_of_systemd_holds_keys(start, tmp_path):
    folder = tmp_path / "credentials"
    folder.mkdir()
    put(folder / "weir-api-keys", line("k_1", "key-1", "scopes=inference"), 0o440)
    server = start(env={"CREDENTIALS_DIRECTORY": str(folder),
                        "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]})
    assert status(server, "/v1/models") == 401
    assert status(server, "/v1/models", "key-1") == 200


# -- weir keys --

def keys(*words, expected=0, **options):
    done = subprocess.run([BUILD / "weir", "keys", *map(str, words)], capture_output=True, text=True,
                          timeout=60, **options)
    assert done.returncode == expected, done.stderr
    return done


def listed(path):
    return json.loads(keys("list", "--json", "--file", path).stdout)


def test_a_key_s_life(start, place):
    config = place.configure()
    made = keys("new", "--tenant", "acme", "--scope", "inference,usage", "--expires", "90d",
                "--note", "of the shop", "--config", config)
    key = made.stdout.strip()
    assert re.fullmatch(r"weir_sk_[0-9A-Za-z]{49}", key) and key not in made.stderr
    assert key not in place.keys.read_text() and place.keys.stat().st_mode & 0o777 == 0o600
    (entry,) = listed(place.keys)
    assert entry["tenant"] == "acme" and entry["scopes"] == ["inference", "usage"]
    assert entry["state"] == "good" and entry["note"] == "of the shop"
    assert entry["id"] in made.stderr
    assert calendar.timegm(time.strptime(entry["expires"], "%Y-%m-%dT%H:%M:%SZ")) - \
        calendar.timegm(time.strptime(entry["created"], "%Y-%m-%dT%H:%M:%SZ")) == 90 * 86400
    server = start("--config", config, model=False)
    assert status(server, CHAT, key, ASK) == 200
    assert status(server, "/admin/v1/usage", key) == 200
    assert status(server, "/admin/v1/users", key, FEED) == 403
    second = keys("new", "--config", config).stdout.strip()
    until(lambda: status(server, "/v1/models", second), 200)
    keys("revoke", entry["id"], "--config", config)
    until(lambda: status(server, "/v1/models", key), 401)
    assert "revoked" in ask(server, "/v1/models", key)[2]
    assert status(server, "/v1/models", second) == 200
    assert [each["state"] for each in listed(place.keys)] == ["revoked", "good"]
    before = place.keys.read_text()
    keys("revoke", entry["id"], "--file", place.keys)  # once more is no fault, and changes nothing
    assert place.keys.read_text() == before
    server.stop()
    for each in (key, second):
        assert not any(each in line for line in server.lines)


def test_comments_and_mode_outlive_a_change(place):
    put(place.keys, "# of acme\n\n" + line("k_1", "key-1", "scopes=inference note=a b"), 0o640)
    keys("new", "--file", place.keys)
    keys("revoke", "k_1", "--file", place.keys)
    text = place.keys.read_text().splitlines()
    assert text[:2] == ["# of acme", ""] and " revoked=20" in text[2]
    assert text[2].endswith(" note=a b") and len(text) == 4
    assert place.keys.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in place.keys.parent.iterdir()] == ["keys"]


def test_faults_of_the_command_have_their_status(place, tmp_path):
    put(place.keys, line("k_1", "key-1", "scopes=inference"))
    before = place.keys.read_text()
    for words, code in ((["new"], 64), ([], 64), (["sing", "--file", place.keys], 64),
                        (["new", "--file", place.keys, "--scope", "root"], 64),
                        (["new", "--file", place.keys, "--expires", "soon"], 64),
                        (["new", "--file", place.keys, "--expires", "2020-01-01T00:00:00Z"], 64),
                        (["new", "--file", place.keys, "--tenant", "a b"], 64),
                        (["revoke", "--file", place.keys], 64),
                        (["list", "k_1", "--file", place.keys], 64),
                        (["list", "--file", place.keys, "--config", place.config], 64),
                        (["revoke", "k_2", "k_1", "--file", place.keys], 66),
                        (["list", "--file", tmp_path / "none"], 66),
                        (["list", "--config", tmp_path / "none"], 66),
                        (["new", "--file", tmp_path / "none" / "keys"], 66)):
        assert keys(*words, expected=code).stdout == "", words
    assert place.keys.read_text() == before
    put(place.keys, "nonsense\n")
    assert "line 1" in keys("new", "--file", place.keys, expected=65).stderr
    put(place.keys, before, 0o644)
    assert "644" in keys("list", "--file", place.keys, expected=77).stderr
    place.config.write_text("access: {keys_file: ''}\n")
    assert "--file" in keys("list", "--config", place.config, expected=78).stderr
    assert "weir keys new" in keys("--help").stdout


# -- Tokens --

ISSUER = "https://id.example"


def token(secret, **claims):
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
    claims = {"iss": ISSUER, "aud": "weir", "sub": "alice", "exp": int(time.time()) + 600,
              "org": "acme", "scope": "openid inference", **claims}
    claims = {name: value for name, value in claims.items() if value is not None}
    signed = ".".join(part(json.dumps(each).encode()) for each in ({"alg": "HS256"}, claims))
    mac = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{part(mac)}"


OLD, NEW = "an HMAC secret of 32 bytes at least", "another HMAC secret of so many bytes"


def jwt_access(path, more=""):
    return (f"  jwt: {{keys: {path}, issuer: '{ISSUER}', audience: weir, tenant_claim: org}}\n"
            f"{more}")


def test_tokens_open_what_their_claims_say(start, place, tmp_path):
    jwks = tmp_path / "jwks"
    put(jwks, key_set(OLD))
    put(place.keys, line("k_1", "key-1", "scopes=inference"))
    server = start("--config", place.configure(
        f"tenants: [{{name: acme, models: ['{MODEL_ID}']}}]\n",
        jwt_access(jwks)), model=False)
    assert status(server, CHAT, "key-1", ASK) == 200  # keys go on
    assert status(server, CHAT, token(OLD), ASK) == 200
    server.wait_for(r"event=request .*\btenant=acme\b", 30)
    assert status(server, "/admin/v1/usage", token(OLD)) == 403
    assert status(server, "/admin/v1/usage", token(OLD, scope=["usage"])) == 200
    assert status(server, "/admin/v1/users", token(OLD, scope="admin"), FEED) == 200
    assert status(server, CHAT, token(OLD, scope=None), ASK) == 403
    for wrong in ({"exp": int(time.time()) - 100}, {"exp": None}, {"aud": "else"}, {"iss": "else"},
                  {"org": None}, {"nbf": int(time.time()) + 300}):
        code, headers, text = ask(server, CHAT, token(OLD, **wrong), ASK)
        assert code == 401 and headers["www-authenticate"] == "Bearer", wrong
    assert status(server, CHAT, token(NEW), ASK) == 401
    header, claims, mac = token(OLD).split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    assert status(server, CHAT, f"{none}.{claims}.{mac}", ASK) == 401
    assert status(server, CHAT, f"{none}.{claims}.", ASK) == 401
    assert server.metric("weir_access_refused_total", reason="token") == 9
    # a token ends while the daemon runs, though it was seen to be good
    short = token(OLD, exp=int(time.time()) - 57)
    assert status(server, CHAT, short, ASK) == 200
    until(lambda: status(server, CHAT, short, ASK), 401)
    # keys change, by themselves; a file that does not hold changes nothing
    put(jwks, "{}")
    server.wait_for("event=keys_refused.*access.jwt.keys", 60)
    assert status(server, CHAT, token(OLD), ASK) == 200
    put(jwks, key_set(NEW))
    until(lambda: status(server, CHAT, token(NEW), ASK), 200)
    assert status(server, CHAT, token(OLD), ASK) == 401


def test_one_token_may_be_key_and_user(start, place, tmp_path):
    jwks = tmp_path / "jwks"
    put(jwks, key_set(OLD))
    put(place.keys, line("k_1", "key-1", "scopes=usage"))
    server = start("--config", place.configure(
        f"users: {{jwt_keys: {jwks}, jwt_audience: weir}}\n", jwt_access(jwks)), model=False)
    for name in ("alice", "bob", "alice"):
        assert status(server, CHAT, token(OLD, sub=name), ASK) == 200
    report = json.loads(ask(server, "/admin/v1/usage", "key-1")[2])
    windows = [each["windows"]["month"] for each in report["groups"] if each["kind"] == "organisation"]
    assert windows[0]["lower"]["users"] == 2  # both proven


def test_tokens_without_an_audience_end_the_start(place, tmp_path):
    jwks = tmp_path / "jwks"
    put(jwks, key_set(OLD))
    put(place.keys, "")
    config = place.configure("", f"  jwt: {{keys: {jwks}}}\n")
    done = subprocess.run([BUILD / "weir", "--config", config, "--check"], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 78 and "access.jwt.audience" in done.stderr


def test_keys_and_tokens_are_told_to_nobody(start, place, tmp_path):
    """Not in the log at its most talkative, the metrics, the state folder or a refusal."""
    jwks, state = tmp_path / "jwks", tmp_path / "state"
    put(jwks, key_set(OLD))
    made = keys("new", "--tenant", "acme", "--file", place.keys).stdout.strip()
    inline = "sk-inline-planted-0123456789"
    server = start("--config", place.configure(
        f"users: {{state: {state}}}\n",
        jwt_access(jwks, f"  api_keys: [{{key: {inline}}}]\n")), "--log-level", "debug", model=False)
    planted = {"made": made, "inline": inline, "token": token(OLD), "secret": OLD,
               "unknown": "weir_sk_" + "unknown0" * 6, "bad token": token(NEW)}
    said = []
    for name in ("made", "inline", "token", "unknown", "bad token"):
        for path, body in ((CHAT, ASK), ("/v1/models", None), ("/admin/v1/usage", None)):
            said.append(str(ask(server, path, planted[name], body)[1:]))
    put(place.keys, planted["unknown"] + "\n")  # pasted where a line belongs
    server.wait_for("event=keys_refused", 60)
    said.append(server.get("/metrics")[1])
    server.stop()
    said += server.lines
    files = [each.read_bytes() for each in state.rglob("*") if each.is_file()]
    assert files
    for name, text in planted.items():
        for needle, how in spellings(text).items():
            assert not any(needle in each.encode() for each in said), (name, how)
            assert not any(needle in each for each in files), (name, how)
