#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two things that only symbol tables show. No mutable globals: names every variable that lives in
a writable section; only signal flags in daemon/main.c may. No name of a library we load: the
library itself would call ours in its place.

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


def exported(library):
    """What a shared library offers, but for weak names, which are meant to be replaced."""
    symbols = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True,
                             text=True, check=True)
    fields = (line.split() for line in symbols.stdout.splitlines())
    return {each[2].split("@")[0] for each in fields if len(each) == 3 and each[1] in "TDBR"}


def taken_names(build):
    """Our functions and objects that a library of the program has too."""
    loaded = subprocess.run(["ldd", build / "weir"], capture_output=True, text=True, check=True)
    libraries = re.findall(r"=> (/\S+)", loaded.stdout)
    theirs = set().union(*map(exported, libraries))
    for archive in sorted(build.glob("lib*.a")):
        symbols = subprocess.run(["nm", "--defined-only", archive], capture_output=True, text=True,
                                 check=True)
        fields = (line.split() for line in symbols.stdout.splitlines())
        for each in fields:
            if len(each) == 3 and each[1] in "TDBRC" and each[2] in theirs:
                yield archive.name, each[2]


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
    for archive, symbol in taken_names(build):
        print(f"{archive}: '{symbol}' is a name of a library too")
        breaches += 1
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
