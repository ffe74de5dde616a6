#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Throughput beside llama.cpp, measured in turns in one run, as ratios.

Absolute figures drift with whoever else uses the machine; a ratio of two runs a moment apart drifts
less, and the median of several is what is printed and written to build/bench/summary.csv:
    workload, model, ours, peer, peer_name, ratio, limit, share_of_limit
`limit` is what this machine could do at best for the workload: for decoding, memory bandwidth over
the bytes of weights that a step must read (times the streams that share the reading); for prefill,
8-bit arithmetic over the multiply-adds of a token. Both are measured in the same run.

What counting users costs stands beside what cannot be had for less, under names of its own (--users
prints nothing else): a user known in the day beside the hash of an id, in ns, the limit of a
request being 1000; a new user beside a known one; two workers beside one, in users a microsecond;
the memory of 50 models' counters, full ones for the day and for the month, beside their registers,
in MiB.
"""
import argparse
import csv
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "weir"
PEER_PACKAGE = "llama-cpp-python==0.3.36"
PEER_NAME = "llama.cpp"
PEER_TOOLS = ("llama-batched-bench", "llama-server")
PREFILL, DECODE = 512, 32
STREAMS = (1, 8, 32)
# One request a connection: llama-server closes after a streamed answer, which h2load takes ill.
HTTP_CLIENTS, HTTP_TOKENS, HTTP_REQUESTS = 32, 64, 32
HTTP_PORT = 18431
COUNT_NS_MOST = 1000  # of a request
MEMORY_MIB_MOST = 26  # of 50 models' counters
REGISTERS_MIB = 0.25  # of a counter


def log(message):
    print(message, file=sys.stderr, flush=True)


def peer_tools():
    """A folder with llama.cpp's tools, built for this machine from the sources on PyPI; or the one
    that WEIR_LLAMA_CPP names."""
    named = os.environ.get("WEIR_LLAMA_CPP")
    if named:
        return pathlib.Path(named)
    home = CACHE / "peers" / PEER_PACKAGE.replace("==", "-")
    tools = home / "build" / "bin"
    if all((tools / tool).exists() for tool in PEER_TOOLS):
        return tools
    log(f"bench: building {PEER_NAME} from {PEER_PACKAGE} (once; some minutes)")
    home.mkdir(parents=True, exist_ok=True)
    pip = [str(BUILD / "venv" / "bin" / "pip"), "download", "-q", "--no-deps", "--no-binary",
           ":all:", "--no-build-isolation", "-d", str(home), PEER_PACKAGE]
    subprocess.run([str(BUILD / "venv" / "bin" / "pip"), "install", "-q", "scikit-build-core"],
                   check=True)
    subprocess.run(pip, check=True)
    archive = next(home.glob("*.tar.gz"))
    with tarfile.open(archive) as source:
        source.extractall(home, filter="data")
    source = next(home.glob("llama_cpp_python-*/vendor/llama.cpp"))
    subprocess.run(["cmake", "-S", source, "-B", home / "build", "-G", "Ninja",
                    "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF",
                    "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF",
                    "-DBUILD_SHARED_LIBS=OFF"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", home / "build", *PEER_TOOLS], check=True,
                   stdout=subprocess.DEVNULL)
    return tools


def json_lines(command):
    out = subprocess.run([str(word) for word in command], check=True, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def forward_ours(model, threads, streams):
    return json_lines([BUILD / "bench" / "forward_bench", model, threads, PREFILL, DECODE,
                       streams])[-1]


def forward_peer(tools, model, threads, streams):
    context = (PREFILL + DECODE) * streams
    return json_lines([tools / "llama-batched-bench", "-m", model, "-t", threads, "-c", context,
                       "-b", 2048, "-ub", 512, "-npp", PREFILL, "-ntg", DECODE, "-npl", streams,
                       "--output-format", "jsonl"])[-1]


class Daemon:
    """A server process that answers /health with 200 once it is ready."""

    def __init__(self, command):
        self.process = subprocess.Popen([str(word) for word in command],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{HTTP_PORT}/health", timeout=5).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.stop()
                    raise RuntimeError(f"{command[0]} did not become ready")
                time.sleep(0.1)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def http_tokens_per_second(command, connections):
    """Generated tokens a second with HTTP_CLIENTS clients streaming."""
    body = BUILD / "bench" / "body.json"
    body.write_text(json.dumps({"prompt": "The history of the river begins", "stream": True,
                                "max_tokens": HTTP_TOKENS, "ignore_eos": True, "temperature": 0}))
    daemon = Daemon(command)
    try:
        out = subprocess.run(["h2load", "-n", str(HTTP_REQUESTS), *connections, "-d", str(body),
                              "-H", "content-type: application/json",
                              f"http://127.0.0.1:{HTTP_PORT}/v1/completions"],
                             check=True, text=True, stdout=subprocess.PIPE).stdout
    finally:
        daemon.stop()
    done = re.search(r"(\d+) succeeded, 0 failed", out)
    seconds = re.search(r"finished in ([\d.]+)(ms|s)", out)
    if not done or int(done[1]) != HTTP_REQUESTS:
        raise RuntimeError(f"requests failed:\n{out}")
    elapsed = float(seconds[1]) / (1000 if seconds[2] == "ms" else 1)
    return HTTP_REQUESTS * HTTP_TOKENS / elapsed


def http_ours(model, threads):
    return http_tokens_per_second(
        [BUILD / "weir", "serve", "--model", model, "--port", HTTP_PORT, "--threads", threads,
         "--log-level", "warn"], ["-c", "4", "-m", str(HTTP_CLIENTS // 4)])


def http_peer(tools, model, threads):
    return http_tokens_per_second(
        [tools / "llama-server", "-m", model, "--port", HTTP_PORT, "-t", threads, "-np",
         HTTP_CLIENTS, "-c", HTTP_CLIENTS * 256, "--no-webui"],
        ["--h1", "-c", str(HTTP_CLIENTS), "-m", "1"])


def paired(repeats, ours, peer):
    """Runs the two in turns; returns the figures of the run with the median ratio."""
    runs = []
    for _ in range(repeats):
        mine, theirs = ours(), peer()
        runs.append({key: (mine[key], theirs[key]) for key in mine})
    return {key: sorted((run[key] for run in runs), key=lambda pair: pair[0] / pair[1])[repeats // 2]
            for key in runs[0]}


def measure(args, tools, limits):
    shape = json_lines([BUILD / "bench" / "forward_bench", args.model, args.threads, 16, 1, 1])[-1]
    prefill_limit = limits["int8_ops_per_s"] / (2 * shape["multiply_adds_per_token"])
    decode_limit = limits["read_bytes_per_s"] / shape["weight_bytes_per_step"]
    for streams in STREAMS:
        log(f"bench: prefill and decode, {streams} stream(s)")
        figures = paired(
            args.repeats,
            lambda: {k: v for k, v in forward_ours(args.model, args.threads, streams).items()
                     if k.startswith("speed_")},
            lambda: forward_peer(tools, args.model, args.threads, streams))
        yield f"prefill_{PREFILL}x{streams}", *figures["speed_pp"], PEER_NAME, prefill_limit
        # Reading is shared by the streams; beyond some number arithmetic is the limit.
        yield (f"decode_{streams}", *figures["speed_tg"], PEER_NAME,
               min(decode_limit * streams, prefill_limit))
    log(f"bench: {HTTP_CLIENTS} streaming clients over HTTP")
    figures = paired(args.repeats, lambda: {"rate": http_ours(args.model, args.threads)},
                     lambda: {"rate": http_peer(tools, args.model, args.threads)})
    yield (f"http_{HTTP_CLIENTS}_clients", *figures["rate"], "llama-server",
           min(decode_limit * HTTP_CLIENTS, prefill_limit))


def word_lines(command):
    """Lines of "name key=value ...", as a name and its values; those that are numbers are."""
    out = subprocess.run([str(command)], check=True, text=True, stdout=subprocess.PIPE).stdout
    for line in out.splitlines():
        name, *words = line.split()
        values = dict(word.split("=") for word in words)
        yield name, {key: float(value) if re.fullmatch(r"[\d.]+", value) else value
                     for key, value in values.items()}


def counting():
    """A workload's (ours, peer), of one run of each bench."""
    lines = list(word_lines(BUILD / "bench" / "usage_bench"))
    ns = {line["threads"]: line["ns"] for name, line in lines if name == "usage_count" and line["years"] == 1}
    siphash = next(line["ns"] for name, line in lines if name == "usage_siphash")
    memory = next(line for name, line in lines if name == "usage_memory")
    adds = {line["users"]: line["ns"] for _, line in word_lines(BUILD / "bench" / "count_bench")
            if (line["form"], line["threads"], line["counters"]) == ("registers", 1, 50)}
    return {"count_known_user": (ns[1], siphash),
            "count_new_user": (adds["new"], adds["known"]),
            "count_2_workers": (2000 / ns[2], 1000 / ns[1]),
            "count_memory": (memory["counters_mib"], 2 * REGISTERS_MIB * memory["models"])}


def measure_users(repeats):
    log("bench: counting users")
    runs = [counting() for _ in range(repeats)]
    median = {name: sorted((run[name] for run in runs),
                           key=lambda pair: pair[0] / pair[1])[repeats // 2] for name in runs[0]}
    yield "count_known_user", *median["count_known_user"], "hash of an id", COUNT_NS_MOST
    yield "count_new_user", *median["count_new_user"], "known user", COUNT_NS_MOST
    two, one = median["count_2_workers"]
    yield "count_2_workers", two, one, "1 worker", 2 * one
    yield "count_memory", *median["count_memory"], "registers", MEMORY_MIB_MOST


def main():
    parser = argparse.ArgumentParser(description="throughput beside llama.cpp, as ratios")
    parser.add_argument("--model", default=os.environ.get("WEIR_TEST_MODEL"))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--users", action="store_true", help="what counting users costs, no more")
    args = parser.parse_args()
    if not args.model and not args.users:
        parser.error("--model or WEIR_TEST_MODEL must name a GGUF; `make bench` does")
    model = "" if args.users else pathlib.Path(args.model).name
    rows = measure_users(args.repeats)
    if not args.users:
        rows = itertools.chain(rows, measure(args, peer_tools(),
                                             json_lines([BUILD / "bench" / "limits"])[-1]))
    summary = BUILD / "bench" / "summary.csv"
    print(f"{'workload':<18}{'ours':>10}{'peer':>10}{'ratio':>8}{'limit':>10}{'share':>8}  peer")
    with open(summary, "w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(["workload", "model", "ours", "peer", "peer_name", "ratio", "limit",
                        "share_of_limit"])
        for workload, ours, peer, name, limit in rows:
            table.writerow([workload, model, f"{ours:.1f}", f"{peer:.1f}",
                            name, f"{ours / peer:.2f}", f"{limit:.0f}", f"{ours / limit:.2f}"])
            out.flush()
            print(f"{workload:<18}{ours:>10.1f}{peer:>10.1f}{ours / peer:>8.2f}{limit:>10.0f}"
                  f"{ours / limit:>8.2f}  {name}", flush=True)
    print(f"tokens a second, but for count_*; written to {summary.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
