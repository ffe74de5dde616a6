# SPDX-License-Identifier: Apache-2.0
"""What operators are given beside the daemon: rules, an Alertmanager example, a dashboard."""
import json
import re
import subprocess

from conftest import ROOT

CONFIG = ROOT / "config"
# The series that the rules and the dashboard may ask for, with their labels.
SERIES = {
    "weir_mau": {"model", "window", "bound"},
    "weir_license_headroom_ratio": {"model", "license", "condition"},
    "weir_license_crossing_days": {"model", "license", "condition", "bound"},
    "weir_identity_coverage_ratio": {"model"},
    "weir_mau_stale_seconds": set(),
    "weir_alert_messages": {"state"},
}


def run(*command, folder=CONFIG / "prometheus"):
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_rules_are_sound():
    assert "SUCCESS" in run("promtool", "check", "rules", "weir.rules.yml")


def test_rules_fire_when_they_should_and_only_then():
    run("promtool", "test", "rules", "weir.rules.test.yml")


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


def test_dashboard_and_rules_ask_for_series_that_exist():
    dashboard = json.loads((CONFIG / "grafana" / "weir.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = (CONFIG / "prometheus" / "weir.rules.yml").read_text()
    assert queries
    for text in [*queries, rules]:
        assert set(re.findall(r"\bweir_[a-z_]+", text)) - {
            "weir_joined", "weir_license_levels", "weir_license_lead_times", "weir_counting"
        } <= set(SERIES)
        assert "sum" not in text.replace("summary", "").replace("never by sum", "")
