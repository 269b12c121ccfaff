// node-postgres: parameters, int8 as text, named statements, errors, notices, a pool.
const assert = require("assert");
const { Client, Pool } = require("pg");

(async () => {
  const client = new Client();
  await client.connect();
  let r = await client.query("SELECT 1 AS a, 'x' AS b");
  assert.deepStrictEqual(r.rows, [{ a: 1, b: "x" }]);
  r = await client.query("SELECT $1::int + 1 AS n, $2::text AS t, $3::int8 AS big, $4::bool AS f", [41, "h\u00e9", "9007199254740993", true]);
  assert.deepStrictEqual(r.rows, [{ n: 42, t: "h\u00e9", big: "9007199254740993", f: true }]);
  for (let i = 0; i < 3; i++) {
    r = await client.query({ name: "twice", text: "SELECT $1::int * 2 AS d", values: [i] });
    assert.strictEqual(r.rows[0].d, 2 * i);
  }
  await client.query("CREATE TABLE nodes(id int PRIMARY KEY, name text)");
  r = await client.query("INSERT INTO nodes VALUES ($1, $2), ($3, $4) RETURNING id", [1, "a", 2, null]);
  assert.strictEqual(r.rowCount, 2);
  await assert.rejects(client.query("INSERT INTO nodes VALUES (1, 'again')"), (e) => e.code === "23505" && e.constraint === "nodes_pkey");
  await assert.rejects(client.query("SELECT nope"), (e) => e.code === "42703" && e.position === "8");
  const notices = [];
  client.on("notice", (n) => notices.push(n.message));
  await client.query("DROP TABLE IF EXISTS never_made");
  assert.deepStrictEqual(notices, ['table "never_made" does not exist, skipping']);
  await client.query("DROP TABLE nodes");
  await client.end();
  const pool = new Pool({ max: 4 });
  const all = await Promise.all([...Array(20).keys()].map((n) => pool.query("SELECT $1::int AS n", [n])));
  assert.deepStrictEqual(all.map((x) => x.rows[0].n), [...Array(20).keys()]);
  await pool.end();
})().catch((e) => { console.error(e); process.exit(1); });
