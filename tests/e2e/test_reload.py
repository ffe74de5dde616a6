# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: what the file says now is gone by, whole or not at all, and nobody is cut off."""
import json
import signal
import time

from conftest import MODEL

ASK = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 4}


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def write(path, key, more=""):
    path.write_text(f"models: [{{path: {MODEL}}}]\n"
                    f"access: {{api_keys: [{{key: {key}, tenant: acme}}]}}\n{more}")


def test_keys_change_without_a_restart(start, tmp_path):
    config = tmp_path / "weir.yaml"
    write(config, "sk-first-key")
    server = start("--config", config, model=False)
    assert server.post("/v1/chat/completions", ASK, bearer("sk-first-key"))[0] == 200
    write(config, "sk-other-key")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("event=reloaded", 30)
    wait_status(server, "sk-other-key", 200)
    assert server.post("/v1/chat/completions", ASK, bearer("sk-first-key"))[0] == 401


def test_a_bad_file_changes_nothing(start, tmp_path):
    config = tmp_path / "weir.yaml"
    write(config, "sk-first-key")
    server = start("--config", config, model=False)
    write(config, "sk-other-key", "server: {prot: 1}\n")
    server.process.send_signal(signal.SIGHUP)
    line = server.wait_for("event=reload_refused.*", 30).group(0)
    assert "prot" in line
    assert server.post("/v1/chat/completions", ASK, bearer("sk-first-key"))[0] == 200
    assert server.post("/v1/chat/completions", ASK, bearer("sk-other-key"))[0] == 401


def test_limits_change_for_the_next_request(start, tmp_path):
    config = tmp_path / "weir.yaml"
    write(config, "sk-first-key")
    server = start("--config", config, model=False)
    long = {**ASK, "messages": [{"role": "user", "content": " " * 4096}]}
    assert server.post("/v1/chat/completions", long, bearer("sk-first-key"))[0] == 200
    write(config, "sk-first-key", "server: {limits: {body: 1KiB}}\n")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("event=reloaded", 30)
    wait_status(server, "sk-first-key", 413, long)
    assert server.post("/v1/chat/completions", ASK, bearer("sk-first-key"))[0] == 200


def wait_status(server, key, expected, ask=ASK):
    """Workers take up what was read at their next turn, a moment after the log says so."""
    for _ in range(200):
        if server.post("/v1/chat/completions", ask, bearer(key))[0] == expected:
            return
    raise AssertionError(f"never answered {expected}")


def reload(server, event="reloaded"):
    seen = len(server.lines)
    server.process.send_signal(signal.SIGHUP)
    for _ in range(3000):
        for line in server.lines[seen:]:
            if f"event={event} " in line or f'"event":"{event}"' in line:
                return server.lines[seen:]
        time.sleep(0.01)
    raise AssertionError("\n".join(server.lines))


def test_what_needs_a_restart_is_named_and_the_rest_is_live(start, tmp_path):
    config = tmp_path / "weir.yaml"
    write(config, "sk-first-key")
    server = start("--config", config, model=False)
    write(config, "sk-first-key", "server: {workers: 3, drain_timeout: 1s}\n"
                                  "engine: {max_queue: 7}\nlog: {format: json, level: debug}\n")
    lines = reload(server)
    told = [json.loads(line) for line in lines if '"event":"reload_needs_restart"' in line]
    assert [each["keys"] for each in told] == ["server.workers,engine.max_queue"]
    while not any('"route":"/health"' in line for line in server.lines):
        server.get("/health")  # said at level debug alone, by whichever worker has taken it up
    write(config, "sk-first-key", "log: {format: logfmt}\n")
    assert not any("reload_needs_restart" in line for line in reload(server))


def test_reloads_are_counted_and_the_last_is_told_of(start, tmp_path):
    config = tmp_path / "weir.yaml"
    write(config, "sk-first-key")
    server = start("--config", config, model=False)
    read = server.metric("weir_config_last_reload_success_timestamp_seconds")
    assert abs(read - time.time()) < 600 and server.metric("weir_config_last_reload_successful") == 1
    write(config, "sk-first-key", "server: {prot: 1}\n")
    reload(server, "reload_refused")
    server.wait_metric(0, "weir_config_last_reload_successful")
    assert server.metric("weir_config_reloads_total", result="failure") == 1
    assert server.metric("weir_config_last_reload_success_timestamp_seconds") == read
    write(config, "sk-first-key")
    reload(server)
    server.wait_metric(1, "weir_config_last_reload_successful")
    assert server.metric("weir_config_reloads_total", result="success") == 1
    assert server.metric("weir_config_last_reload_success_timestamp_seconds") > read
