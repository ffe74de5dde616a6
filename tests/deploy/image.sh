#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The Dockerfile is built for real, by buildah, on a Debian made here; then what it made runs as its
# user on a read-only root without capabilities, answers, is healthy, and drains.
#     tests/deploy/image.sh MODEL
set -eu
cd "$(dirname "$0")/../.."
model=$(realpath "$1")
place=${WEIR_DEPLOY_PLACE:-build/deploy}
[ "$(id -u)" -eq 0 ] || { echo "image.sh: only root builds and runs the image here" >&2; exit 77; }
mkdir -p "$place"
place=$(realpath "$place")
port=18080
fail() {
    echo "FAILED: $1"
    tail -40 "$place/image.log"
    exit 1
}
held() {
    echo "held: $1"
}
engine() {
    buildah --root "$place/storage" --runroot "$place/storage-run" --storage-driver "${WEIR_STORAGE_DRIVER:-overlay}" "$@"
}

# A base of our own stands in for debian:12-slim, which a registry would have.
tests/deploy/base-system "$place/slim" ca-certificates
engine rm --all >/dev/null 2>&1 || true
container=$(engine from scratch)
engine add --quiet "$container" "$place/slim" / >/dev/null
engine commit --quiet "$container" localhost/base >/dev/null
engine rm "$container" >/dev/null
for target in cuda cpu; do
    engine build --format docker --isolation chroot --pull-never --layers --target "$target" \
        --build-arg BASE=localhost/base --build-arg BUILD_BASE=localhost/base \
        --tag "weir:$target" --file docker/Dockerfile . >"$place/image.log" 2>&1 ||
        fail "the build of target $target"
done
told=$(engine inspect --type image --format \
    '{{.Docker.Config.User}} {{.Docker.Config.Healthcheck.Test}} {{.Docker.Config.Entrypoint}}' weir:cpu)
[ "$told" = "10001 [CMD /usr/bin/weir health] [/usr/bin/weir serve --listen 0.0.0.0]" ] ||
    fail "what the image says of itself: $told"
engine inspect --type image --format '{{.Docker.Config.Env}}' weir:cuda |
    grep -q NVIDIA_VISIBLE_DEVICES || fail "the cuda target asks for no driver"
held "built: targets cpu and cuda, $(engine images --format '{{.Size}}' weir:cpu)"

container=$(engine from --pull-never weir:cpu)
root=$(engine mount "$container")
for program in gcc make curl wget; do
    [ ! -e "$root/usr/bin/$program" ] || fail "$program is in the image"
done
machine=weir-image-$$
state=$place/image-state models=$place/image-models
rm -rf "$state" "$models"
install -D -m 644 "$model" "$models/model.gguf"
install -d -m 700 -o 10001 -g 10001 "$state"
cleanup() {
    [ -z "${nspawn:-}" ] || kill "$nspawn" 2>/dev/null || true
    [ -z "${nspawn:-}" ] || wait "$nspawn" 2>/dev/null || true
    engine umount "$container" >/dev/null 2>&1 || true
    engine rm "$container" >/dev/null 2>&1 || true
    rm -rf "$state" "$models"
}
trap cleanup EXIT

# Loopback of the host's, read-only root, its own user, no capability: as a cluster runs it.
systemd-nspawn --register=no --keep-unit --quiet --directory="$root" --machine="$machine" \
    --read-only --user=weir --drop-capability=all --no-new-privileges=yes --kill-signal=SIGTERM \
    --bind-ro="$models:/models" --bind="$state:/var/lib/weir" \
    --setenv=STATE_DIRECTORY=/var/lib/weir --chdir=/models --console=pipe \
    /usr/bin/weir serve --listen 127.0.0.1 --port "$port" --model model.gguf \
    </dev/null >"$place/image.log" 2>&1 &
nspawn=$!
tries=0
until chroot --userspec=10001:10001 "$root" /usr/bin/weir health --ready \
    --url "http://127.0.0.1:$port" 2>/dev/null; do
    tries=$((tries + 1))
    kill -0 "$nspawn" 2>/dev/null || fail "the container ended"
    [ "$tries" -lt 300 ] || fail "never ready"
    sleep 0.2
done
daemon=$(pgrep --parent "$nspawn" --full '/usr/bin/weir serve' || pgrep --full "weir serve.*--port $port --model" | tail -1)
[ "$(stat -c %u "/proc/$daemon")" = 10001 ] || fail "runs as user $(stat -c %u "/proc/$daemon")"
grep -q '^CapBnd:.0000000000000000' "/proc/$daemon/status" || fail "it has capabilities"
grep -q '^NoNewPrivs:.1' "/proc/$daemon/status" || fail "it may gain privileges"
grep -q ' / / ro[, ]' "/proc/$daemon/mountinfo" || awk '$5 == "/"' "/proc/$daemon/mountinfo" |
    grep -q ' ro,' || fail "its root can be written"
curl -fsS --max-time 120 "http://127.0.0.1:$port/v1/completions" \
    -H 'content-type: application/json' -d '{"prompt":"A weir is","max_tokens":8}' |
    grep -q '"text"' || fail "a completion"
held "runs: user 10001, read-only root, no capability; healthy by weir health, answers a request"

kill -TERM "$daemon"
wait "$nspawn" || fail "exit status $?"
nspawn=
grep -q 'event=drained.*all answered' "$place/image.log" || fail "it did not drain"
held "stopped: drained, exit status 0"
echo "image: all held"
