"""psycopg 3: parameters in text and binary, server-side cursors, COPY, pipelines, transactions, errors, cancel."""
import datetime, decimal, threading, uuid
import psycopg

with psycopg.connect(autocommit=True) as c:
    assert c.execute("SELECT 1").fetchone() == (1,)
    values = (7, 2**40, 1.5, True, "Zo\u00eb", datetime.date(2024, 2, 29), decimal.Decimal("12.50"), None,
              uuid.UUID(int=5), datetime.datetime(2024, 1, 1, 12, 30, tzinfo=datetime.timezone.utc), b"\x00\xff", [1, 2])
    casts = ("int", "int8", "float8", "bool", "text", "date", "numeric(6,2)", "text", "uuid", "timestamptz", "bytea", "int[]")
    for binary in (False, True):
        marks = ", ".join(("%b" if binary and cast not in ("numeric(6,2)",) else "%s") + "::" + cast for cast in casts)
        with c.cursor(binary=binary) as cursor:
            got = cursor.execute(f"SELECT {marks}", values).fetchone()
            assert got == values, (binary, got)
    for _ in range(8):  # prepared on the server after five
        assert c.execute("SELECT %s + 1", (41,)).fetchone() == (42,)
    c.execute("CREATE TABLE psy(id int PRIMARY KEY, name text)")
    with c.cursor().copy("COPY psy FROM STDIN") as copy:
        for row in ((1, "a"), (2, None), (3, "tab\there")):
            copy.write_row(row)
    with c.cursor().copy("COPY (SELECT * FROM psy ORDER BY id) TO STDOUT") as copy:
        assert list(copy.rows()) == [("1", "a"), ("2", None), ("3", "tab\there")]
    try:
        c.execute("INSERT INTO psy VALUES (1, 'again')")
        raise SystemExit("a duplicate key was taken")
    except psycopg.errors.UniqueViolation as error:
        assert error.diag.constraint_name == "psy_pkey" and error.diag.table_name == "psy"
    with c.pipeline():
        results = [c.execute("SELECT %s::int", (n,)) for n in range(50)]
        assert [r.fetchone()[0] for r in results] == list(range(50))
    c.execute("DROP TABLE psy")

with psycopg.connect() as c:
    with c.transaction():
        try:
            with c.transaction():
                c.execute("SELECT 1/0")
        except psycopg.errors.DivisionByZero:
            pass
        assert c.execute("SELECT 'on'").fetchone() == ("on",)
    with c.cursor(name="some") as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT g FROM generate_series(1, 1000) AS g")
        assert sum(row[0] for row in cursor) == 500500
    c.rollback()
    timer = threading.Timer(0.3, c.cancel)
    timer.start()
    try:
        c.execute("SELECT pg_sleep(30)")
        raise SystemExit("a cancel was ignored")
    except psycopg.errors.QueryCanceled:
        c.rollback()
    assert c.execute("SHOW server_version").fetchone()[0].startswith("15.")
