"""The record's tables, the functions that append to them, and the guards that refuse everything else.

Who may do what afterwards. The owner of the schema runs migrations and owns all of this. The application's
role is recognized by the owner's default privileges: whoever was given INSERT on the new tables may SELECT
from them and execute the two append functions, and change nothing; whoever was given only SELECT keeps only
that; PUBLIC may nothing. A role that is made later gets its rights by hand::

    GRANT SELECT ON audit_entry, audit_head TO role;
    GRANT EXECUTE ON FUNCTION audit_append_at_commit, audit_append_many TO role;

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

-- Entries of transactions that are under way. Each is gone by its commit, so no crash can lose one.
CREATE UNLOGGED TABLE {schema}.audit_pending (
    xact        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    number      bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    log         text COLLATE "C" NOT NULL,
    at          timestamptz NOT NULL CHECK (isfinite(at)),
    event       text COLLATE "C" NOT NULL CHECK (event <> ''),
    actor       text COLLATE "C" NOT NULL CHECK (actor <> ''),
    actor_id    bigint,
    actor_kind  text COLLATE "C" NOT NULL,
    object_type text COLLATE "C" NOT NULL CHECK (object_type <> ''),
    refs        text[] NOT NULL,
    datas       jsonb[] NOT NULL,
    can_wait    boolean NOT NULL,
    PRIMARY KEY (xact, number)
);

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

# The one place that appends. Entry i of n is what stands at place i of each array, and gets number (result - n + i). One INSERT for
# all: a statement in the loop would cost more than the hash. stint.audit tells the guard that an append is under way. Anybody
# can set it, so the role counts too.
WRITE = """
CREATE FUNCTION {schema}.audit_write(
    p_log text, p_ats timestamptz[], p_events text[], p_actors text[], p_actor_ids bigint[],
    p_object_types text[], p_refs text[], p_datas jsonb[]
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    v_first bigint;
    v_before bytea;
    v_prev bytea;
    v_count integer := cardinality(p_refs);
    v_bodies text[];
    v_hashes bytea[];
BEGIN
    SELECT array_agg(
               {schema}.audit_body(p_log, {schema}.audit_instant(e.at), e.event, e.actor, e.actor_id, e.object_type,
                                   e.ref, e.data)
               ORDER BY e.n)
      INTO v_bodies FROM unnest(p_ats, p_events, p_actors, p_actor_ids, p_object_types, p_refs, p_datas)
           WITH ORDINALITY AS e (at, event, actor, actor_id, object_type, ref, data, n);
    -- From here on everybody else waits, until the commit.
    SELECT h.seq + 1, h.hash INTO v_first, v_before
      FROM {schema}.audit_head h WHERE h.log = p_log FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no log named "%" to append to.', p_log USING ERRCODE = 'undefined_object';
    END IF;
    IF v_count = 0 THEN
        RETURN v_first - 1;
    END IF;
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
    SELECT p_log, v_first + e.n - 1, e.at, e.event, e.actor, e.actor_id, e.object_type, e.ref, e.body, e.prev, e.hash
      FROM unnest(p_ats, p_events, p_actors, p_actor_ids, p_object_types, p_refs, v_bodies,
                  array_prepend(v_before, v_hashes[:v_count - 1]), v_hashes)
           WITH ORDINALITY AS e (at, event, actor, actor_id, object_type, ref, body, prev, hash, n);
    UPDATE {schema}.audit_head SET seq = v_first + v_count - 1, hash = v_prev WHERE log = p_log;
    PERFORM set_config('stint.audit', '', true);
    RETURN v_first + v_count - 1;
END
$body$;

CREATE FUNCTION {schema}.audit_check(p_refs text[], p_datas jsonb[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF cardinality(p_refs) IS NULL OR cardinality(p_refs) IS DISTINCT FROM cardinality(p_datas)
       OR array_ndims(p_refs) > 1 OR array_ndims(p_datas) > 1
       OR array_lower(p_refs, 1) <> 1 OR array_lower(p_datas, 1) <> 1 THEN
        RAISE EXCEPTION 'Each object needs its data: two plain arrays of one length.'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (SELECT FROM unnest(p_datas) AS d WHERE jsonb_typeof(d) IS DISTINCT FROM 'object') THEN
        RAISE EXCEPTION 'The data of an entry must be a JSON object.'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (SELECT FROM unnest(p_refs) AS r WHERE coalesce(r, '') = '') THEN
        RAISE EXCEPTION 'The object of an entry must have a name.' USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$body$;
"""

# At once: the head is locked from the call to the commit, so the call is the last statement of its transaction. Entries have one
# time, event and actor; p_refs[i] goes with p_datas[i]. Returns the number of the last.
APPEND_MANY = """
CREATE FUNCTION {schema}.audit_append_many(
    p_log text, p_at timestamptz, p_event text, p_actor text, p_actor_id bigint,
    p_object_type text, p_refs text[], p_datas jsonb[]
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    v_all integer[] := ARRAY[cardinality(p_refs)];
BEGIN
    PERFORM {schema}.audit_check(p_refs, p_datas);
    RETURN {schema}.audit_write(
        p_log, array_fill(p_at, v_all), array_fill(p_event, v_all), array_fill(p_actor, v_all),
        array_fill(p_actor_id, v_all), array_fill(p_object_type, v_all), p_refs, p_datas);
END
$body$;
"""

# With the commit: a transaction's entries are appended together, when everything else in it is done, so that nobody waits for an act
# that is under way. A transaction whose entries can't be appended does not commit, unless all of them can wait, as those of
# ends can: they are then kept aside.
APPEND_AT_COMMIT = """
CREATE FUNCTION {schema}.audit_append_at_commit(
    p_log text, p_at timestamptz, p_event text, p_actor text, p_actor_id bigint, p_actor_kind text,
    p_object_type text, p_refs text[], p_datas jsonb[], p_can_wait boolean
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    PERFORM {schema}.audit_check(p_refs, p_datas);
    PERFORM set_config('stint.audit', 'append', true);
    INSERT INTO {schema}.audit_pending
        (log, at, event, actor, actor_id, actor_kind, object_type, refs, datas, can_wait)
    VALUES (p_log, p_at, p_event, p_actor, p_actor_id, p_actor_kind, p_object_type, p_refs, p_datas, p_can_wait);
    PERFORM set_config('stint.audit', '', true);
END
$body$;

CREATE FUNCTION {schema}.audit_append_pending() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    v_all record;
    v_patience text := current_setting('lock_timeout');
BEGIN
    -- The first row of a transaction finds all of them, and those behind it none.
    PERFORM set_config('stint.audit', 'append', true);
    WITH mine AS (
        DELETE FROM {schema}.audit_pending WHERE xact = pg_current_xact_id() AND log = NEW.log RETURNING *
    )
    SELECT bool_and(m.can_wait) AS can_wait, array_agg(m.at ORDER BY m.number, e.n) AS ats,
           array_agg(m.event ORDER BY m.number, e.n) AS events, array_agg(m.actor ORDER BY m.number, e.n) AS actors,
           array_agg(m.actor_id ORDER BY m.number, e.n) AS actor_ids,
           array_agg(m.actor_kind ORDER BY m.number, e.n) AS actor_kinds,
           array_agg(m.object_type ORDER BY m.number, e.n) AS object_types,
           array_agg(e.ref ORDER BY m.number, e.n) AS refs, array_agg(e.data ORDER BY m.number, e.n) AS datas
      INTO v_all
      FROM mine m CROSS JOIN unnest(m.refs, m.datas) WITH ORDINALITY AS e (ref, data, n);
    PERFORM set_config('stint.audit', '', true);
    IF v_all.refs IS NULL THEN
        RETURN NULL;
    END IF;
    BEGIN
        IF v_all.can_wait THEN
            PERFORM set_config('lock_timeout', '50', true);
        END IF;
        PERFORM {schema}.audit_write(
            NEW.log, v_all.ats, v_all.events, v_all.actors, v_all.actor_ids, v_all.object_types, v_all.refs, v_all.datas);
        PERFORM set_config('lock_timeout', v_patience, true);
    EXCEPTION WHEN OTHERS THEN
        IF NOT v_all.can_wait THEN
            RAISE;
        END IF;
        RAISE WARNING 'The record refuses % entries, which are kept aside: %', cardinality(v_all.refs), SQLERRM;
        INSERT INTO {schema}.audit_backlog (at, event, actor, actor_id, actor_kind, object_type, object_ref, data)
        SELECT e.at, e.event, e.actor, e.actor_id, e.actor_kind, e.object_type, e.ref, e.data
          FROM unnest(v_all.ats, v_all.events, v_all.actors, v_all.actor_ids, v_all.actor_kinds, v_all.object_types,
                      v_all.refs, v_all.datas)
               WITH ORDINALITY AS e (at, event, actor, actor_id, actor_kind, object_type, ref, data, n)
         ORDER BY e.n;
    END;
    RETURN NULL;
END
$body$;

CREATE CONSTRAINT TRIGGER audit_pending_append AFTER INSERT ON {schema}.audit_pending
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.audit_append_pending();
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
    RAISE EXCEPTION '% on % is refused: entries are written by audit_write() alone.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Call audit_append_at_commit() or audit_append_many().';
END
$body$;

CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON {schema}.audit_entry
    FOR EACH ROW EXECUTE FUNCTION {schema}.audit_refuse();
CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON {schema}.audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.audit_refuse();
CREATE TRIGGER audit_entry_only_by_append BEFORE INSERT ON {schema}.audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.audit_only_by_append();
CREATE TRIGGER audit_pending_keep BEFORE UPDATE ON {schema}.audit_pending
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.audit_refuse();
CREATE TRIGGER audit_pending_no_truncate BEFORE TRUNCATE ON {schema}.audit_pending
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.audit_refuse();
CREATE TRIGGER audit_pending_only_by_append BEFORE INSERT OR DELETE ON {schema}.audit_pending
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
REVOKE ALL ON FUNCTION {schema}.audit_write FROM PUBLIC;
REVOKE ALL ON FUNCTION {schema}.audit_check FROM PUBLIC;
REVOKE ALL ON FUNCTION {schema}.audit_append_many FROM PUBLIC;
REVOKE ALL ON FUNCTION {schema}.audit_append_at_commit FROM PUBLIC;
REVOKE ALL ON FUNCTION {schema}.audit_append_pending FROM PUBLIC;
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
        EXECUTE format('REVOKE ALL ON {schema}.audit_entry, {schema}.audit_head, {schema}.audit_pending FROM %s', v_role.name);
        IF v_role.reads THEN
            EXECUTE format('GRANT SELECT ON {schema}.audit_entry, {schema}.audit_head, {schema}.audit_pending TO %s', v_role.name);
        END IF;
        IF v_role.writes THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION {schema}.audit_append_at_commit TO %s', v_role.name);
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
DROP TABLE {schema}.audit_entry, {schema}.audit_head, {schema}.audit_pending;
DROP FUNCTION {schema}.audit_append_at_commit, {schema}.audit_append_pending, {schema}.audit_append_many;
DROP FUNCTION {schema}.audit_write, {schema}.audit_check, {schema}.audit_body, {schema}.audit_instant;
DROP FUNCTION {schema}.audit_refuse, {schema}.audit_only_by_append, {schema}.audit_announce, {schema}.record_incarnation;
"""


def install(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Make tables, functions, guards and privileges in the schema that the connection creates in."""
    run(editor, TABLES, BODY, WRITE, APPEND_MANY, APPEND_AT_COMMIT, GUARDS, ANNOUNCE, INCARNATION, PRIVILEGES)


def remove(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Drop all of it, as long as nothing was ever recorded."""
    run(editor, REMOVE)


class Migration(migrations.Migration):
    """Makes the record."""

    dependencies = [("audit", "0001_initial")]
    operations = [migrations.RunPython(install, remove)]
