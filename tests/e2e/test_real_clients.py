# SPDX-License-Identifier: Apache-2.0
"""Clients that others wrote: curl, nghttp, httpx, h2load."""
import json
import re
import subprocess

import httpx
import pytest

from conftest import MODEL_ID

BODY = json.dumps({"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8,
                   "temperature": 0})
STREAM = json.dumps({"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8,
                     "temperature": 0, "stream": True})
H2LOAD_SECONDS = 60


def run(*command, timeout=120):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                            timeout=timeout)
    assert result.returncode == 0, result.stderr + result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def secure(certificate):
    from conftest import Server
    server = Server("--tls-certificate", certificate[0], "--tls-key", certificate[1], tls=True)
    yield server
    server.stop()


def curl(base, *options, body=BODY):
    out = run("curl", "-sS", "-w", "\n%{http_version} %{http_code}", "-H",
              "content-type: application/json", "-d", body, *options,
              base + "/v1/chat/completions")
    answer, _, tail = out.rpartition("\n")
    return answer, tail


@pytest.mark.parametrize("option, version", [("--http1.1", "1.1"), ("--http1.0", "1.1"),
                                             ("--http2-prior-knowledge", "2"), ("--http2", "1.1")])
def test_curl_in_clear_text(server, option, version):
    answer, tail = curl(server.base, option)
    assert tail == f"{version} 200"
    assert json.loads(answer)["choices"][0]["message"]["content"]
    answer, tail = curl(server.base, option, "-N", body=STREAM)
    assert answer.endswith("data: [DONE]\n\n") and tail == f"{version} 200"


@pytest.mark.parametrize("option, version", [("--http1.1", "1.1"), ("--http2", "2")])
def test_curl_over_tls_picks_by_alpn(secure, certificate, option, version):
    answer, tail = curl(secure.base, option, "--cacert", certificate[0])
    assert tail == f"{version} 200" and "choices" in answer
    answer, tail = curl(secure.base, option, "--cacert", certificate[0], body=STREAM)
    assert answer.endswith("data: [DONE]\n\n")


def test_nghttp(server, tmp_path):
    body = tmp_path / "body.json"
    body.write_text(STREAM)
    out = run("nghttp", "-d", body, "-H", "content-type: application/json",
              server.base + "/v1/chat/completions")
    assert out.endswith("data: [DONE]\n\n")


def test_httpx_over_http2(secure, certificate):
    import ssl
    context = ssl.create_default_context(cafile=certificate[0])
    with httpx.Client(http2=True, verify=context, timeout=120) as client:
        answer = client.post(secure.base + "/v1/chat/completions", content=BODY,
                             headers={"content-type": "application/json"})
        assert answer.http_version == "HTTP/2" and answer.status_code == 200
        assert answer.json()["model"] == MODEL_ID
        with client.stream("POST", secure.base + "/v1/chat/completions", content=STREAM,
                           headers={"content-type": "application/json"}) as stream:
            lines = [line for line in stream.iter_lines() if line]
        assert lines[-1] == "data: [DONE]"


@pytest.mark.slow
def test_h2load_for_a_minute_with_no_failed_request(server, tmp_path):
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"prompt": "The river", "max_tokens": 4, "temperature": 0}))
    out = run("h2load", "-D", H2LOAD_SECONDS, "-c", 8, "-m", 4, "-d", body, "-H",
              "content-type: application/json", server.base + "/v1/completions",
              timeout=H2LOAD_SECONDS + 60)
    counts = re.search(r"requests: (\d+) total, .* (\d+) succeeded, (\d+) failed, (\d+) errored",
                       out)
    assert counts, out
    assert int(counts[2]) > 0 and counts[3] == "0" and counts[4] == "0", out
    assert re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", out), out
    server.assert_nothing_leaked()
