#!/usr/bin/env bash
# psql: statements, errors with positions, variables, \copy both ways, \gdesc, listings.
set -eu
run() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
same() { # what, expected, got
  if [ "$2" != "$3" ]; then
    printf '%s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3"
    exit 1
  fi
}
same "a query" "1|x" "$(run -c "SELECT 1, 'x'")"
same "several in one message" $'1\n2' "$(run -c 'SELECT 1; SELECT 2')"
same "a variable" "7" "$(echo 'SELECT :v + 1;' | run -v v=6)"
same "an error's place" "LINE 1: SELECT nope" "$(psql -X -c 'SELECT nope' 2>&1 | sed -n 2p)"
run -c "CREATE TABLE people(id int PRIMARY KEY, name text)"
data=$(mktemp)
printf '1\tAnn\n2\t\\N\n' >"$data"
run -c "\\copy people FROM '$data'"
same "rows copied in" "1|Ann
2|" "$(run -c 'SELECT * FROM people ORDER BY id')"
same "rows copied out" $'1,Ann\n2,' "$(run -c '\copy (SELECT * FROM people ORDER BY id) TO STDOUT (FORMAT csv)')"
rm -f "$data"
same "gdesc" "id|integer
name|text" "$(echo 'SELECT * FROM people \gdesc' | run)"
same "a block that fails" "0" "$(run -c 'BEGIN; INSERT INTO people VALUES (3); ROLLBACK' -c 'SELECT count(*) - 2 FROM people')"
for listing in '\conninfo' '\l' '\dn' '\dt' '\d people' '\du' '\df' '\dv'; do
  run -c "$listing" >/dev/null || { echo "$listing failed"; exit 1; }
done
run -c "DROP TABLE people"
