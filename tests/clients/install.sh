#!/usr/bin/env bash
# Installs the clients that tests/clients/run.sh drives, as far as this machine can: psql, psycopg, asyncpg, node-postgres, JDBC.
# What cannot be installed is skipped and said; the tests that need it print SKIPPED.
set -u
cd "$(dirname "$0")/../.."
place=${CARGO_TARGET_DIR:-target}/clients
mkdir -p "$place"

try() { # what, command...
  local what=$1
  shift
  if timeout 300 "$@" >"$place/install.log" 2>&1; then echo "installed $what"; else echo "SKIPPED $what: cannot be installed here"; fi
}

if ! command -v psql >/dev/null; then
  timeout 300 apt-get update >/dev/null 2>&1
  try psql apt-get install -y --no-install-recommends postgresql-client
fi
if command -v python3 >/dev/null && ! "$place/python/bin/python" -c 'import psycopg, asyncpg' 2>/dev/null; then
  python3 -m venv "$place/python" >/dev/null 2>&1
  try "psycopg and asyncpg" "$place/python/bin/python" -m pip install --quiet 'psycopg[binary]' asyncpg sqlalchemy
fi
if command -v npm >/dev/null && [ ! -d "$place/node/node_modules/pg" ]; then
  mkdir -p "$place/node"
  try node-postgres npm install --silent --no-audit --no-fund --prefix "$place/node" pg
fi
if command -v javac >/dev/null && [ ! -e /usr/share/java/postgresql.jar ]; then
  timeout 300 apt-get update >/dev/null 2>&1
  try JDBC apt-get install -y --no-install-recommends libpostgresql-jdbc-java
fi
# The power-cut test copies a file system at an instant, which takes reflinks.
if [ "$(id -u)" = 0 ] && ! command -v mkfs.xfs >/dev/null; then
  timeout 300 apt-get update >/dev/null 2>&1
  try "xfsprogs" apt-get install -y --no-install-recommends xfsprogs
fi
exit 0
