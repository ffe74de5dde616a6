# SPDX-License-Identifier: Apache-2.0
"""What operators look at: metrics, a real Prometheus, health, tokens, licence and users."""
import json
import subprocess
import time
import urllib.parse
import urllib.request

from conftest import MODEL_ID
from prometheus_client.parser import text_string_to_metric_families

CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}


def test_promtool_finds_nothing(server):
    server.post("/v1/chat/completions", CHAT)
    text = server.get("/metrics")[1]
    result = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True,
                            text=True, timeout=60)
    # vLLM's names are given, colons and all; of what is ours promtool finds nothing to say.
    complaints = result.stderr.splitlines() + result.stdout.splitlines()
    assert [line for line in complaints if not line.startswith("vllm:")] == []
    assert {line.split(" ", 1)[1] for line in complaints} <= {
        "metric names should not contain ':'",
        'non-counter metrics should not have "_total" suffix'}
    assert len(list(text_string_to_metric_families(text))) > 30


def test_histograms_are_consistent(server):
    server.post("/v1/chat/completions", CHAT)
    server.wait_metric(0, "vllm:num_requests_running")
    families = {f.name: f for f in text_string_to_metric_families(server.get("/metrics")[1])}
    for name, family in families.items():
        if family.type != "histogram":
            continue
        series = {}
        for sample in family.samples:
            key = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
            series.setdefault(key, {"buckets": []})
            if sample.name.endswith("_bucket"):
                series[key]["buckets"].append(sample.value)
            elif sample.name.endswith("_count"):
                series[key]["count"] = sample.value
        for parts in series.values():
            assert parts["buckets"] == sorted(parts["buckets"]), name
            assert parts["buckets"][-1] == parts["count"], name


def test_users_are_counted_once_each(start, tmp_path):
    server = start(env={"XDG_STATE_HOME": str(tmp_path)})
    for user in ("ada", "grace", "ada", " ada ", "default", "null"):
        assert server.post("/v1/chat/completions", {**CHAT, "user": user})[0] == 200
    server.post("/v1/chat/completions", {**CHAT, "safety_identifier": "grace"})
    server.post("/v1/chat/completions", CHAT, {"x-user-id": "edsger"})
    users = server.metric("weir_monthly_active_users", model=MODEL_ID)
    server.stop()
    again = start(env={"XDG_STATE_HOME": str(tmp_path)})
    again.post("/v1/chat/completions", {**CHAT, "user": "ada"})
    assert again.metric("weir_monthly_active_users", model=MODEL_ID) == users
    again.post("/v1/chat/completions", {**CHAT, "user": "barbara"})
    assert again.metric("weir_monthly_active_users", model=MODEL_ID) == users + 1


def test_a_real_prometheus_answers_how_many_users(server, tmp_path):
    server.post("/v1/chat/completions", {**CHAT, "user": "someone"})
    users = server.metric("weir_monthly_active_users", model=MODEL_ID)
    settings = tmp_path / "prometheus.yml"
    settings.write_text("global: {scrape_interval: 1s}\nscrape_configs:\n  - job_name: weir\n"
                        f"    static_configs: [{{targets: ['127.0.0.1:{server.port}']}}]\n")
    port = 19090
    prometheus = subprocess.Popen(
        ["prometheus", f"--config.file={settings}", f"--storage.tsdb.path={tmp_path}/tsdb",
         f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        query = urllib.parse.quote(f'weir_monthly_active_users{{model="{MODEL_ID}"}}')
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline, "Prometheus never had an answer"
            try:
                with urllib.request.urlopen(
                        f"http://127.0.0.1:{port}/api/v1/query?query={query}") as answer:
                    result = json.load(answer)["data"]["result"]
                if result:
                    break
            except OSError:
                pass
            time.sleep(0.3)
        assert float(result[0]["value"][1]) == users > 0
    finally:
        prometheus.terminate()
        prometheus.wait(30)


def test_health_ready_version(server):
    assert server.get("/health")[0] == 200
    assert server.get("/ready")[0] == 200
    assert json.loads(server.get("/version")[1])["version"]


def test_tokenize_and_back(server):
    text = "Weirs höld water – 水 🌊"
    status, _, tokens = server.post("/tokenize", {"prompt": text, "add_special_tokens": False})
    assert status == 200 and tokens["count"] == len(tokens["tokens"])
    assert tokens["max_model_len"] == 8192
    status, _, back = server.post("/detokenize", {"tokens": tokens["tokens"]})
    assert status == 200 and back["prompt"] == text


def test_the_licence_is_in_the_log(server):
    server.wait_for(r"event=model_loaded", 5)
    assert any("apache-2.0" in line.lower() for line in server.lines)
