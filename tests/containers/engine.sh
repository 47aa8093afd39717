#!/usr/bin/env bash
# A Docker engine for the container tests, for machines without one and without a registry (Debian, as root).
#   tests/containers/engine.sh start DIR    install docker.io, docker-compose and debootstrap if they are missing, start dockerd
#                                           with its socket at DIR/docker.sock, create a base image, print the variables to export
#   tests/containers/engine.sh stop DIR     stop that dockerd
set -euo pipefail

usage() { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -eq 2 ] || usage
mkdir -p "$2"
folder=$(cd "$2" && pwd)
socket=unix://$folder/docker.sock
base=starlight-test/debian-python

start() {
  [ "$(id -u)" -eq 0 ] || { echo "engine: dockerd must be started as root" >&2; exit 1; }
  missing=()
  command -v dockerd >/dev/null || missing+=(docker.io)
  command -v docker-compose >/dev/null || docker compose version >/dev/null 2>&1 || missing+=(docker-compose)
  command -v debootstrap >/dev/null || missing+=(debootstrap)
  if [ ${#missing[@]} -gt 0 ]; then
    # docker.io would start its own engine; a policy that answers "no" prevents it during the installation.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      printf '#!/bin/sh\nexit 101\n' > "$policy"
      chmod +x "$policy"
      trap 'rm -f "$policy"' EXIT
    fi
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
  fi
  if ! docker -H "$socket" info >/dev/null 2>&1; then
    nohup dockerd --data-root "$folder/data" --exec-root "$folder/exec" -H "$socket" --pidfile "$folder/docker.pid" \
      >"$folder/dockerd.log" 2>&1 &
    for _ in $(seq 60); do docker -H "$socket" info >/dev/null 2>&1 && break; sleep 1; done
    docker -H "$socket" info >/dev/null || { tail -n 5 "$folder/dockerd.log" >&2; exit 1; }
  fi
  if ! docker -H "$socket" image inspect "$base" >/dev/null 2>&1; then
    rm -rf "$folder/root"  # left by an interrupted start
    debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates bookworm "$folder/root" >&2
    # The host's certificates, for networks with their own.
    cp /etc/ssl/certs/ca-certificates.crt "$folder/root/etc/ssl/certs/ca-certificates.crt"
    tar -C "$folder/root" -c . | docker -H "$socket" import - "$base" >&2
    rm -rf "$folder/root"
  fi
  echo "export DOCKER_HOST=$socket STARLIGHT_TEST_BASE=$base"
}

stop() {
  [ -f "$folder/docker.pid" ] || { echo "engine: no dockerd runs in $folder" >&2; exit 1; }
  pid=$(cat "$folder/docker.pid")
  kill "$pid"
  for _ in $(seq 30); do
    if ! kill -0 "$pid" 2>/dev/null; then
      # dockerd leaves its network namespace mounted, so that the folder cannot be removed.
      umount "$folder"/exec/netns/* 2>/dev/null || true
      return 0
    fi
    sleep 1
  done
  echo "engine: $pid has not exited; see $folder/dockerd.log" >&2
  exit 1
}

case $1 in start) start ;; stop) stop ;; *) usage ;; esac
