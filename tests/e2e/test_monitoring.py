# SPDX-License-Identifier: Apache-2.0
"""The whole way of an alert, with the programs that operators run: two daemons, a Prometheus and an
Alertmanager with the shipped files, and a receiver, put together as config/README.md says.

What is the test's and not the shipped files': the intervals of scrapes and of grouping (seconds,
not minutes) and ports. Of the shipped alerts only those without `for:` can fire
within a test: WeirLicenseLevel at 100%, WeirAlertsUndelivered, WeirUsersLeftOut. The first is
waited for here; promtool sees to all of them, hours included (test_prometheus_rules.py).
"""
import collections
import contextlib
import http.server
import itertools
import json
import re
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest
from conftest import ROOT
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from test_alerts import CHAT, RULES, pretend_days
from test_alerts import config, receiver  # fixtures

WAIT_S = 120
API_KEY = "sk-monitored"
THRESHOLD = 20  # of the licence in test_alerts.py
SHARED, OWN_A, OWN_B = 25, 6, 4  # users of both replicas, and of each alone
FILES = ROOT / "config"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(url, body=None):
    """What an API answers as JSON, or None while nobody listens."""
    request = urllib.request.Request(url, body and json.dumps(body).encode(),
                                     {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")
    except OSError:
        return None


def wait(what, condition):
    deadline = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.2)
    return found


class Program:
    """Prometheus or Alertmanager on a port of its own, started where tests/install-deps put it."""

    def __init__(self, log, name, *flags):
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.log = log
        with open(log, "w") as out:
            self.process = subprocess.Popen(
                [name, *flags, f"--web.listen-address=127.0.0.1:{self.port}"], stdout=out,
                stderr=subprocess.STDOUT, cwd=ROOT / "build/tools")

    def ready(self):
        def answers():
            assert self.process.poll() is None, self.log.read_text()
            try:
                with urllib.request.urlopen(self.base + "/-/ready", timeout=5) as answer:
                    return answer.status == 200
            except OSError:
                return False
        wait(f"{self.base} is ready", answers)
        return self

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(30)


class Prometheus(Program):
    def query(self, expression):
        answer = ask(f"{self.base}/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        assert answer is None or answer["status"] == "success", answer
        return answer["data"]["result"] if answer else []

    def value(self, expression):
        """Of an expression with one answer; None while there is none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None


@pytest.fixture
def pager():
    """Where Alertmanager sends: {path: [its alerts]}."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with server.lock:
                server.seen[self.path].extend(body["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.lock, server.seen = threading.Lock(), collections.defaultdict(list)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def adapted(shipped, folder, changes):
    """A copy of a shipped file with these words changed, each of which is there once."""
    text = shipped.read_text()
    for theirs, ours in changes.items():
        assert text.count(theirs) == 1, theirs
        text = text.replace(theirs, ours)
    (folder / shipped.name).write_text(text)
    return folder / shipped.name


@pytest.fixture
def alertmanager(tmp_path, pager):
    settings = adapted(FILES / "alertmanager/alertmanager.yml", tmp_path, {
        "127.0.0.1:9095/engineers": f"127.0.0.1:{pager.server_port}/engineers",
        "127.0.0.1:9095/counsel": f"127.0.0.1:{pager.server_port}/counsel",
        "group_wait: 1m": "group_wait: 1s",
        "group_interval: 1h": "group_interval: 1s"})
    program = Program(tmp_path / "alertmanager.log", "prometheus-alertmanager",
                      f"--config.file={settings}", f"--storage.path={tmp_path}/am",
                      "--cluster.listen-address=")
    yield program.ready()
    program.stop()


@pytest.fixture
def prometheus(tmp_path, alertmanager):
    """Made by a test once it knows whom to scrape."""
    started = []

    def start_one(*servers):
        replicas = ", ".join(f'"127.0.0.1:{server.port}"' for server in servers)
        settings = adapted(FILES / "prometheus/prometheus.yml", tmp_path, {
            "scrape_interval: 15s": "scrape_interval: 1s",
            "evaluation_interval: 30s": "evaluation_interval: 1s",
            "[weir.rules.yml]": f"[{FILES}/prometheus/weir.rules.yml]",
            '"127.0.0.1:9093"': f'"127.0.0.1:{alertmanager.port}"',
            '"127.0.0.1:8080"': replicas})
        started.append(Prometheus(tmp_path / "prometheus.log", "prometheus",
                                  f"--config.file={settings}",
                                  f"--storage.tsdb.path={tmp_path}/tsdb"))
        return started[-1].ready()

    yield start_one
    for program in started:
        program.stop()


def other_replica(config, folder):
    """The same configuration with a state folder of its own, and without webhooks."""
    text = json.loads(config.read_text())
    text["users"]["state"] = str(folder / "state-b")
    del text["alerts"]
    path = folder / "weir-b.yaml"
    path.write_text(json.dumps(text))
    return path


@pytest.fixture
def keyed(config):
    """The configuration with a tenant, whose tokens are told apart."""
    text = json.loads(config.read_text())
    text["access"] = {"api_keys": [{"key": API_KEY, "tenant": "acme"}]}
    config.write_text(json.dumps(text))
    return config


def chat(server, name, **changes):
    return server.post("/v1/chat/completions", {**CHAT, "user": name, **changes},
                       {"authorization": f"Bearer {API_KEY}"})[0]


def send_users(server, *names):
    for name in names:
        assert chat(server, name) == 200


@contextlib.contextmanager
def traffic(*servers):
    """Somebody who was counted before asks on and on: rates have something to show."""
    ended = threading.Event()

    def ask_on(server):
        prompts = itertools.count()
        while not ended.is_set():
            chat(server, "user-0", max_tokens=8, messages=[
                {"role": "user", "content": f"Number {next(prompts)}, and a few words to compute"}])
    threads = [threading.Thread(target=ask_on, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_an_alert_goes_all_the_way(start, keyed, receiver, pager, alertmanager, prometheus,
                                   tmp_path):
    # A replica that looks back on days over the threshold, so that it has a forecast, too.
    start("--config", keyed, model=False).stop()
    pretend_days(tmp_path / "state", 5, users=30)
    a = start("--config", keyed, model=False)
    b = start("--config", other_replica(keyed, tmp_path), model=False)
    shared = [f"user-{i}" for i in range(SHARED)]
    send_users(a, *shared, *(f"a-{i}" for i in range(OWN_A)))
    send_users(b, *shared, *(f"b-{i}" for i in range(OWN_B)))
    seen = prometheus(a, b)

    # Joined by max: what the larger replica knows. A sum would count the shared ones twice.
    mau = 'weir:mau:max{model="m",window="month",bound="best"}'
    wait("users of the month", lambda: seen.value(mau) == SHARED + OWN_A)
    raw = 'weir_mau{model="m",window="month",bound="best"}'
    wait("both replicas are scraped", lambda: seen.value(f"count({raw})") == 2)
    assert seen.value(f"sum({raw})") == 2 * SHARED + OWN_A + OWN_B
    assert seen.value(mau) == SHARED + OWN_A
    for series, expected in (
            ("weir:license_headroom_ratio:min", pytest.approx(1 - (SHARED + OWN_A) / THRESHOLD)),
            ("weir:identity_coverage_ratio:min", 1),
            ('weir:license_crossing_days:min{bound="early"}', 0)):
        wait(series, lambda series=series, expected=expected: seen.value(series) == expected)

    # The alert, from the shipped rule over the shipped routes to both receivers, and only it.
    wait("counsel hears", lambda: pager.seen["/counsel"])
    wait("engineers hear", lambda: pager.seen["/engineers"])
    with pager.lock:
        told = {path: list(alerts) for path, alerts in pager.seen.items()}
    assert set(told) == {"/counsel", "/engineers"}
    for alert in told["/counsel"] + told["/engineers"]:
        assert alert["status"] == "firing" and alert["labels"] == {
            "alertname": "WeirLicenseLevel", "level": "100", "severity": "critical", "model": "m",
            "license": "acme-1", "condition": "acme-1/size"}
        words = alert["annotations"]
        assert words["summary"] == "m: 100% of the user threshold of acme-1"
        assert "-55% of the threshold is left" in words["description"]
        assert "weir check m " in words["description"]

    # No rule failed to be evaluated, and what waits does so because of its `for:` alone.
    # Users without a proof are in no lower bound, unless users.trust_asserted: uncertain, too.
    waiting = {"WeirLicenseLevel", "WeirLicenseCrossing", "WeirUsersUncertain"}
    wait("all rules are evaluated", lambda: states_of_rules(seen)["pending"] == waiting)
    assert states_of_rules(seen)["firing"] == {"WeirLicenseLevel"}

    # weir's own word, beside: signed so that somebody else's library believes it, and only so.
    a.wait_metric(len(RULES), "weir_alert_messages", state="delivered")
    with receiver.lock:
        tries = [pair for pairs in receiver.seen.values() for pair in pairs]
    believes = Webhook((tmp_path / "secret").read_text().strip())
    heard = collections.Counter()
    for headers, body in tries:
        headers = {name.lower(): value for name, value in headers.items()}
        heard[believes.verify(body, headers)["data"]["rule"]] += 1
        for wrong in (body + b" ", body.replace(b'"m"', b'"n"')):
            with pytest.raises(WebhookVerificationError):
                believes.verify(wrong, headers)
    assert set(heard) == RULES

    with traffic(a, b):
        every_panel_has_data(seen)


def states_of_rules(seen):
    """The names of rules by their state; one that was not evaluated yet is "unknown"."""
    states = collections.defaultdict(set)
    for group in ask(f"{seen.base}/api/v1/rules")["data"]["groups"]:
        for rule in group["rules"]:
            assert rule["health"] in ("ok", "unknown"), rule
            state = rule["health"] if rule["health"] != "ok" else rule.get("state", "recording")
            states[state].add(rule["name"])
    return states


def every_panel_has_data(seen):
    """The dashboard's own queries, asked of Prometheus as Grafana would with all models chosen.
    None is left out: none of them needs a fleet or a GPU. Data is a number: of a rate over nothing,
    NaN, there is none."""
    dashboard = json.loads((FILES / "grafana/weir.json").read_text())
    for variable in dashboard["templating"]["list"]:
        if variable["type"] != "query":
            continue
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()
        match = urllib.parse.urlencode({"match[]": metric})
        assert ask(f"{seen.base}/api/v1/label/{label}/values?{match}")["data"] == ["m"]
    asked, panels = 0, [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    for panel in panels:
        for target in panel["targets"]:
            expression = target["expr"].replace("$model", ".*").replace("$__rate_interval", "1m")
            assert "$" not in expression
            found = wait(f"data of '{panel['title']}'", lambda: [
                each for each in seen.query(expression) if each["value"][1] != "NaN"])
            for name in re.findall(r"{{\s*(\w+)\s*}}", target.get("legendFormat", "")):
                assert all(name in each["metric"] for each in found), (panel["title"], name)
            asked += 1
    assert asked >= len(panels) > 0
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_highest_level_speaks_for_those_below(alertmanager, pager):
    """Inhibition of the shipped example, by what a real Alertmanager lets through."""
    def alert(name, severity, **labels):
        return {"labels": {"alertname": name, "severity": severity, "license": "l",
                           "condition": "c", **labels}, "annotations": {}}
    levels = {"50": "info", "75": "info", "90": "warning", "95": "critical", "100": "critical"}
    leads = {"90": "info", "30": "warning", "7": "critical"}
    sent = [alert("WeirLicenseLevel", severity, model="over", level=level)
            for level, severity in levels.items()]
    sent += [alert("WeirLicenseLevel", levels[level], model="half", level=level)
             for level in ("50", "75")]
    sent += [alert("WeirLicenseCrossing", severity, model="over", lead_days=days)
             for days, severity in leads.items()]
    ask(f"{alertmanager.base}/api/v2/alerts", sent)

    def heard(path):
        with pager.lock:
            return {(alert["labels"]["model"], alert["labels"].get("level"),
                     alert["labels"].get("lead_days")) for alert in pager.seen[path]}
    expected = {("over", "100", None), ("half", "75", None), ("over", None, "7")}
    wait("all groups are told", lambda: heard("/engineers") >= expected)
    assert heard("/engineers") == expected
    expected = {("over", "100", None), ("over", None, "7")}
    wait("counsel is told", lambda: heard("/counsel") >= expected)
    assert heard("/counsel") == expected
