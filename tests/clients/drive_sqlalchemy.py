"""SQLAlchemy 2 over psycopg: its first connect, tables, inserts with RETURNING, savepoints."""
import os
import sqlalchemy as sa

url = "postgresql+psycopg://{PGUSER}@{PGHOST}:{PGPORT}/{PGDATABASE}".format(**os.environ)
engine = sa.create_engine(url)
table = sa.Table("alchemy", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True, autoincrement=False), sa.Column("name", sa.Text))
table.create(engine)
with engine.begin() as c:
    rows = c.execute(sa.insert(table).returning(table.c.id), [{"id": n, "name": f"n{n}"} for n in range(10)]).all()
    assert sorted(row[0] for row in rows) == list(range(10)), rows
with engine.begin() as c:
    try:
        with c.begin_nested():
            c.execute(sa.insert(table).values(id=1, name="again"))
    except sa.exc.IntegrityError:
        pass
    assert c.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 10
    assert c.execute(sa.select(table.c.name).where(table.c.id == 3)).scalar() == "n3"
table.drop(engine)
