"""asyncpg: everything in binary, prepared statements, cursors, nested transactions, COPY, its reset of a pooled session."""
import asyncio, datetime, decimal, uuid
import asyncpg

async def main():
    c = await asyncpg.connect()
    assert await c.fetchval("SELECT 1") == 1
    row = await c.fetchrow(
        "SELECT $1::int2, $2::int4, $3::int8, $4::float8, $5::bool, $6::text, $7::date, $8::timestamptz, $9::numeric(6,2), $10::uuid, $11::bytea, $12::interval",
        1, 2, 3, 1.5, True, "x", datetime.date(2024, 2, 29), datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc),
        decimal.Decimal("1.50"), uuid.UUID(int=9), b"\x01", datetime.timedelta(days=2, seconds=3))
    assert row[2] == 3 and row[6] == datetime.date(2024, 2, 29) and row[8] == decimal.Decimal("1.50"), row
    assert row[11] == datetime.timedelta(days=2, seconds=3)
    assert await c.fetchval("SELECT $1::int[]", [1, None, 3]) == [1, None, 3]
    await c.execute("CREATE TABLE apg(id int PRIMARY KEY, name text)")
    await c.executemany("INSERT INTO apg VALUES ($1, $2)", [(n, str(n)) for n in range(20)])
    assert await c.fetchval("SELECT count(*) FROM apg") == 20
    statement = await c.prepare("SELECT name FROM apg WHERE id = $1")
    assert await statement.fetchval(7) == "7"
    async with c.transaction():
        seen = [r["g"] async for r in c.cursor("SELECT g FROM generate_series(1, 120) AS g")]
        assert seen == list(range(1, 121))
        try:
            async with c.transaction():
                await c.execute("INSERT INTO apg VALUES (1, 'again')")
        except asyncpg.UniqueViolationError:
            pass
        assert await c.fetchval("SELECT 1") == 1
    await c.execute("DROP TABLE apg")
    await c.close()
    async with asyncpg.create_pool(min_size=1, max_size=2) as pool:
        for _ in range(4):
            async with pool.acquire() as pooled:
                await pooled.execute("SET application_name = 'pooled'")
        try:
            async with pool.acquire() as pooled:
                await asyncio.wait_for(pooled.execute("SELECT pg_sleep(30)"), timeout=0.3)
            raise SystemExit("a timeout was ignored")
        except asyncio.TimeoutError:
            pass

asyncio.run(main())
