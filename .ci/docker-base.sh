#!/bin/sh
# Start a Docker engine where none answers, and make the base image of the tests where it is missing.
# Needs root and Debian's packages docker.io and debootstrap. May be run again at any time.
#
#   .ci/docker-base.sh [IMAGE]        default: hnseg-test-base:bookworm
#
# No registry is needed: the base image stands in for python:3.12-slim, which cannot be pulled everywhere.
set -eu

image=${1:-hnseg-test-base:bookworm}

say() { echo "docker-base: $*" >&2; }

for program in docker dockerd; do
    command -v "$program" >/dev/null || { say "$program is missing: apt-get install docker.io"; exit 1; }
done

if ! docker version >/dev/null 2>&1; then
    [ -z "${DOCKER_HOST:-}" ] || { say "DOCKER_HOST=$DOCKER_HOST does not answer"; exit 1; }
    say "starting dockerd"
    log=$(mktemp /tmp/dockerd.XXXXXX)
    setsid dockerd >"$log" 2>&1 </dev/null &
    waited=0
    until docker version >/dev/null 2>&1; do
        waited=$((waited + 1))
        [ "$waited" -le 60 ] || { say "dockerd does not start:"; tail -n 20 "$log" >&2; exit 1; }
        sleep 0.5
    done
fi

if docker image inspect "$image" >/dev/null 2>&1; then
    exit 0
fi
command -v debootstrap >/dev/null || { say "debootstrap is missing: apt-get install debootstrap"; exit 1; }
say "making $image (a minute or two)"
folder=$(mktemp -d /tmp/docker-base.XXXXXX)
trap 'rm -rf "$folder"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder/root" ${DEBIAN_MIRROR:-} >"$folder/log" 2>&1 ||
    { say "debootstrap failed:"; tail -n 20 "$folder/log" >&2; exit 1; }
rm -rf "$folder"/root/var/cache/apt/* "$folder"/root/var/lib/apt/lists/*
tar -C "$folder/root" -c . | docker import --change 'CMD ["python3"]' - "$image" >/dev/null
say "made $image"
