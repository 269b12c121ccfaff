#!/usr/bin/env bash
# Drives a server with real clients: psql, psycopg, asyncpg, SQLAlchemy, node-postgres, JDBC, pgbench.
#   tests/clients/run.sh [PROGRAM]      PROGRAM: the tributary binary, default target/debug/tributary
# Each client prints OK, FAIL or SKIPPED with its reason; the last line counts them. Exit code 1 if one failed.
# Installs nothing: install.sh does, where this machine can.
set -u
cd "$(dirname "$0")"
target=${CARGO_TARGET_DIR:-$PWD/../../target}
program=${1:-$target/debug/tributary}
place=$target/clients
home=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -rf "$home"' EXIT

"$program" serve --data-dir "$home/data" --listen 127.0.0.1:0 --trust --superuser postgres 2>"$home/log" &
server=$!
for _ in $(seq 100); do
  port=$(sed -n 's/.*ready for connections.*address=127\.0\.0\.1:\([0-9]*\).*/\1/p' "$home/log")
  [ -n "$port" ] && break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
if [ -z "${port:-}" ]; then
  echo "FAIL server: it did not start"
  cat "$home/log"
  exit 1
fi
export PGHOST=127.0.0.1 PGPORT=$port PGUSER=postgres PGDATABASE=tributary PGCONNECT_TIMEOUT=10
ok=0 failed=0 skipped=0

skip() { skipped=$((skipped + 1)); echo "SKIPPED $1: $2"; }
drive() { # name, command...
  local name=$1
  shift
  if timeout 120 "$@" >"$home/out" 2>&1; then
    ok=$((ok + 1)); echo "OK $name"
  else
    failed=$((failed + 1)); echo "FAIL $name"; sed 's/^/    /' "$home/out" | tail -20
  fi
}

if command -v psql >/dev/null; then drive psql ./psql.sh; else skip psql "not installed"; fi
if command -v pg_isready >/dev/null; then drive pg_isready pg_isready -q; else skip pg_isready "not installed"; fi
python=$place/python/bin/python
[ -x "$python" ] || python=python3
for module in psycopg asyncpg sqlalchemy; do
  if command -v "$python" >/dev/null && "$python" -c "import $module" 2>/dev/null; then
    drive "$module" "$python" "drive_$module.py"
  else
    skip "$module" "python has no module $module"
  fi
done
if command -v node >/dev/null && [ -d "$place/node/node_modules/pg" ]; then
  drive node-postgres env NODE_PATH="$place/node/node_modules" node drive_node.js
else
  skip node-postgres "node or its module pg is missing"
fi
if command -v javac >/dev/null && [ -e /usr/share/java/postgresql.jar ]; then
  drive JDBC sh -c "javac -d '$home' DriveJdbc.java && java -cp /usr/share/java/postgresql.jar:'$home' DriveJdbc"
else
  skip JDBC "javac or the driver is missing"
fi
if command -v pgbench >/dev/null; then
  for mode in simple extended prepared; do
    drive "pgbench -M $mode" pgbench -n -M "$mode" -f select.sql -c 4 -t 200
  done
else
  skip pgbench "not installed"
fi
kill -0 "$server" 2>/dev/null || { failed=$((failed + 1)); echo "FAIL server: it ended"; tail -20 "$home/log"; }
if grep -q "panicked" "$home/log"; then failed=$((failed + 1)); echo "FAIL server: it panicked"; grep -A5 panicked "$home/log"; fi
echo "$ok ok, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
