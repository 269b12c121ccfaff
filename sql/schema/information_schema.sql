-- Views of information_schema. Columns that are not named here are NULL; types are those of PostgreSQL 15, by column
-- name. A role sees what it owns or has a right on. One CREATE VIEW a relation, closed by a semicolon at the end of a line.

CREATE VIEW information_schema.information_schema_catalog_name AS
SELECT current_database() AS catalog_name;

CREATE VIEW information_schema.schemata AS
SELECT current_database() AS catalog_name, n.nspname AS schema_name, a.rolname AS schema_owner
FROM pg_catalog.pg_namespace n
JOIN pg_catalog.pg_authid a ON n.nspowner = a.oid
WHERE pg_has_role(n.nspowner, 'USAGE') OR has_schema_privilege(n.oid, 'CREATE, USAGE');

CREATE VIEW information_schema.tables AS
SELECT current_database() AS table_catalog, n.nspname AS table_schema, c.relname AS table_name,
       CASE WHEN c.relkind = 'v' THEN 'VIEW' WHEN c.relkind = 'f' THEN 'FOREIGN' ELSE 'BASE TABLE' END AS table_type,
       CASE WHEN c.relkind = 'r' THEN 'YES' ELSE 'NO' END AS is_insertable_into,
       'NO' AS is_typed
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE (c.relkind = 'r' OR c.relkind = 'v' OR c.relkind = 'f')
  AND (pg_has_role(c.relowner, 'USAGE')
       OR has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'));

CREATE VIEW information_schema.views AS
SELECT current_database() AS table_catalog, n.nspname AS table_schema, c.relname AS table_name,
       CASE WHEN pg_has_role(c.relowner, 'USAGE') THEN pg_get_viewdef(c.oid) END AS view_definition,
       'NONE' AS check_option, 'NO' AS is_updatable, 'NO' AS is_insertable_into, 'NO' AS is_trigger_updatable,
       'NO' AS is_trigger_deletable, 'NO' AS is_trigger_insertable_into
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'v' AND (pg_has_role(c.relowner, 'USAGE') OR has_table_privilege(c.oid, 'SELECT'));

CREATE VIEW information_schema.columns AS
SELECT current_database() AS table_catalog, n.nspname AS table_schema, c.relname AS table_name,
       a.attname AS column_name, a.attnum AS ordinal_position,
       pg_get_expr(d.adbin, d.adrelid) AS column_default,
       CASE WHEN a.attnotnull THEN 'NO' ELSE 'YES' END AS is_nullable,
       CASE WHEN b.typelem <> 0 AND b.typlen = -1 THEN 'ARRAY'
            WHEN bn.nspname = 'pg_catalog' THEN format_type(b.oid, CAST(NULL AS int))
            ELSE 'USER-DEFINED' END AS data_type,
       information_schema._pg_char_max_length(b.oid, a.atttypmod) AS character_maximum_length,
       information_schema._pg_char_octet_length(b.oid, a.atttypmod) AS character_octet_length,
       information_schema._pg_numeric_precision(b.oid, a.atttypmod) AS numeric_precision,
       information_schema._pg_numeric_precision_radix(b.oid, a.atttypmod) AS numeric_precision_radix,
       information_schema._pg_numeric_scale(b.oid, a.atttypmod) AS numeric_scale,
       information_schema._pg_datetime_precision(b.oid, a.atttypmod) AS datetime_precision,
       CASE WHEN t.typtype = 'd' THEN current_database() END AS domain_catalog,
       CASE WHEN t.typtype = 'd' THEN tn.nspname END AS domain_schema,
       CASE WHEN t.typtype = 'd' THEN t.typname END AS domain_name,
       current_database() AS udt_catalog, bn.nspname AS udt_schema, b.typname AS udt_name,
       CAST(a.attnum AS text) AS dtd_identifier, 'NO' AS is_self_referencing,
       CASE WHEN a.attidentity IN ('a', 'd') THEN 'YES' ELSE 'NO' END AS is_identity,
       CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END AS identity_generation,
       CAST(s.seqstart AS text) AS identity_start, CAST(s.seqincrement AS text) AS identity_increment,
       CAST(s.seqmax AS text) AS identity_maximum, CAST(s.seqmin AS text) AS identity_minimum,
       CASE WHEN s.seqcycle THEN 'YES' ELSE 'NO' END AS identity_cycle, 'NEVER' AS is_generated,
       CASE WHEN c.relkind = 'r' THEN 'YES' ELSE 'NO' END AS is_updatable
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON a.attrelid = c.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type t ON a.atttypid = t.oid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
JOIN pg_catalog.pg_namespace bn ON bn.oid = b.typnamespace
LEFT JOIN pg_catalog.pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum
LEFT JOIN pg_catalog.pg_depend i ON i.refobjid = a.attrelid AND i.refobjsubid = a.attnum AND i.deptype = 'i'
                                AND i.classid = 1259 AND i.refclassid = 1259
LEFT JOIN pg_catalog.pg_sequence s ON s.seqrelid = i.objid
WHERE a.attnum > 0 AND NOT a.attisdropped AND (c.relkind = 'r' OR c.relkind = 'v' OR c.relkind = 'f')
  AND (pg_has_role(c.relowner, 'USAGE')
       OR has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'));

CREATE VIEW information_schema.table_constraints AS
SELECT current_database() AS constraint_catalog, nc.nspname AS constraint_schema, k.conname AS constraint_name,
       current_database() AS table_catalog, nr.nspname AS table_schema, r.relname AS table_name,
       CASE k.contype WHEN 'c' THEN 'CHECK' WHEN 'f' THEN 'FOREIGN KEY' WHEN 'p' THEN 'PRIMARY KEY'
                      ELSE 'UNIQUE' END AS constraint_type,
       CASE WHEN k.condeferrable THEN 'YES' ELSE 'NO' END AS is_deferrable,
       CASE WHEN k.condeferred THEN 'YES' ELSE 'NO' END AS initially_deferred,
       'YES' AS enforced,
       CASE WHEN k.contype = 'u' THEN 'YES' END AS nulls_distinct
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_namespace nc ON nc.oid = k.connamespace
JOIN pg_catalog.pg_class r ON k.conrelid = r.oid
JOIN pg_catalog.pg_namespace nr ON nr.oid = r.relnamespace
WHERE pg_has_role(r.relowner, 'USAGE')
   OR has_table_privilege(r.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
UNION ALL
SELECT current_database(), nr.nspname,
       concat(CAST(nr.oid AS text), '_', CAST(r.oid AS text), '_', CAST(a.attnum AS text), '_not_null'),
       current_database(), nr.nspname, r.relname, 'CHECK', 'NO', 'NO', 'YES', CAST(NULL AS text)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class r ON a.attrelid = r.oid
JOIN pg_catalog.pg_namespace nr ON nr.oid = r.relnamespace
WHERE a.attnotnull AND a.attnum > 0 AND NOT a.attisdropped AND r.relkind = 'r'
  AND (pg_has_role(r.relowner, 'USAGE')
       OR has_table_privilege(r.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'));

CREATE VIEW information_schema.key_column_usage AS
SELECT current_database() AS constraint_catalog, nc.nspname AS constraint_schema, k.conname AS constraint_name,
       current_database() AS table_catalog, nr.nspname AS table_schema, r.relname AS table_name,
       a.attname AS column_name, array_position(k.conkey, k.attnum) AS ordinal_position,
       CASE WHEN k.contype = 'f' THEN array_position(x.indkey, k.confkey[array_position(k.conkey, k.attnum)]) END
         AS position_in_unique_constraint
FROM (SELECT conname, connamespace, contype, conrelid, conindid, conkey, confkey, unnest(conkey) AS attnum
      FROM pg_catalog.pg_constraint WHERE contype <> 'c') k
JOIN pg_catalog.pg_namespace nc ON nc.oid = k.connamespace
JOIN pg_catalog.pg_class r ON k.conrelid = r.oid
JOIN pg_catalog.pg_namespace nr ON nr.oid = r.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.attnum
LEFT JOIN pg_catalog.pg_index x ON x.indexrelid = k.conindid
WHERE pg_has_role(r.relowner, 'USAGE')
   OR has_table_privilege(r.oid, 'SELECT, INSERT, UPDATE, REFERENCES');

CREATE VIEW information_schema.referential_constraints AS
SELECT current_database() AS constraint_catalog, n.nspname AS constraint_schema, k.conname AS constraint_name,
       CASE WHEN pk.conname IS NOT NULL THEN current_database() END AS unique_constraint_catalog,
       pn.nspname AS unique_constraint_schema, pk.conname AS unique_constraint_name,
       CASE k.confmatchtype WHEN 'f' THEN 'FULL' WHEN 'p' THEN 'PARTIAL' ELSE 'NONE' END AS match_option,
       CASE k.confupdtype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT'
                          WHEN 'r' THEN 'RESTRICT' ELSE 'NO ACTION' END AS update_rule,
       CASE k.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT'
                          WHEN 'r' THEN 'RESTRICT' ELSE 'NO ACTION' END AS delete_rule
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
LEFT JOIN (SELECT conname, connamespace, conindid FROM pg_catalog.pg_constraint
           WHERE contype = 'p' OR contype = 'u') pk ON pk.conindid = k.conindid
LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid = pk.connamespace
WHERE k.contype = 'f'
  AND (pg_has_role(c.relowner, 'USAGE')
       OR has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'));

CREATE VIEW information_schema.constraint_column_usage AS
SELECT current_database() AS table_catalog, nr.nspname AS table_schema, r.relname AS table_name,
       a.attname AS column_name, current_database() AS constraint_catalog, nc.nspname AS constraint_schema,
       k.conname AS constraint_name
FROM (SELECT conname, connamespace, conrelid AS relation, unnest(conkey) AS attnum
      FROM pg_catalog.pg_constraint WHERE contype <> 'f'
      UNION ALL
      SELECT conname, connamespace, confrelid, unnest(confkey)
      FROM pg_catalog.pg_constraint WHERE contype = 'f') k
JOIN pg_catalog.pg_namespace nc ON nc.oid = k.connamespace
JOIN pg_catalog.pg_class r ON k.relation = r.oid
JOIN pg_catalog.pg_namespace nr ON nr.oid = r.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.attnum
WHERE pg_has_role(r.relowner, 'USAGE');

CREATE VIEW information_schema.check_constraints AS
SELECT current_database() AS constraint_catalog, n.nspname AS constraint_schema, k.conname AS constraint_name,
       k.conbin AS check_clause
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
WHERE k.contype = 'c' AND pg_has_role(c.relowner, 'USAGE');

CREATE VIEW information_schema.enabled_roles AS
SELECT a.rolname AS role_name FROM pg_catalog.pg_authid a WHERE pg_has_role(a.oid, 'USAGE');

CREATE VIEW information_schema.sequences AS
SELECT current_database() AS sequence_catalog, n.nspname AS sequence_schema, c.relname AS sequence_name,
       format_type(s.seqtypid, CAST(NULL AS int)) AS data_type,
       information_schema._pg_numeric_precision(s.seqtypid, -1) AS numeric_precision,
       2 AS numeric_precision_radix, 0 AS numeric_scale, CAST(s.seqstart AS text) AS start_value,
       CAST(s.seqmin AS text) AS minimum_value, CAST(s.seqmax AS text) AS maximum_value,
       CAST(s.seqincrement AS text) AS increment, CASE WHEN s.seqcycle THEN 'YES' ELSE 'NO' END AS cycle_option
FROM pg_catalog.pg_sequence s
JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_depend i ON i.classid = 1259 AND i.objid = c.oid AND i.deptype = 'i'
WHERE i.objid IS NULL AND NOT pg_is_other_temp_schema(n.oid)
  AND (pg_has_role(c.relowner, 'USAGE') OR has_sequence_privilege(c.oid, 'SELECT, UPDATE, USAGE'));
