"""Checkpoints, the key that signs them, and the tree that they are made from.

Checkpoints and the key are guarded as entries are: the application's role may read and add them, and nobody changes or
removes one. A checkpoint has to be larger than the one before it and not larger than the log. The tree is only what saves
reading all entries again; what is wrong with it shows against the newest checkpoint.

A role that is made later gets its rights by hand::

    GRANT SELECT, INSERT ON audit_checkpoint, audit_key TO role;
"""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from broker.audit.migrations._schema import run

TABLES = """
CREATE TABLE {schema}.audit_checkpoint (
    log  text COLLATE "C" NOT NULL,
    size bigint NOT NULL CHECK (size > 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    at   timestamptz NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (log, size)
);
CREATE TABLE {schema}.audit_key (
    log                text COLLATE "C" PRIMARY KEY,
    origin             text NOT NULL CHECK (origin ~ '^[^[:space:]+]+$'),
    sealed_private_key bytea NOT NULL,
    created_at         timestamptz NOT NULL
);
"""

GUARDS = """
CREATE FUNCTION {schema}.audit_checkpoint_follows() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF NEW.size <= coalesce((SELECT max(c.size) FROM {schema}.audit_checkpoint c WHERE c.log = NEW.log), 0)
       OR NEW.size > coalesce((SELECT h.seq FROM {schema}.audit_head h WHERE h.log = NEW.log), 0) THEN
        RAISE EXCEPTION 'A checkpoint of % entries is refused: it is not larger than the one before, or larger than the log.',
                NEW.size
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$body$;
REVOKE ALL ON FUNCTION {schema}.audit_checkpoint_follows FROM PUBLIC;

CREATE TRIGGER audit_checkpoint_follows BEFORE INSERT ON {schema}.audit_checkpoint
    FOR EACH ROW EXECUTE FUNCTION {schema}.audit_checkpoint_follows();
CREATE TRIGGER audit_checkpoint_append_only BEFORE UPDATE OR DELETE ON {schema}.audit_checkpoint
    FOR EACH ROW EXECUTE FUNCTION {schema}.audit_refuse();
CREATE TRIGGER audit_checkpoint_no_truncate BEFORE TRUNCATE ON {schema}.audit_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.audit_refuse();
CREATE TRIGGER audit_key_append_only BEFORE UPDATE OR DELETE ON {schema}.audit_key
    FOR EACH ROW EXECUTE FUNCTION {schema}.audit_refuse();
CREATE TRIGGER audit_key_no_truncate BEFORE TRUNCATE ON {schema}.audit_key
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.audit_refuse();
"""

# Who may only read is not given the sealed key.
PRIVILEGES = """
DO $body$
DECLARE
    v_role record;
BEGIN
    FOR v_role IN
        SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS name,
               a.grantee <> 0 AND bool_or(a.privilege_type = 'SELECT') AS reads,
               a.grantee <> 0 AND bool_or(a.privilege_type = 'INSERT') AS writes
          FROM pg_class c, aclexplode(c.relacl) a
         WHERE c.oid IN ('{schema}.audit_checkpoint'::regclass, '{schema}.audit_key'::regclass)
           AND a.grantee <> c.relowner
         GROUP BY a.grantee
    LOOP
        EXECUTE format('REVOKE ALL ON {schema}.audit_checkpoint, {schema}.audit_key FROM %s', v_role.name);
        IF v_role.reads THEN
            EXECUTE format('GRANT SELECT ON {schema}.audit_checkpoint TO %s', v_role.name);
        END IF;
        IF v_role.writes THEN
            EXECUTE format('GRANT SELECT, INSERT ON {schema}.audit_checkpoint, {schema}.audit_key TO %s', v_role.name);
        END IF;
    END LOOP;
END
$body$;
"""

# Refused once anything was signed, for the reason that the record's own removal is.
REMOVE = """
DO $body$
BEGIN
    IF EXISTS (SELECT FROM {schema}.audit_checkpoint) THEN
        RAISE EXCEPTION 'The record has checkpoints, and they are not removed.'
            USING HINT = 'To start anew, make a new database and keep this one.';
    END IF;
END
$body$;
DROP TABLE {schema}.audit_checkpoint, {schema}.audit_key;
DROP FUNCTION {schema}.audit_checkpoint_follows;
"""


def install(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Make tables, guards and privileges in the schema that the connection creates in."""
    run(editor, TABLES, GUARDS, PRIVILEGES)


def remove(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Drop all of it, as long as nothing was ever signed."""
    run(editor, REMOVE)


class Migration(migrations.Migration):
    """Makes the place of checkpoints."""

    dependencies = [("audit", "0002_record")]
    operations = [migrations.RunPython(install, remove)]
