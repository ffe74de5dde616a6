#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No mutable globals: reads the objects' symbol tables and names every variable that lives in a
writable section. Only signal flags in daemon/main.c may.

    globals.py BUILD_FOLDER
"""
import pathlib
import re
import subprocess
import sys

FLOORS = ("base", "kernels", "models", "batching", "policy", "daemon")
ALLOWED = {"daemon/main.o"}


def writable(path):
    """Names of objects in .data or .bss; tables of constant pointers (.data.rel.ro) are fine."""
    sections = subprocess.run(["readelf", "-SW", path], capture_output=True, text=True, check=True)
    names = dict(re.findall(r"\[\s*(\d+)\] (\S+)", sections.stdout))
    symbols = subprocess.run(["readelf", "-sW", path], capture_output=True, text=True, check=True)
    for line in symbols.stdout.splitlines():
        fields = line.split()
        if len(fields) < 8 or fields[3] not in ("OBJECT", "TLS"):
            continue
        section = names.get(fields[6], "")
        if re.match(r"\.(data|bss|tdata|tbss)(?!\.rel\.ro)", section):
            yield fields[7]


def main():
    build = pathlib.Path(sys.argv[1])
    objects = sorted(path for floor in FLOORS for path in (build / floor).rglob("*.o"))
    if not objects:
        sys.exit(f"globals.py: no objects in {build}; build first")
    breaches = 0
    for path in objects:
        name = str(path.relative_to(build))
        if name in ALLOWED:
            continue
        for symbol in writable(path):
            print(f"{name[:-2]}.c: '{symbol}' is a mutable global")
            breaches += 1
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
