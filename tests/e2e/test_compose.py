# SPDX-License-Identifier: Apache-2.0
"""docker/compose.yaml, part by part, for there is no Docker here: its structure, each file by the
program that reads it, Valkey's command and three weirs with their file for real. What the images of
others make of it, this does not show."""
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import pytest
import yaml
from conftest import BUILD, MODEL, ROOT

FOLDER = ROOT / "docker"
TOOLS = ROOT / "build/tools/usr"
TEXT = (FOLDER / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
WEIRS = {name: service for name, service in SERVICES.items() if service["image"] == "weir"}
DEADLINE_S = 180
SECONDS = {"s": 1, "m": 60}
# What README.md has people make, and git does not keep.
MADE = {"secrets/keys", "secrets/weir-root-key", "secrets/valkey-password",
        "secrets/grafana-password", "models"}


def seconds(text):
    return sum(int(number) * SECONDS[unit] for number, unit in re.findall(r"(\d+)([sm])", text))


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False,
                          **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_until(what, condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.1)


def in_container(service, target):
    """The file here that a service finds there."""
    sources = {config["target"]: config["source"] for config in SERVICES[service]["configs"]}
    return FOLDER / COMPOSE["configs"][sources[target]]["file"]


def laid_out(service, folder):
    """A service's files, side by side by their names as it finds them."""
    for config in SERVICES[service]["configs"]:
        shutil.copy(in_container(service, config["target"]),
                    folder / os.path.basename(config["target"]))


def test_every_file_is_there_or_readme_has_it_made():
    readme = (FOLDER / "README.md").read_text()
    named = {entry["file"] for kind in ("configs", "secrets") for entry in COMPOSE[kind].values()}
    named |= {volume["source"] for service in SERVICES.values()
              for volume in service.get("volumes", []) if isinstance(volume, dict)}
    assert {name.removeprefix("./") for name in named if not (FOLDER / name).exists()} <= MADE
    for name in MADE:
        assert f"./{name}" in named and name in readme, name
        ignored = subprocess.run(["git", "check-ignore", "-q", f"docker/{name}/any"], cwd=ROOT,
                                 check=False).returncode
        assert ignored in (0, 128), f"git would take up docker/{name}"  # 128: no repository
    for service in WEIRS.values():
        build = service["build"]
        assert (FOLDER / build["context"] / build["dockerfile"]).is_file()


def test_what_services_name_is_declared_and_all_that_is_declared_is_named():
    used = {"configs": set(), "secrets": set(), "networks": set(), "volumes": set()}
    for service in SERVICES.values():
        used["configs"] |= {config["source"] for config in service.get("configs", [])}
        used["secrets"] |= set(service.get("secrets", []))
        used["networks"] |= set(service["networks"])
        used["volumes"] |= {volume.split(":")[0] for volume in service.get("volumes", [])
                            if isinstance(volume, str)}
    for kind, names in used.items():
        assert names == set(COMPOSE[kind]), kind


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_confined_watched_and_of_a_known_version(name):
    service = SERVICES[name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"] and service["tmpfs"]
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc"} & service.keys()
    assert service["healthcheck"]["test"] and service["restart"] == "unless-stopped"
    if name not in WEIRS:
        assert re.fullmatch(r"([a-z]+/)?[a-z]+:v?\d+[\w.-]*", service["image"]), service["image"]


def test_only_haproxy_and_grafana_are_reachable_and_from_this_machine_alone():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"haproxy": ["127.0.0.1:8000:8000"], "grafana": ["127.0.0.1:3000:3000"]}
    assert COMPOSE["networks"]["store"]["internal"] is True
    assert {name for name, service in SERVICES.items() if "store" in service["networks"]} == \
        {"valkey", *WEIRS}


def test_three_weirs_share_all_but_their_state_and_have_time_to_drain():
    assert len(WEIRS) == 3
    states = [[v for v in service["volumes"] if isinstance(v, str)] for service in WEIRS.values()]
    assert states == [[f"{name}:/var/lib/weir"] for name in WEIRS]
    settings = yaml.safe_load((FOLDER / "weir.yaml").read_text())
    told = settings["server"]
    for service in WEIRS.values():
        shared = [volume for volume in service["volumes"] if isinstance(volume, dict)]
        assert {volume["target"] for volume in shared} == {"/models", "/etc/weir/keys"}
        assert all(volume["read_only"] for volume in shared)
        assert {"weir-root-key", "valkey-password"} <= set(service["secrets"])
        assert service["healthcheck"]["test"] == ["CMD", "/usr/bin/weir", "health"]
        assert seconds(service["stop_grace_period"]) > \
            seconds(told["drain_timeout"]) + seconds(told["drain_delay"])
    haproxy = SERVICES["haproxy"]
    assert told["trusted_proxies"] == [haproxy["networks"]["front"]["ipv4_address"]]
    assert [haproxy["environment"][f"WEIR_{i}"] for i in (1, 2, 3)] == [
        service["networks"]["front"]["ipv4_address"] + ":8080" for service in WEIRS.values()]
    # What the file names is what is mounted.
    assert settings["access"]["keys_file"].startswith("/etc/weir/keys/")
    assert settings["users"]["key_file"] == "/run/secrets/weir-root-key"
    assert settings["fleet"] == {"redis": "valkey:6379",
                                 "redis_password_file": "/run/secrets/valkey-password"}


@pytest.fixture
def secrets(tmp_path):
    """Made as README.md says: {path in the container: path here}, and a key for clients."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    files = {f"/run/secrets/{name}": folder / name for name in ("weir-root-key", "valkey-password")}
    lines = re.findall(r"(?m)^    (openssl rand .*?) >secrets/(\S+)",
                       (FOLDER / "README.md").read_text())
    for command, name in lines:
        (folder / name).write_text(run(*command.split()))
        (folder / name).chmod(0o600)
    files["/etc/weir/keys/keys"] = folder / "keys"
    key = run(BUILD / "weir", "keys", "new", "--tenant", "me", "--scope", "inference", "--file",
              folder / "keys").strip()
    return files, key


@pytest.fixture
def valkey(tmp_path, secrets):
    """Its command, as it stands, at a socket; answers with a way to ask as its health check does.
    Redis stands in for it: Debian's redis-tools has the server's program as redis-check-rdb."""
    programs = tmp_path / "programs"
    programs.mkdir()
    server = shutil.which("valkey-server") or shutil.which("redis-server") or \
        shutil.which("redis-check-rdb")
    (programs / "valkey-server").symlink_to(server)
    socket = tmp_path / "valkey.sock"
    client = shutil.which("valkey-cli") or shutil.which("redis-cli")
    (programs / "valkey-cli").write_text(f'#!/bin/sh\nexec {client} -s {socket} "$@"\n')
    (programs / "valkey-cli").chmod(0o755)
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}

    def ours(text):
        text = text.replace("$$", "$")  # as Compose reads it
        for theirs, here in secrets[0].items():
            text = text.replace(theirs, str(here))
        return text.replace("/tmp/valkey.conf", f"{tmp_path}/valkey.conf").replace(
            "--dir /tmp", f"--dir {tmp_path} --port 0 --unixsocket {socket}")

    shell, option, script = SERVICES["valkey"]["command"]
    kind, check = SERVICES["valkey"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    process = subprocess.Popen([shell, option, ours(script)], env=env, stdout=subprocess.DEVNULL)

    def is_well():
        return subprocess.run(["sh", "-c", ours(check)], env=env, check=False,
                              capture_output=True).returncode == 0

    try:
        wait_until("the store is well", is_well)
        yield process, socket, env
    finally:
        process.terminate()  # the shell gave its place to the server
        ended = process.wait(60)
    assert ended == 0


def test_the_store_asks_for_its_password_and_no_command_line_has_it(valkey, secrets, tmp_path):
    process, _, env = valkey
    refused = run("valkey-cli", "ping", env=env)
    assert "NOAUTH" in refused
    password = secrets[0]["/run/secrets/valkey-password"].read_text().strip()
    with open(f"/proc/{process.pid}/cmdline", "rb") as command:
        assert password.encode() not in command.read()
    assert (tmp_path / "valkey.conf").stat().st_mode & 0o077 == 0


def adapted(tmp_path, files):
    """weir.yaml with the paths and doors of this machine; nothing else differs."""
    text = (FOLDER / "weir.yaml").read_text()
    for theirs, ours in {**files, "/models/model.gguf": MODEL}.items():
        assert text.count(theirs) == 1, theirs
        text = text.replace(theirs, str(ours))
    (tmp_path / "weir.yaml").write_text(text)
    return tmp_path / "weir.yaml"


def test_weirs_file_is_sound(tmp_path, secrets):
    told = run(BUILD / "weir", "--config", adapted(tmp_path, secrets[0]), "--check")
    assert "(1 models)" in told


def ask(base, path, key=None):
    """(status, text)"""
    request = urllib.request.Request(base + path,
                                     headers={"authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_three_weirs_do_as_their_file_says_and_count_as_one(start, valkey, secrets, tmp_path):
    files, key = secrets
    settings = adapted(tmp_path, {**files, "valkey:6379": valkey[1], "port: 9090": "port: 0",
                                  "  listen: 0.0.0.0": "  listen: 127.0.0.1",
                                  "      address: 0.0.0.0": "      address: 127.0.0.1",
                                  "drain_delay: 3s": "drain_delay: 0s"})
    weirs = [start("--config", settings, "--threads", 1, "--workers", 1, "--kv-memory", "64MiB",
                   "--context", 256, model=False) for _ in WEIRS]
    admins = []
    for weir in weirs:
        door = weir.wait_for(r'"event":"listening","at":"(\S+?)".*"serves":"admin"', 60)
        admins.append(f"http://{door.group(1)}")
        assert ask(weir.base, "/ready")[0] == 200
        assert ask(weir.base, "/v1/models")[0] == 401
        assert ask(weir.base, "/v1/models", key)[0] == 200
        assert ask(weir.base, "/metrics")[0] == 404
    wait_until("they know of each other", lambda: all(
        "\nweir_fleet_replicas_current 3\n" in ask(admin, "/metrics")[1] for admin in admins))


def test_haproxy_takes_its_file_with_these_addresses():
    libraries = ":".join(str(path) for path in (TOOLS / "lib").glob("*-linux-gnu"))
    program = shutil.which("haproxy") or TOOLS / "sbin/haproxy"
    told = SERVICES["haproxy"]["environment"]
    target = "/usr/local/etc/haproxy/haproxy.cfg"
    path = in_container("haproxy", target)
    assert set(told) == set(re.findall(r"\$\{(\w+)-", path.read_text()))
    run(program, "-c", "-f", path, env={**os.environ, "LD_LIBRARY_PATH": libraries, **told})
    assert told["WEIR_BIND"].endswith(SERVICES["haproxy"]["ports"][0].rpartition(":")[2])


def test_prometheus_scrapes_all_and_knows_the_alertmanager(tmp_path):
    laid_out("prometheus", tmp_path)
    assert "SUCCESS" in run("promtool", "check", "config", tmp_path / "prometheus.yml")
    settings = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job["static_configs"][0]["targets"]
            for job in settings["scrape_configs"]}
    port = yaml.safe_load((FOLDER / "weir.yaml").read_text())["server"]["listeners"][0]["port"]
    assert jobs["weir"] == [f"{name}:{port}" for name in WEIRS]
    stats = SERVICES["haproxy"]["environment"]["WEIR_STATS"].rpartition(":")[2]
    assert jobs["haproxy"] == [f"haproxy:{stats}"]
    managers = settings["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert managers == ["alertmanager:9093"]
    for name in [*WEIRS, "haproxy", "alertmanager", "grafana"]:
        assert "watch" in SERVICES[name]["networks"], name


def test_all_but_addresses_is_as_for_one_machine():
    ours = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    theirs = yaml.safe_load((ROOT / "config/prometheus/prometheus.yml").read_text())
    for key in ("global", "rule_files"):
        assert ours[key] == theirs[key], key


def test_alertmanager_takes_its_file():
    path = in_container("alertmanager", "/etc/alertmanager/alertmanager.yml")
    run("amtool", "check-config", path)


def test_grafana_finds_the_data_and_the_dashboard():
    provisioning = "/etc/grafana/provisioning"
    sources = yaml.safe_load(in_container("grafana", f"{provisioning}/datasources/weir.yaml")
                             .read_text())
    assert sources["apiVersion"] == 1
    (source,) = sources["datasources"]
    assert source["type"] == "prometheus" and source["isDefault"]
    assert source["url"] == "http://prometheus:9090" and "prometheus" in SERVICES
    dashboards = yaml.safe_load(in_container("grafana", f"{provisioning}/dashboards/weir.yaml")
                                .read_text())
    (provider,) = dashboards["providers"]
    dashboard = in_container("grafana", f"{provider['options']['path']}/weir.json")
    assert dashboard == FOLDER / "../config/grafana/weir.json"
    assert json.loads(dashboard.read_text())["uid"] == "weir"
    password = SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"]
    assert password.removeprefix("/run/secrets/") in SERVICES["grafana"]["secrets"]
