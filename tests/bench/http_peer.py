#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What HTTP costs: GET /health of a weir with one worker beside a file of as many bytes of nghttpd
with one thread, under h2load, in clear text and TLS.

    http_peer.py [--repeats 5] [--requests 200000]       written to build/bench/http_peer.csv

The two are measured in turns, one process under load at a time, and the median of the turns'
ratios is what counts: a machine's drift reaches both. h2load takes a core of its own; beside the
rate stand the microseconds of processor time that a request takes of the server, in all its
threads, which do not depend on who else is there."""
import argparse
import csv
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
CONNECTIONS, STREAMS = 64, 32
PORT = 18432
TICKS = os.sysconf("SC_CLK_TCK")


def log(message):
    print(message, file=sys.stderr, flush=True)


def processor_s(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def started(command, base):
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while subprocess.run(["curl", "-sfk", "--http2-prior-knowledge", "-o", os.devnull,
                          base + "/health"], check=False).returncode != 0:
        if time.monotonic() > deadline or process.poll() is not None:
            process.kill()
            raise RuntimeError(f"{command[0]} did not become ready")
        time.sleep(0.1)
    return process


def under_load(command, base, requests):
    """Requests a second, and microseconds of the server's processor time a request."""
    process = started(command, base)
    try:
        before = processor_s(process)
        out = subprocess.run(["h2load", "-n", str(requests), "-c", str(CONNECTIONS), "-m",
                              str(STREAMS), base + "/health"], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
        spent = processor_s(process) - before
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    if f"{requests} succeeded, 0 failed" not in out:
        raise RuntimeError(f"requests failed:\n{out}")
    return float(re.search(r"([\d.]+) req/s", out)[1]), spent / requests * 1e6


def certificate(folder):
    names = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-keyout", names[1], "-out", names[0]], check=True,
                   capture_output=True)
    return names


def commands(folder, model, tls):
    settings = folder / f"weir-{tls}.yaml"
    cert, key = certificate(folder) if tls else ("", "")
    settings.write_text(f"models:\n  - path: {model}\nserver:\n  port: {PORT}\n  workers: 1\n"
                        f"  tls:\n    certificate: '{cert}'\n    key: '{key}'\n"
                        f"users:\n  state: {folder / 'state'}\nlog:\n  level: warn\n")
    ours = [BUILD / "weir", "serve", "--config", settings]
    nghttpd = shutil.which("nghttpd", path=f"{os.environ['PATH']}:/usr/sbin")
    peer = [nghttpd, "-n", "1", "-d", folder / "www", PORT, *([key, cert] if tls else [])]
    return ours, peer if tls else [*peer[:1], "--no-tls", *peer[1:]]


def measure(args, folder):
    for tls in (False, True):
        base = f"{'https' if tls else 'http'}://127.0.0.1:{PORT}"
        ours, peer = commands(folder, args.model, tls)
        if not (folder / "www").exists():
            (folder / "www").mkdir()
            process = started(ours, base)
            with urllib.request.urlopen(base + "/health") as answer:
                (folder / "www" / "health").write_bytes(answer.read())
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        turns = []
        for turn in range(args.repeats):
            log(f"bench: {base}, turn {turn + 1} of {args.repeats}")
            turns.append((under_load(ours, base, args.requests),
                          under_load(peer, base, args.requests)))
        rate = sorted(turns, key=lambda turn: turn[0][0] / turn[1][0])[len(turns) // 2]
        cost = sorted(turns, key=lambda turn: turn[0][1] / turn[1][1])[len(turns) // 2]
        name = "tls" if tls else "h2c"
        yield f"health_{name}_requests_per_s", rate[0][0], rate[1][0]
        yield f"health_{name}_processor_us", cost[0][1], cost[1][1]


def main():
    parser = argparse.ArgumentParser(description="HTTP beside nghttpd, as ratios")
    parser.add_argument("--model", default=os.environ.get("WEIR_TEST_MODEL"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--requests", type=int, default=200000)
    args = parser.parse_args()
    if not args.model:
        parser.error("--model or WEIR_TEST_MODEL must name a GGUF; `make bench` does")
    (BUILD / "bench").mkdir(exist_ok=True)
    print(f"{'workload':<30}{'ours':>12}{'nghttpd':>12}{'ratio':>8}")
    with (tempfile.TemporaryDirectory() as folder,
          open(BUILD / "bench" / "http_peer.csv", "w", newline="", encoding="utf-8") as out):
        table = csv.writer(out)
        table.writerow(["workload", "ours", "peer", "ratio"])
        for name, ours, peer in measure(args, pathlib.Path(folder)):
            table.writerow([name, f"{ours:.2f}", f"{peer:.2f}", f"{ours / peer:.2f}"])
            print(f"{name:<30}{ours:>12.2f}{peer:>12.2f}{ours / peer:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
