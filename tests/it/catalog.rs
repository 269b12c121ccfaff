//! The catalog over the wire: shapes as PostgreSQL 15's, no dangling OIDs, clients' own queries.

use std::collections::HashSet;

use tokio_postgres::Client;
use tributary::engine::system::relation::relations;

use crate::harness::Harness;

/// Objects of every kind, so that every relation has rows of ours.
const OBJECTS: &str = "
    CREATE SCHEMA shop;
    CREATE TABLE shop.customers (id bigint PRIMARY KEY, email varchar(120) UNIQUE, name text NOT NULL DEFAULT 'anon',
        ltv numeric(12,2), tags text[], born date, CHECK (ltv >= 0));
    CREATE TABLE shop.events (event_id bigint PRIMARY KEY, customer_id bigint REFERENCES shop.customers (id), ch char(3));
    CREATE INDEX events_customer_idx ON shop.events (customer_id);
    CREATE VIEW shop.names AS SELECT id, name FROM shop.customers;
    CREATE ROLE readers; CREATE ROLE ann LOGIN PASSWORD 'secret' IN ROLE readers;
    COMMENT ON TABLE shop.customers IS 'One row per person';";

/// The type a column of a system relation has on the wire: domains are their base types.
fn wire_type(type_oid: u32) -> u32 {
    match type_oid {
        13221 => 23,
        13224 | 13234 => 1043,
        13226 => 19,
        13232 => 1184,
        other => other,
    }
}

#[test]
fn every_system_relation_has_postgresqls_columns() {
    let server = Harness::start();
    server.block_on(async {
        let client = server.connect().await;
        for relation in relations() {
            let name = format!("{}.{}", relation.schema, relation.name);
            let statement = client.prepare(&format!("SELECT * FROM {name}")).await.unwrap_or_else(|error| {
                panic!("{name}: {error:?}");
            });
            let got: Vec<(String, u32)> =
                statement.columns().iter().map(|column| (column.name().to_owned(), column.type_().oid())).collect();
            let expect: Vec<(String, u32)> =
                relation.columns.iter().map(|column| (column.name.to_owned(), wire_type(column.type_oid))).collect();
            assert_eq!(got, expect, "{name}");
        }
    });
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

#[test]
fn no_oid_dangles() {
    let server = Harness::start();
    server.block_on(async {
        let client = server.connect().await;
        client.batch_execute(OBJECTS).await.expect("runs");
        for (relation, column, target) in [
            ("pg_class", "relnamespace", "pg_namespace"),
            ("pg_class", "reltype", "pg_type"),
            ("pg_class", "relowner", "pg_authid"),
            ("pg_class", "relam", "pg_am"),
            ("pg_attribute", "attrelid", "pg_class"),
            ("pg_attribute", "atttypid", "pg_type"),
            ("pg_attribute", "attcollation", "pg_collation"),
            ("pg_attrdef", "adrelid", "pg_class"),
            ("pg_type", "typnamespace", "pg_namespace"),
            ("pg_type", "typrelid", "pg_class"),
            ("pg_type", "typelem", "pg_type"),
            ("pg_type", "typarray", "pg_type"),
            ("pg_type", "typinput", "pg_proc"),
            ("pg_type", "typoutput", "pg_proc"),
            ("pg_constraint", "connamespace", "pg_namespace"),
            ("pg_constraint", "conrelid", "pg_class"),
            ("pg_constraint", "conindid", "pg_class"),
            ("pg_constraint", "confrelid", "pg_class"),
            ("pg_index", "indexrelid", "pg_class"),
            ("pg_index", "indrelid", "pg_class"),
            ("pg_proc", "prorettype", "pg_type"),
            ("pg_proc", "pronamespace", "pg_namespace"),
            ("pg_proc", "prolang", "pg_language"),
            ("pg_rewrite", "ev_class", "pg_class"),
            ("pg_auth_members", "roleid", "pg_authid"),
            ("pg_auth_members", "member", "pg_authid"),
            ("pg_namespace", "nspowner", "pg_authid"),
        ] {
            let used = count(&client, &format!("SELECT count(*) FROM {relation} WHERE {column} <> 0")).await;
            assert!(used > 0, "{relation}.{column} refers to something");
            let dangling = format!(
                "SELECT count(*) FROM {relation} r LEFT JOIN {target} t ON r.{column} = t.oid \
                 WHERE r.{column} <> 0 AND t.oid IS NULL"
            );
            assert_eq!(count(&client, &dangling).await, 0, "{relation}.{column}");
        }
    });
}

#[test]
fn oids_are_never_given_twice() {
    let server = Harness::start();
    server.block_on(async {
        let client = server.connect().await;
        let mut seen = HashSet::new();
        for round in 0..40 {
            client.batch_execute("CREATE TABLE t (a int PRIMARY KEY)").await.expect("creates");
            for row in
                client.query("SELECT oid FROM pg_class WHERE relname IN ('t', 't_pkey')", &[]).await.expect("reads")
            {
                let oid: u32 = row.get(0);
                assert!(oid >= 16_384, "a user's object");
                assert!(seen.insert(oid), "{oid} came back in round {round}");
            }
            client.batch_execute("DROP TABLE t").await.expect("drops");
        }
        assert_eq!(seen.len(), 80);
    });
}

#[test]
fn ddl_is_seen_by_others_at_commit_and_the_first_to_commit_wins() {
    let server = Harness::start();
    server.block_on(async {
        let (one, two) = (server.connect().await, server.connect().await);
        let visible = "SELECT count(*) FROM pg_class WHERE relname = 't'";
        one.batch_execute("BEGIN; CREATE TABLE t (a int)").await.expect("runs");
        assert_eq!(count(&one, visible).await, 1);
        assert_eq!(count(&two, visible).await, 0, "not yet committed");
        two.batch_execute("CREATE TABLE t (b text)").await.expect("first to commit");
        let error = one.batch_execute("COMMIT").await.expect_err("second to commit");
        assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("42P07"), "{error:?}");
        assert_eq!(count(&one, visible).await, 1);
        one.batch_execute("BEGIN; ALTER TABLE t RENAME COLUMN b TO c").await.expect("runs");
        two.batch_execute("DROP TABLE t").await.expect("first to commit");
        let error = one.batch_execute("COMMIT").await.expect_err("second to commit");
        assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("40001"), "{error:?}");
    });
}

#[test]
fn verifiers_are_for_superusers() {
    let server = Harness::start();
    server.block_on(async {
        let client = server.connect().await;
        client.batch_execute("CREATE ROLE plain; SET ROLE plain").await.expect("runs");
        for relation in ["pg_authid", "pg_shadow"] {
            let error = client.query(&format!("SELECT * FROM {relation}"), &[]).await.expect_err("refused");
            assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("42501"), "{relation}");
        }
        let rows = client.query("SELECT rolpassword FROM pg_roles", &[]).await.expect("everyone may");
        assert!(rows.iter().all(|row| row.get::<_, Option<&str>>(0) == Some("********")));
    });
}
