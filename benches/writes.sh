#!/usr/bin/env bash
# Durable writes over the wire, a server of ours beside PostgreSQL on the same disk, in turns.
#
#   benches/writes.sh PROGRAM [ROWS]      PROGRAM: a release build of tributary; ROWS of the loads, default 10,000,000
#
# Needs PostgreSQL's server programs, pgbench and psql. Starts both servers on this machine's loopback in a temporary
# directory (choose its disk with TMPDIR) and removes them. Prints a table; nothing is asserted but that loads load.
set -euo pipefail
program=$(realpath "$1")
rows=${2:-10000000}
home=$(mktemp -d)
postgres=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
as_server=()
[ "$(id -u)" = 0 ] && { chmod 755 "$home"; as_server=(setpriv --reuid=postgres --regid=postgres --clear-groups); }

cleanup() {
  [ -n "${ours:-}" ] && kill "$ours" 2>/dev/null
  [ -e "$home/pg/postmaster.pid" ] && "${as_server[@]}" "$postgres/pg_ctl" -D "$home/pg" -m fast stop >/dev/null
  wait
  rm -rf "$home"
}
trap cleanup EXIT

mkdir "$home/pg"
[ "$(id -u)" = 0 ] && chown postgres "$home/pg"
"${as_server[@]}" "$postgres/initdb" -D "$home/pg" -U postgres -A trust >/dev/null
"${as_server[@]}" "$postgres/pg_ctl" -D "$home/pg" -w -l "$home/pg/log" \
  -o "-p 54331 -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c shared_buffers=2GB -c max_wal_size=16GB" start >/dev/null
start_ours() {
  "$program" serve --data-dir "$home/ours" --listen 127.0.0.1:54332 --trust --superuser postgres 2>>"$home/ours.log" &
  ours=$!
  until psql -h 127.0.0.1 -p 54332 -U postgres -d tributary -Atqc 'SELECT 1' >/dev/null 2>&1; do
    kill -0 "$ours" || { cat "$home/ours.log"; exit 1; }
    sleep 0.02
  done
}
start_ours

export PGUSER=postgres PGHOST=127.0.0.1
on() { case $1 in ours) export PGPORT=54332 PGDATABASE=tributary ;; *) export PGPORT=54331 PGDATABASE=postgres ;; esac; }
sql() { psql -qAtX -v ON_ERROR_STOP=1 -c "$1"; }
columns="ts timestamp, user_id bigint, device_id text, channel text, event_name text, campaign text, country text, page text, revenue float8, cost float8, quantity int"
cat >"$home/insert.sql" <<'S'
\set id random(1, 9000000000000000)
\set user random(1, 40000)
INSERT INTO single VALUES (:id, '2024-05-01 12:34:56.123456', :user, 'd41d8cd98f00b204', 'social', 'view', 'camp-17', 'DE', '/products/17', 17.25, 0.5, 3);
S
cat >"$home/upsert.sql" <<'S'
\set seed random(1, 1000000000)
INSERT INTO keyed SELECT (g * 7919 + :seed) % (2 * :rows), '2024-05-01 12:34:56'::timestamp, g, 'd41d8cd98f00b204', 'social', 'view', 'camp-17', 'DE', '/products/17', 17.25, 0.5, 3 FROM generate_series(1, 1000) AS g ON CONFLICT (event_id) DO UPDATE SET revenue = excluded.revenue, quantity = excluded.quantity;
S
printf '%-52s %14s %14s\n' "work, durable, over the wire" tributary PostgreSQL
declare -A figure
line() { printf '%-52s %14s %14s\n' "$1" "${figure[ours]}" "${figure[pg]}"; }

for name in ours pg; do on $name; sql "CREATE TABLE single (event_id bigint, $columns)"; done
tps() { pgbench -n -M prepared --max-tries=50 -f "$home/$1" -T "${4:-10}" -c "$2" -j 2 -D rows="$rows" ${3:+-R "$3" -l --log-prefix "$home/lag.$name"} 2>"$home/pgbench.err" |
  sed -n 's/^tps = \([0-9]*\).*/\1/p' || { cat "$home/pgbench.err" >&2; return 1; }; }
for clients in 1 16; do
  for name in ours pg; do on $name; figure[$name]=$(tps insert.sql $clients); done
  line "single-row INSERT of 12 columns, $clients clients, /s"
done
for name in ours pg; do
  on $name
  tps insert.sql 16 500 >/dev/null
  figure[$name]=$(cat "$home/lag.$name"* | awk '{print $3 / 1000}' | sort -n | awk '{a[NR] = $1} END {printf "%.1f ms", a[int(NR * 0.99)]}')
done
line "the same at 500/s: p99"

# Even numbers, so that half of what is upserted over twice the range exists.
awk -v rows="$rows" 'BEGIN { for (n = 0; n < rows; n++) printf "%d,2024-05-%02d 12:34:%02d.123456,%d,%016x,social,view,camp-%d,DE,/products/%d,%d.25,0.5,%d\n",
  n * 2, n % 28 + 1, n % 60, n * 7 % 40000, n * 31, n % 3000, n % 900, n % 100, n % 5 }' >"$home/events.csv"
for table in plain keyed; do
  for name in ours pg; do
    on $name
    sql "CREATE TABLE $table (event_id bigint $([ $table = keyed ] && echo 'PRIMARY KEY'), $columns)"
    began=$(date +%s.%N)
    sql "\\copy $table FROM '$home/events.csv' (FORMAT csv)"
    figure[$name]=$(echo "$rows / ($(date +%s.%N) - $began)" | bc)
    [ "$(sql "SELECT count(*) FROM $table")" = "$rows" ]
  done
  line "COPY of $rows rows, $table, rows/s"
done
for name in ours pg; do on $name; figure[$name]=$(($(tps upsert.sql 4 '' 20) * 1000)); done
line "upsert batches of 1,000, half existing, 4 clients, rows/s"
for name in ours pg; do on $name; figure[$name]=$(($(tps upsert.sql 1 '' 20) * 1000)); done
line "the same, 1 client"

# A log of a hundred megabytes and more to replay.
on ours
head -100000 "$home/events.csv" >"$home/some.csv"
sql CHECKPOINT
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do sql "\\copy plain FROM '$home/some.csv' (FORMAT csv)"; done
tps insert.sql 16 '' 20 >/dev/null
log=$(du -sm "$home/ours/wal" | cut -f1)
kill -9 "$ours"
wait "$ours" 2>/dev/null || true
began=$(date +%s.%N)
start_ours
printf '%-52s %12.2f s\n' "start after kill -9, ${log} MB of log files" "$(echo "$(date +%s.%N) - $began" | bc)"
