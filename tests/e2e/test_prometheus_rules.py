# SPDX-License-Identifier: Apache-2.0
"""What operators are given beside the daemon: rules, an Alertmanager example, a dashboard."""
import json
import re
import subprocess

import yaml

from conftest import BUILD, ROOT

CONFIG = ROOT / "config"
# The series that the rules and the dashboard may ask for, with their labels.
SERIES = {
    "weir_mau": {"model", "window", "bound"},
    "weir_license_headroom_ratio": {"model", "license", "condition"},
    "weir_license_crossing_days": {"model", "license", "condition", "bound"},
    "weir_identity_coverage_ratio": {"model"},
    "weir_mau_stale_seconds": set(),
    "weir_alert_messages": {"state"},
    "weir_users_left_out_total": set(),
    "weir_config_last_reload_successful": set(),
    "weir_access_keys_stale": set(),
    "weir_engine_stalled": {"model"},
    "weir_workers_stalled": set(),
    "weir_model_loaded": {"model"},
    "weir_tls_certificate_expiry_seconds": {"name"},
    "weir_tls_reloads_total": {"result"},
}


def run(*command, folder=CONFIG / "prometheus"):
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_rules_are_sound():
    assert "SUCCESS" in run("promtool", "check", "rules", "weir.rules.yml")
    assert "SUCCESS" in run("promtool", "check", "config", "prometheus.yml")


def test_rules_fire_when_they_should_and_only_then():
    run("promtool", "test", "rules", "weir.rules.test.yml")


def rules(kind):
    groups = yaml.safe_load((CONFIG / "prometheus" / "weir.rules.yml").read_text())["groups"]
    found = [rule for group in groups for rule in group["rules"] if kind in rule]
    assert found
    return found


def test_every_rule_is_seen_to_fire_and_to_be_silent():
    cases = yaml.safe_load((CONFIG / "prometheus" / "weir.rules.test.yml").read_text())["tests"]
    asked = [each for case in cases for each in case.get("promql_expr_test", [])]
    lists = [[dict(re.findall(r'(\w+)="([^"]*)"', sample["labels"]))
              for sample in each["exp_samples"]]
             for each in asked if each["expr"].startswith("count by (alertname")]
    for rule in rules("alert"):
        # What tells two alerts of one name apart; the severity follows from it.
        wanted = {"alertname": rule["alert"],
                  **{key: value for key, value in rule["labels"].items() if key != "severity"}}
        fires = [any(wanted.items() <= one.items() for one in fired) for fired in lists]
        assert any(fires) and not all(fires), wanted
    for rule in rules("record"):
        assert any(each["expr"].startswith(rule["record"]) for each in asked), rule["record"]


def test_every_alert_says_what_to_do_and_where_to_look():
    """Each description names a command, and the commands and flags that it names exist."""
    for rule in rules("alert"):
        told = rule["annotations"]
        assert set(told) == {"summary", "description"} and len(told["summary"]) < 120
        named = re.findall(r"weir (check|report|simulate|--config)(.*?)(?:[:;.,]|$)",
                           told["description"])
        assert named, rule["alert"]
        for command, rest in named:
            words = [] if command.startswith("-") else [command]
            help_ = run(BUILD / "weir", *words, "--help", folder=ROOT)
            for flag in re.findall(r"--[a-z-]+", command + rest):
                assert flag in help_, (rule["alert"], flag)
    readme = (CONFIG / "README.md").read_text()
    assert all(rule["alert"] in readme for rule in rules("alert"))
    # And no other command is told of.
    text = (CONFIG / "prometheus" / "weir.rules.yml").read_text()
    assert set(re.findall(r"\bweir ([a-z-]+)", text.split("groups:")[1])) <= {
        "check", "report", "simulate", "--config", "reports"}


def test_a_rule_that_adds_replicas_up_is_found_out(tmp_path):
    """The rules' own test can fail: a sum over replicas does."""
    for name in ("weir.rules.yml", "weir.rules.test.yml"):
        text = (CONFIG / "prometheus" / name).read_text()
        (tmp_path / name).write_text(text.replace("max by (model, window", "sum by (model, window"))
    result = subprocess.run(["promtool", "test", "rules", "weir.rules.test.yml"], cwd=tmp_path,
                            capture_output=True, text=True, timeout=120)
    assert result.returncode != 0 and "weir:mau:max" in result.stdout + result.stderr


def test_the_alertmanager_example_is_sound_and_routes_by_severity():
    path = CONFIG / "alertmanager" / "alertmanager.yml"
    run("amtool", "check-config", str(path))
    for labels, receivers in (
            (["alertname=WeirLicenseLevel", "severity=critical"], "counsel,engineers"),
            (["alertname=WeirLicenseLevel", "severity=info"], "engineers"),
            (["alertname=WeirUsersStale", "severity=warning"], "engineers")):
        got = run("amtool", "config", "routes", "test", f"--config.file={path}", *labels)
        assert got.strip() == receivers, labels


def test_rules_ask_for_series_that_exist():
    rules = yaml.safe_load((CONFIG / "prometheus" / "weir.rules.yml").read_text())["groups"]
    groups = {group["name"] for group in rules}
    for group in rules:
        for rule in group["rules"]:
            assert set(re.findall(r"\bweir_[a-z_]+", rule["expr"])) <= set(SERIES) | groups
            assert not re.search(r"\bsum\b", rule["expr"])


def test_no_panel_sums_users():
    """What the panels ask for is asked of a real Prometheus in test_monitoring.py."""
    dashboard = json.loads((CONFIG / "grafana" / "weir.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"]
               for target in panel.get("targets", [])]
    users = [query for query in queries if "weir_mau" in query or "weir:mau" in query]
    assert users
    for query in users:
        assert not re.search(r"\bsum\b", query), query
