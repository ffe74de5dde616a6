# SPDX-License-Identifier: Apache-2.0
"""Models whose files are not there, or not whole, when weir starts: waited for, or fatal."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import urllib.request

from conftest import BUILD, MODEL
from test_notify import Manager

PATIENCE_S = 300
ASK = {"prompt": "A weir is", "max_tokens": 2, "temperature": 0}
ADMIN = {"authorization": "Bearer sk-admin-0123456789"}


def configure(tmp_path, late, *more, on_failure="on_failure: retry", first=MODEL):
    """weir.yaml with "here", if first is a path, and "late"."""
    here = [] if first is None else [f"{{id: here, path: {first}}}"]
    models = ", ".join([*here, f"{{id: late, path: {late}, {on_failure}}}"])
    config = tmp_path / "weir.yaml"
    config.write_text("\n".join([f"models: [{models}]",
                                 "access: {admin_keys: [{key: sk-admin-0123456789}]}", *more]))
    return config


def put(path, source=MODEL):
    """Whole or not at all, as the manual asks for."""
    shutil.copy(source, f"{path}.new")
    os.rename(f"{path}.new", path)


def ask(server, model):
    return server.post("/v1/completions", {**ASK, "model": model})


def await_served(server, model):
    deadline = time.monotonic() + PATIENCE_S
    while (answer := ask(server, model))[0] != 200:
        assert answer[0] == 503 and time.monotonic() < deadline, answer
        time.sleep(0.1)
    return answer


def get_admin(server, path):
    request = urllib.request.Request(server.base + path, headers=ADMIN)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def served(server):
    return [each["id"] for each in json.loads(server.get("/v1/models")[1])["data"]]


def expect_waiting(server, model="late"):
    status, headers, body = ask(server, model)
    assert status == 503 and body["error"]["code"] == "model_not_loaded"
    assert f"'{model}'" in body["error"]["message"] and "/" not in body["error"]["message"]
    assert 1 <= int(headers["retry-after"]) <= 301
    assert server.get(f"/v1/models/{model}")[0] == 503
    assert server.metric("weir_model_loaded", model=model) == 0
    assert server.get("/health")[0] == 200


def test_a_missing_file_is_served_once_it_is_there(start, tmp_path):
    late = tmp_path / "late.gguf"
    server = start("--config", configure(tmp_path, late), model=False)
    line = server.wait_for("event=model_not_loaded .*", 1).group(0)
    assert "model=late" in line and "late.gguf': No such file" in line and "next_try_s=5" in line
    expect_waiting(server)
    assert served(server) == ["here"]
    assert server.get("/ready")[0] == 200  # what is here is served, and a balancer may send it
    assert ask(server, "here")[0] == 200
    put(late)
    answer = await_served(server, "late")  # by itself, within seconds
    assert answer[2]["choices"] == ask(server, "here")[2]["choices"]
    server.wait_for("event=model_loaded model=late", 1)
    server.wait_for("event=model_license model=late", 1)
    assert served(server) == ["here", "late"] and server.get("/ready")[0] == 200
    assert server.metric("weir_model_loaded", model="late") == 1
    assert server.metric("weir_model_load_failures_total", model="late") >= 1
    assert server.metric("vllm:request_success_total", model_name="late") >= 1
    server.assert_nothing_leaked()


def test_what_comes_late_counts_as_what_was_there(start, tmp_path):
    late = tmp_path / "late.gguf"
    server = start("--config", configure(tmp_path, late), model=False)
    put(late)
    server.process.send_signal(signal.SIGHUP)  # tries at once
    await_served(server, "late")
    for user in ("alice", "bob", "alice"):
        for model in ("here", "late"):
            assert server.post("/v1/completions", {**ASK, "model": model},
                               {"x-user-id": user})[0] == 200
    for model in ("here", "late"):
        assert server.metric("weir_mau", model=model, window="month", bound="upper") >= 2
        assert server.metric("weir_license_verdict", model=model) == 1
    assert server.metric("weir_tenant_generation_tokens_total", model="late") > 0
    license = json.loads(server.get("/v1/models/late/license")[1])
    assert license["model"] == "late"
    assert get_admin(server, "/admin/v1/usage")["models"] == ["here", "late"]


def test_a_truncated_file_is_waited_out(start, tmp_path):
    late = tmp_path / "late.gguf"
    with open(MODEL, "rb") as whole, open(late, "wb") as cut:
        cut.write(whole.read(1 << 20))
    server = start("--config", configure(tmp_path, late), model=False)
    line = server.wait_for("event=model_not_loaded .*", 1).group(0)
    assert "truncated" in line or "ends inside" in line
    expect_waiting(server)
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("event=model_not_loaded .*failures=2", PATIENCE_S)
    put(late)
    server.process.send_signal(signal.SIGHUP)
    await_served(server, "late")


def test_without_any_model_nobody_is_sent_here(start, tmp_path):
    late = tmp_path / "late.gguf"
    server = start("--config", configure(tmp_path, late, first=None), model=False)
    expect_waiting(server)
    status, body = server.get("/ready")
    assert status == 503 and "not_ready" in body
    assert served(server) == []
    assert server.post("/v1/completions", ASK)[2]["error"]["code"] == "model_not_loaded"
    put(late)
    server.process.send_signal(signal.SIGHUP)
    await_served(server, "late")
    assert server.get("/ready")[0] == 200
    assert server.post("/v1/completions", ASK)[0] == 200


def test_what_is_to_end_the_start_does(tmp_path):
    config = configure(tmp_path, tmp_path / "late.gguf", on_failure="on_failure: exit")
    ended = subprocess.run([str(BUILD / "weir"), "serve", "--config", str(config), "--port", "0",
                            "--state", str(tmp_path / "state")],
                           capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 1
    assert "event=start_failed" in ended.stderr and "model 'late'" in ended.stderr


def test_a_breach_is_no_failure(start, tmp_path):
    """It is left out at once where its file is read, be it late, and not tried again."""
    late = tmp_path / "late.gguf"
    config = configure(tmp_path, late, "operator: {production: yes, commercial: yes}",
                       on_failure="on_failure: retry, license: mnpl-0.1")
    server = start("--config", config, model=False)
    expect_waiting(server)
    put(late)
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("event=model_refused model=late", PATIENCE_S)
    status, _, body = ask(server, "late")
    assert status == 404 and "refused by its licence" in body["error"]["message"]
    assert server.metric("weir_license_verdict", model="late", verdict="breach") == 1
    assert not any('weir_model_loaded{model="late"' in line
                   for line in server.get("/metrics")[1].splitlines())


def test_the_manager_and_the_dump_name_who_is_missing(start, tmp_path):
    manager = Manager(tmp_path / "manager")
    late = tmp_path / "late.gguf"
    server = start("--config", configure(tmp_path, late), model=False,
                   env=manager.environment(tmp_path))
    manager.await_line("READY=1")
    manager.await_line("STATUS=serving 1 model: 0 running, 0 waiting; NOT LOADED: late")
    server.process.send_signal(signal.SIGUSR1)
    line = server.wait_for("event=state_absent_model .*", PATIENCE_S).group(0)
    assert "model=late" in line and "load_failures=" in line
    top = subprocess.run([str(BUILD / "weir"), "top", "--once", "--url", server.base],
                         capture_output=True, text=True, timeout=PATIENCE_S)
    assert top.returncode == 0, top.stderr
    assert "\nhere " in top.stdout and "1 MODEL NOT LOADED" in top.stdout
    put(late)
    server.process.send_signal(signal.SIGHUP)
    manager.await_line("STATUS=serving 2 models: ")


def test_sigterm_ends_the_wait_and_a_load(start, tmp_path):
    late = tmp_path / "late.gguf"
    waiting = start("--config", configure(tmp_path, late), model=False)
    expect_waiting(waiting)
    waiting.stop()
    for pause_s in (0.0, 0.05, 0.2):  # somewhere in the load
        late.unlink(missing_ok=True)
        loading = start("--config", configure(tmp_path, late), model=False)
        put(late)
        loading.process.send_signal(signal.SIGHUP)
        time.sleep(pause_s)
        loading.stop()
        assert any("event=stopped" in line for line in loading.lines)


def test_others_are_served_through_loads_that_fail(start, tmp_path):
    """A file that breaks every load does not hold up those who stream."""
    late = pathlib.Path(tmp_path / "late.gguf")
    late.write_bytes(b"GGUF" + bytes(64))
    server = start("--config",
                   configure(tmp_path, late, on_failure="on_failure: retry, retry_max: 1s"),
                   model=False)
    before = server.metric("weir_model_load_failures_total", model="late")
    deadline = time.monotonic() + PATIENCE_S
    while server.metric("weir_model_load_failures_total", model="late") < before + 3:
        assert ask(server, "here")[0] == 200
        assert time.monotonic() < deadline
    expect_waiting(server)
