#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A real systemd boots, and the package lives a life in it: installed, configured, asked, reloaded,
# watched, upgraded, removed, purged. What happens inside is machine-life, beside this file.
#     tests/deploy/nspawn.sh PACKAGE NEWER_PACKAGE MODEL
set -eu
cd "$(dirname "$0")/../.."
package=$(realpath "$1") newer=$(realpath "$2") model=$(realpath "$3")
place=${WEIR_DEPLOY_PLACE:-build/deploy}
[ "$(id -u)" -eq 0 ] || { echo "nspawn.sh: only root boots a machine" >&2; exit 77; }
mkdir -p "$place"
place=$(realpath "$place")

# The package's own dependencies, so that dpkg finds them all; the network ends here.
libraries=$(dpkg-deb -f "$package" Depends | tr ',' '\n' | sed 's/[(|].*//; s/ //g' | sort -u)
# shellcheck disable=SC2086
tests/deploy/base-system "$place/system" systemd systemd-sysv dbus curl procps $libraries

machine=$place/machine
rm -rf "$machine"
cp -a --reflink=auto "$place/system" "$machine"
trap 'rm -rf "$machine"' EXIT
install -D -m 644 "$package" "$machine/test/weir.deb"
install -m 644 "$newer" "$machine/test/newer.deb"
install -m 644 "$model" "$machine/test/model.gguf"
install -m 755 tests/deploy/machine-life "$machine/test/machine-life"
gcc -O1 -static -o "$machine/test/stop-thread" tests/deploy/stop_thread.c
cat >"$machine/etc/systemd/system/machine-life.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c '/test/machine-life >/test/told 2>&1; echo $? >/test/status; systemctl poweroff'
TimeoutStartSec=1200
UNIT
mkdir -p "$machine/etc/systemd/system/default.target.wants"
ln -s ../machine-life.service "$machine/etc/systemd/system/default.target.wants/"
# Nothing ever comes online in it.
ln -sf /dev/null "$machine/etc/systemd/system/systemd-networkd-wait-online.service"
echo 'uninitialized' >"$machine/etc/machine-id"

# It has a loopback of its own and no other network. In a system without a systemd that runs, a
# machine cannot be registered and keeps the unit that it is in.
timeout 1500 systemd-nspawn --register=no --keep-unit --quiet --private-network \
    --directory="$machine" --machine="weir-life-$$" --boot --console=pipe \
    </dev/null >"$place/console.log" 2>&1 || true
cat "$machine/test/told" 2>/dev/null || tail -40 "$place/console.log"
status=$(cat "$machine/test/status" 2>/dev/null || echo 1)
[ "$status" -eq 0 ] && echo "nspawn: all held"
exit "$status"
