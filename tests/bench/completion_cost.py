#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a completion of one token costs beside the model: microseconds of processor time a request,
in all threads of the daemon, of which no part is under model_begin() or in the compute pool.

    completion_cost.py [--requests 3000]               written to build/bench/completion_cost.csv

perf samples every thread's clock; a stack that has model_begin in it is the model's, as are the
pool's threads. What remains is the front door, the scheduler, sampling, counting and the kernel on
their behalf. Two loads: a client that waits for its answer, and 32 of them. The limit is that
of the design's budgets."""
import argparse
import collections
import concurrent.futures
import csv
import http.client
import json
import pathlib
import re
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
LIMIT_US = 100
HERTZ = 4000
LOADS = {"one_after_the_other": 1, "32_at_once": 32}
BODY = {"prompt": "A weir is", "max_tokens": 1}
USERS = 300
SAMPLE = re.compile(r"^(\S.*?)\s+\d+\s+(\d+)\s+cpu-clock")


def key_made(folder):
    """An API key in a file that weir.yaml names: the bearer's `user` is believed, so that one who
    was counted already is counted for nothing, as most are on any day."""
    (folder / "weir.yaml").write_text(
        f"models: [{{path: {json.dumps(MODEL)}}}]\n"
        f"access: {{keys_file: {json.dumps(str(folder / 'keys'))}}}\n"
        "tenants: [{name: bench}]\n")
    return subprocess.run([BUILD / "weir", "keys", "new", "--file", folder / "keys", "--tenant",
                           "bench"], check=True, capture_output=True, text=True).stdout.split()[0]


def started(folder):
    """A daemon with one worker, and its port."""
    told = folder / "log"
    with open(told, "wb") as log:
        process = subprocess.Popen(
            [str(BUILD / "weir"), "serve", "--config", folder / "weir.yaml", "--port", "0", "--workers", "1",
             "--threads", "1", "--state", folder / "state"], stdout=subprocess.DEVNULL, stderr=log)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        ready = re.search(r"event=ready \S+ port=(\d+)", told.read_text())
        if ready:
            return process, int(ready.group(1))
        time.sleep(0.1)
    process.kill()
    raise RuntimeError(told.read_text())


def send(port, key, requests, clients):
    """So many completions, over as many connections as there are clients, of a few hundred users."""
    def run(number):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        for i in range(number, requests, clients):
            client.request("POST", "/v1/completions",
                           json.dumps({**BODY, "user": f"user-{i % USERS}"}),
                           {"content-type": "application/json", "authorization": f"Bearer {key}"})
            answer = client.getresponse()
            if answer.status != 200:
                raise RuntimeError(answer.read())
            answer.read()
        client.close()

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        list(pool.map(run, range(clients)))


def stacks(record):
    """(thread, nanoseconds, functions from the innermost out) a sample."""
    told = subprocess.run(["perf", "script", "-i", record, "-F", "comm,tid,period,event,ip,sym"],
                          check=True, capture_output=True, text=True).stdout
    for sample in told.split("\n\n"):
        lines = sample.strip("\n").splitlines()
        head = SAMPLE.match(lines[0].strip()) if lines else None
        if head:
            yield head.group(1), int(head.group(2)), [line.split(None, 1)[-1] for line in lines[1:]]


def measure(process, port, key, load, requests):
    """Microseconds a request: {"model": ..., thread: ...}, and the innermost functions beside it."""
    clients = LOADS[load]
    send(port, key, max(USERS, requests // 4), clients)
    with tempfile.NamedTemporaryFile(suffix=".perf") as record:
        watcher = subprocess.Popen(
            ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(HERTZ), "-g", "-p",
             str(process.pid), "-o", record.name], stderr=subprocess.DEVNULL)
        time.sleep(1)
        send(port, key, requests, clients)
        watcher.terminate()
        watcher.wait()
        costs, functions = collections.Counter(), collections.Counter()
        for thread, period, frames in stacks(record.name):
            model = thread.startswith("pool") or any("model_begin" in one for one in frames)
            costs["model" if model else thread] += period / 1000 / requests
            if not model and frames:
                functions[frames[0]] += period / 1000 / requests
    return costs, functions


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=3000)
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        key = key_made(folder)
        process, port = started(folder)
        try:
            for load in LOADS:
                costs, functions = measure(process, port, key, load, args.requests)
                model = costs.pop("model", 0)
                beside = sum(costs.values())
                print(f"{load}: {beside:.1f} us beside the model ({model:.0f} us), "
                      f"{beside / LIMIT_US:.2f} of the limit")
                for thread, cost in costs.most_common():
                    print(f"    {cost:7.1f} us  {thread}")
                for function, cost in functions.most_common(12):
                    print(f"        {cost:5.1f} us  {function}")
                rows.append({"workload": load, "us": round(beside, 1), "model_us": round(model, 1),
                             "limit_us": LIMIT_US, "share_of_limit": round(beside / LIMIT_US, 3)})
        finally:
            process.terminate()
            process.wait(60)
    (BUILD / "bench").mkdir(exist_ok=True)
    with open(BUILD / "bench/completion_cost.csv", "w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)


MODEL = subprocess.run([ROOT / "models/fetch-default-model", "--path"], check=True,
                       capture_output=True, text=True).stdout.strip()
if __name__ == "__main__":
    main()
