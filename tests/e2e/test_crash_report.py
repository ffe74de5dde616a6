# SPDX-License-Identifier: Apache-2.0
"""A daemon that dies of a fault says in one line which build, which thread, and where."""
import ctypes
import pathlib
import re
import signal
import subprocess

import pytest

from conftest import BUILD, SANITIZED

pytestmark = pytest.mark.skipif(SANITIZED, reason="sanitizers report crashes themselves")
TGKILL = 234  # of x86-64


def threads(server):
    tasks = pathlib.Path(f"/proc/{server.process.pid}/task").iterdir()
    return {(task / "comm").read_text().strip(): int(task.name) for task in tasks}


def functions(line):
    """The names of our own functions in the backtrace, innermost first."""
    offsets = re.findall(r"weir\+(0x[0-9a-f]+)", line.split("backtrace=")[1])
    # A caller's address is behind its call: one byte before it is within.
    inside = [hex(int(each, 16) - 1) for each in offsets]
    out = subprocess.run(["addr2line", "-f", "-i", "-e", BUILD / "weir", *inside], check=True,
                         capture_output=True, text=True, timeout=60).stdout
    return out.splitlines()[::2]


def report(server):
    line = server.wait_for("event=crash .*", 60).group(0)
    version = subprocess.run([BUILD / "weir", "--version"], capture_output=True, text=True,
                             check=True).stdout
    build = re.search(r"build_id=([0-9a-f]{40})", line).group(1)
    assert f"(build {build})" in version
    return line


def test_the_main_threads_crash_names_its_functions(start):
    server = start()
    server.process.send_signal(signal.SIGSEGV)
    line = report(server)
    assert "signal=SIGSEGV sender_pid=" in line and " thread=weir " in line
    named = functions(line)
    assert {"serve", "main"} <= set(named) and "wait_for_stop" in named, named
    assert server.process.wait(60) == -signal.SIGSEGV
    start.forget(server)


def test_each_thread_has_a_name_and_is_told_apart(start):
    server = start("--workers", "2", "--threads", "2")
    names = threads(server)
    assert {"weir", "worker-0", "worker-1", "engine-0", "compute-1", "policy"} <= set(names)
    libc = ctypes.CDLL(None)
    assert libc.syscall(TGKILL, server.process.pid, names["worker-1"], signal.SIGBUS) == 0
    line = report(server)
    assert "signal=SIGBUS" in line and " thread=worker-1 " in line
    assert "worker_main" in functions(line)
    assert server.process.wait(60) == -signal.SIGBUS
    start.forget(server)
