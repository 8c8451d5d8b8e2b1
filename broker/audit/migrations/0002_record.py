"""The record's tables, the functions that append to them, and the guards that refuse everything else.

Who may do what afterwards. The owner of the schema runs migrations and owns all of this. The application's
role is recognised by the owner's default privileges: whoever was given INSERT on the new tables may SELECT
from them and execute the two append functions, and change nothing; whoever was given only SELECT keeps only
that; PUBLIC may nothing. A role that is made later gets its rights by hand::

    GRANT SELECT ON audit_entry, audit_head TO role;
    GRANT EXECUTE ON FUNCTION audit_append, audit_append_many TO role;

A careless GRANT of INSERT, UPDATE, DELETE or TRUNCATE opens nothing: the triggers look at who inserts and
how, and refuse every other change to everybody. GRANT ALL would also give TRIGGER, by which a role could run
code as the owner.
"""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from broker.audit.migrations._schema import run

TABLES = """
CREATE TABLE {schema}.audit_head (
    log  text COLLATE "C" PRIMARY KEY,
    seq  bigint NOT NULL CHECK (seq >= 0),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32)
) WITH (fillfactor = 10);

CREATE TABLE {schema}.audit_entry (
    log         text COLLATE "C" NOT NULL,
    seq         bigint NOT NULL CHECK (seq > 0),
    at          timestamptz NOT NULL CHECK (isfinite(at)),
    event       text COLLATE "C" NOT NULL CHECK (event <> ''),
    actor       text COLLATE "C" NOT NULL CHECK (actor <> ''),
    actor_id    bigint,
    object_type text COLLATE "C" NOT NULL CHECK (object_type <> ''),
    object_ref  text COLLATE "C" NOT NULL CHECK (object_ref <> ''),
    body        text NOT NULL,
    prev_hash   bytea NOT NULL CHECK (octet_length(prev_hash) = 32),
    hash        bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (log, seq)
);
CREATE INDEX audit_entry_object ON {schema}.audit_entry (object_ref, seq);
CREATE INDEX audit_entry_actor ON {schema}.audit_entry (actor, seq);
CREATE INDEX audit_entry_at ON {schema}.audit_entry USING brin (at);
CREATE INDEX audit_entry_event ON {schema}.audit_entry (event, seq);
-- What Stint's own parts did, most of all, has no actor_id. What is not about grants and requests is little among much.
CREATE INDEX audit_entry_by ON {schema}.audit_entry (actor_id, seq) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_entry_type ON {schema}.audit_entry (object_type, seq)
    WHERE object_type <> 'grant' AND object_type <> 'request';

INSERT INTO {schema}.audit_head (log, seq, hash)
VALUES ('main', 0, sha256(convert_to(E'stint-audit-log-1\\nmain', 'UTF8')));
"""

# The hashed text. to_char instead of the cast: a cast would follow the session's TimeZone and DateStyle.
BODY = """
CREATE FUNCTION {schema}.audit_instant(p_at timestamptz) RETURNS text LANGUAGE sql STABLE AS $body$
    SELECT to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$body$;

CREATE FUNCTION {schema}.audit_body(
    p_log text, p_instant text, p_event text, p_actor text, p_actor_id bigint,
    p_object_type text, p_object_ref text, p_data jsonb
) RETURNS text LANGUAGE sql STABLE AS $body$
    SELECT jsonb_build_object(
        'log', p_log, 'at', p_instant, 'event', p_event, 'actor', p_actor, 'actor_id', p_actor_id,
        'object_type', p_object_type, 'object_ref', p_object_ref, 'data', p_data)::text
$body$;
"""

# stint.audit tells the guard that an append is under way. Anybody can set it, so the role counts too.
APPEND = """
CREATE FUNCTION {schema}.audit_append(
    p_log text, p_at timestamptz, p_event text, p_actor text, p_actor_id bigint,
    p_object_type text, p_object_ref text, p_data jsonb
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    v_seq bigint;
    v_prev bytea;
    v_body text;
    v_hash bytea;
BEGIN
    IF jsonb_typeof(p_data) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'The data of an entry must be a JSON object.'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT h.seq + 1, h.hash INTO v_seq, v_prev FROM {schema}.audit_head h WHERE h.log = p_log FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no log named "%" to append to.', p_log USING ERRCODE = 'undefined_object';
    END IF;
    v_body := {schema}.audit_body(
        p_log, {schema}.audit_instant(p_at), p_event, p_actor, p_actor_id, p_object_type, p_object_ref,
        p_data);
    v_hash := sha256('stint-audit-entry-1\\012'::bytea || v_prev || int8send(v_seq)
                     || convert_to(v_body, 'UTF8'));
    PERFORM set_config('stint.audit', 'append', true);
    INSERT INTO {schema}.audit_entry
        (log, seq, at, event, actor, actor_id, object_type, object_ref, body, prev_hash, hash)
    VALUES (p_log, v_seq, p_at, p_event, p_actor, p_actor_id, p_object_type, p_object_ref,
            v_body, v_prev, v_hash);
    UPDATE {schema}.audit_head SET seq = v_seq, hash = v_hash WHERE log = p_log;
    PERFORM set_config('stint.audit', '', true);
    RETURN v_seq;
END
$body$;
"""

# p_refs[i] goes with p_datas[i], in that order, so entry i of n gets number (result - n + i). One INSERT for
# all: a statement in the loop would cost more than the hash.
APPEND_MANY = """
CREATE FUNCTION {schema}.audit_append_many(
    p_log text, p_at timestamptz, p_event text, p_actor text,
    p_object_type text, p_refs text[], p_datas jsonb[]
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    v_first bigint;
    v_before bytea;
    v_prev bytea;
    v_count integer := cardinality(p_refs);
    v_instant text := {schema}.audit_instant(p_at);
    v_bodies text[];
    v_hashes bytea[];
BEGIN
    IF v_count IS NULL OR v_count IS DISTINCT FROM cardinality(p_datas)
       OR array_ndims(p_refs) > 1 OR array_ndims(p_datas) > 1
       OR array_lower(p_refs, 1) <> 1 OR array_lower(p_datas, 1) <> 1 THEN
        RAISE EXCEPTION 'Each object needs its data: two plain arrays of one length.'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (SELECT FROM unnest(p_datas) AS d WHERE jsonb_typeof(d) IS DISTINCT FROM 'object') THEN
        RAISE EXCEPTION 'The data of an entry must be a JSON object.'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT h.seq + 1, h.hash INTO v_first, v_before
      FROM {schema}.audit_head h WHERE h.log = p_log FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no log named "%" to append to.', p_log USING ERRCODE = 'undefined_object';
    END IF;
    IF v_count = 0 THEN
        RETURN v_first - 1;
    END IF;
    SELECT array_agg(
               {schema}.audit_body(p_log, v_instant, p_event, p_actor, NULL, p_object_type, i.ref, i.data)
               ORDER BY i.n)
      INTO v_bodies FROM unnest(p_refs, p_datas) WITH ORDINALITY AS i (ref, data, n);
    v_hashes := array_fill(v_before, ARRAY[v_count]);
    v_prev := v_before;
    FOR i IN 1..v_count LOOP
        v_prev := sha256('stint-audit-entry-1\\012'::bytea || v_prev || int8send(v_first + i - 1)
                         || convert_to(v_bodies[i], 'UTF8'));
        v_hashes[i] := v_prev;
    END LOOP;
    PERFORM set_config('stint.audit', 'append', true);
    INSERT INTO {schema}.audit_entry
        (log, seq, at, event, actor, actor_id, object_type, object_ref, body, prev_hash, hash)
    SELECT p_log, v_first + e.n - 1, p_at, p_event, p_actor, NULL, p_object_type, e.ref,
           e.body, e.prev, e.hash
      FROM unnest(p_refs, v_bodies, array_prepend(v_before, v_hashes[:v_count - 1]), v_hashes)
           WITH ORDINALITY AS e (ref, body, prev, hash, n);
    UPDATE {schema}.audit_head SET seq = v_first + v_count - 1, hash = v_prev WHERE log = p_log;
    PERFORM set_config('stint.audit', '', true);
    RETURN v_first + v_count - 1;
END
$body$;
"""

GUARDS = """
CREATE FUNCTION {schema}.audit_refuse() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    RAISE EXCEPTION '% on % is refused: the record is append-only and nobody may change it.',
            TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Append a new entry that corrects the old one.';
END
$body$;

CREATE FUNCTION {schema}.audit_only_by_append() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF current_setting('stint.audit', true) = 'append'
       AND (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = TG_RELID) = current_user THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% on % is refused: entries are written by audit_append() alone.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Call audit_append() or audit_append_many().';
END
$body$;

CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON {schema}.audit_entry
    FOR EACH ROW EXECUTE FUNCTION {schema}.audit_refuse();
CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON {schema}.audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.audit_refuse();
CREATE TRIGGER audit_entry_only_by_append BEFORE INSERT ON {schema}.audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.audit_only_by_append();
CREATE TRIGGER audit_head_keep BEFORE DELETE ON {schema}.audit_head
    FOR EACH ROW EXECUTE FUNCTION {schema}.audit_refuse();
CREATE TRIGGER audit_head_no_truncate BEFORE TRUNCATE ON {schema}.audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.audit_refuse();
CREATE TRIGGER audit_head_only_by_append BEFORE INSERT OR UPDATE ON {schema}.audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.audit_only_by_append();
"""

# In the appending transaction, on the channel stint_record: the number of the last entry, once for each append, however many
# entries it has. It tells that something happened, never what.
ANNOUNCE = """
CREATE FUNCTION {schema}.audit_announce() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    PERFORM pg_notify('stint_record', NEW.seq::text);
    RETURN NULL;
END
$body$;
REVOKE EXECUTE ON FUNCTION {schema}.audit_announce() FROM PUBLIC;
CREATE TRIGGER audit_announce AFTER UPDATE ON {schema}.audit_head
    FOR EACH ROW WHEN (NEW.log = 'main') EXECUTE FUNCTION {schema}.audit_announce();
"""

# A restored database is another one: its tables, or the server's start, are others than when it was compared last with the
# checkpoints kept outside. A table that was restored has another file: files are numbered over all databases of a server.
INCARNATION = """
CREATE FUNCTION {schema}.record_incarnation() RETURNS text LANGUAGE sql STABLE AS $body$
    SELECT concat_ws('/', extract(epoch FROM pg_postmaster_start_time()), pg_relation_filenode('audit_entry'))
$body$;
"""

# ALL and not only the writes: by TRIGGER a role could run its code as the owner, inside the append functions.
PRIVILEGES = """
REVOKE ALL ON FUNCTION {schema}.audit_instant FROM PUBLIC;
REVOKE ALL ON FUNCTION {schema}.audit_body FROM PUBLIC;
REVOKE ALL ON FUNCTION {schema}.audit_append FROM PUBLIC;
REVOKE ALL ON FUNCTION {schema}.audit_append_many FROM PUBLIC;
REVOKE ALL ON FUNCTION {schema}.audit_refuse FROM PUBLIC;
REVOKE ALL ON FUNCTION {schema}.audit_only_by_append FROM PUBLIC;

DO $body$
DECLARE
    v_role record;
BEGIN
    FOR v_role IN
        SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS name,
               a.grantee <> 0 AND bool_or(a.privilege_type = 'SELECT') AS reads,
               a.grantee <> 0 AND bool_or(a.privilege_type = 'INSERT') AS writes
          FROM pg_class c, aclexplode(c.relacl) a
         WHERE c.oid IN ('{schema}.audit_entry'::regclass, '{schema}.audit_head'::regclass)
           AND a.grantee <> c.relowner
         GROUP BY a.grantee
    LOOP
        EXECUTE format('REVOKE ALL ON {schema}.audit_entry, {schema}.audit_head FROM %s', v_role.name);
        IF v_role.reads THEN
            EXECUTE format('GRANT SELECT ON {schema}.audit_entry, {schema}.audit_head TO %s', v_role.name);
        END IF;
        IF v_role.writes THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION {schema}.audit_append TO %s', v_role.name);
            EXECUTE format('GRANT EXECUTE ON FUNCTION {schema}.audit_append_many TO %s', v_role.name);
        END IF;
    END LOOP;
END
$body$;
"""

# Refused once the record holds anything: unmaking it is not an undo, it is the end of the evidence.
REMOVE = """
DO $body$
BEGIN
    IF EXISTS (SELECT FROM {schema}.audit_entry) THEN
        RAISE EXCEPTION 'The record has entries and is not removed.'
            USING HINT = 'To start anew, make a new database and keep this one.';
    END IF;
END
$body$;
DROP TABLE {schema}.audit_entry, {schema}.audit_head;
DROP FUNCTION {schema}.audit_append, {schema}.audit_append_many, {schema}.audit_body, {schema}.audit_instant;
DROP FUNCTION {schema}.audit_refuse, {schema}.audit_only_by_append, {schema}.audit_announce, {schema}.record_incarnation;
"""


def install(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Make tables, functions, guards and privileges in the schema that the connection creates in."""
    run(editor, TABLES, BODY, APPEND, APPEND_MANY, GUARDS, ANNOUNCE, INCARNATION, PRIVILEGES)


def remove(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Drop all of it, as long as nothing was ever recorded."""
    run(editor, REMOVE)


class Migration(migrations.Migration):
    """Makes the record."""

    dependencies = [("audit", "0001_initial")]
    operations = [migrations.RunPython(install, remove)]
