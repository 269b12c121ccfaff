\set n random(1, 1000)
SELECT :n + 1 AS next;
