"""Archives of the record, and the only change of an entry that there is: its text can be removed once it is archived.

Only the owner of the schema can remove texts, in ``audit_remove_texts``. The hash of each entry stays, so the chain, the tree
and all checkpoints can still be verified. The application's role may read and add archives, and nobody changes or removes one.

A role that is made later gets its rights by hand::

    GRANT SELECT, INSERT ON audit_archive TO role;
"""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from broker.audit.migrations._schema import run

TABLES = """
CREATE TABLE {schema}.audit_archive (
    log     text COLLATE "C" NOT NULL,
    after   bigint NOT NULL CHECK (after >= 0),
    until   bigint NOT NULL CHECK (until > after),
    sha256  text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    object  text NOT NULL,
    at      timestamptz NOT NULL,
    PRIMARY KEY (log, until)
);
CREATE INDEX audit_entry_archived ON {schema}.audit_entry (log, seq) WHERE body = '';
"""

GUARDS = """
CREATE FUNCTION {schema}.audit_archive_is_signed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF NOT EXISTS (SELECT FROM {schema}.audit_checkpoint c WHERE c.log = NEW.log AND c.size = NEW.until)
       OR NEW.after <> coalesce((SELECT max(a.until) FROM {schema}.audit_archive a WHERE a.log = NEW.log), 0) THEN
        RAISE EXCEPTION 'An archive of entries % to % is refused: it does not begin after the last one and end with a checkpoint.',
                NEW.after + 1, NEW.until
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$body$;
REVOKE ALL ON FUNCTION {schema}.audit_archive_is_signed FROM PUBLIC;

CREATE TRIGGER audit_archive_is_signed BEFORE INSERT ON {schema}.audit_archive
    FOR EACH ROW EXECUTE FUNCTION {schema}.audit_archive_is_signed();
CREATE TRIGGER audit_archive_append_only BEFORE UPDATE OR DELETE ON {schema}.audit_archive
    FOR EACH ROW EXECUTE FUNCTION {schema}.audit_refuse();
CREATE TRIGGER audit_archive_no_truncate BEFORE TRUNCATE ON {schema}.audit_archive
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.audit_refuse();

CREATE FUNCTION {schema}.audit_only_text_removed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    v_old {schema}.audit_entry := OLD;
BEGIN
    v_old.body := '';
    IF current_setting('stint.audit', true) = 'archive' AND NEW IS NOT DISTINCT FROM v_old
       AND (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = TG_RELID) = current_user THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% on % is refused: the record is append-only and nobody may change it.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Append a new entry that corrects the old one.';
END
$body$;
REVOKE ALL ON FUNCTION {schema}.audit_only_text_removed FROM PUBLIC;

DROP TRIGGER audit_entry_append_only ON {schema}.audit_entry;
CREATE TRIGGER audit_entry_append_only BEFORE DELETE ON {schema}.audit_entry
    FOR EACH ROW EXECUTE FUNCTION {schema}.audit_refuse();
CREATE TRIGGER audit_entry_only_text_removed BEFORE UPDATE ON {schema}.audit_entry
    FOR EACH ROW EXECUTE FUNCTION {schema}.audit_only_text_removed();
"""

# Removes texts of archived entries after p_after up to p_until, and returns how many. Not those that are held: entries about one
# of p_refs, with one of p_texts in their text, or from one of the periods.
REMOVE_TEXTS = """
CREATE FUNCTION {schema}.audit_remove_texts(
    p_log text, p_after bigint, p_until bigint, p_refs text[], p_texts text[], p_starts timestamptz[], p_ends timestamptz[]
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    v_count bigint;
BEGIN
    IF p_until > coalesce((SELECT max(a.until) FROM {schema}.audit_archive a WHERE a.log = p_log), 0) THEN
        RAISE EXCEPTION 'Entries up to % are not archived.', p_until USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (SELECT FROM {schema}.audit_entry e WHERE e.log = p_log AND e.seq = p_until AND e.at > now() - interval '90 days') THEN
        RAISE EXCEPTION 'Entries of the last ninety days stay in the database.' USING ERRCODE = 'check_violation';
    END IF;
    PERFORM set_config('stint.audit', 'archive', true);
    UPDATE {schema}.audit_entry e SET body = ''
     WHERE e.log = p_log AND e.seq > p_after AND e.seq <= p_until AND e.body <> ''
       AND e.object_ref <> ALL (p_refs)
       AND NOT EXISTS (SELECT FROM unnest(p_texts) AS t (text) WHERE strpos(e.body, t.text) > 0)
       AND NOT EXISTS (SELECT FROM unnest(p_starts, p_ends) AS p (starts, ends) WHERE e.at >= p.starts AND e.at < p.ends);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    PERFORM set_config('stint.audit', '', true);
    RETURN v_count;
END
$body$;
REVOKE ALL ON FUNCTION {schema}.audit_remove_texts FROM PUBLIC;
"""

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
         WHERE c.oid = '{schema}.audit_archive'::regclass AND a.grantee <> c.relowner
         GROUP BY a.grantee
    LOOP
        EXECUTE format('REVOKE ALL ON {schema}.audit_archive FROM %s', v_role.name);
        IF v_role.reads THEN
            EXECUTE format('GRANT SELECT ON {schema}.audit_archive TO %s', v_role.name);
        END IF;
        IF v_role.writes THEN
            EXECUTE format('GRANT INSERT ON {schema}.audit_archive TO %s', v_role.name);
        END IF;
    END LOOP;
END
$body$;
"""


def install(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Make the table, the function, guards and privileges in the schema that the connection creates in."""
    run(editor, TABLES, GUARDS, REMOVE_TEXTS, PRIVILEGES)


class Migration(migrations.Migration):
    """Makes archives."""

    dependencies = [("audit", "0004_whole_verification")]
    operations = [
        migrations.CreateModel(
            name="AuditArchive",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "log", "until", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("log", models.TextField(db_collation="C")),
                ("after", models.BigIntegerField()),
                ("until", models.BigIntegerField()),
                ("sha256", models.TextField()),
                ("object", models.TextField()),
                ("at", models.DateTimeField()),
            ],
            options={"db_table": "audit_archive", "managed": False},
        ),
        migrations.RunPython(install),
    ]
