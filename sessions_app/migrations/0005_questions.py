"""What is asked and written in one call.

- ``stint_requests_allowed`` writes down many allowed requests, except those that may be answered only before a moment (`until`)
  that is over. It returns the places of those that it wrote down.
- ``stint_stands_behind``: whether a person stands behind a grant: holds it, owns the machine that does, or handed it on, at whatever
  distance.
- ``request_of_ticket``: in SQL, because Django names this operator class only with an application of its own for PostgreSQL.
"""

from __future__ import annotations

from django.db import migrations

REQUESTS = """
CREATE FUNCTION stint_requests_allowed(p_now timestamptz, p_event text, p_rows jsonb) RETURNS integer[]
LANGUAGE plpgsql AS $body$
DECLARE
    v_some record;
    v_kept integer[] := '{}';
BEGIN
    -- This appends nothing and waits for the record, so that what is over by then is left out below.
    PERFORM audit_append_many('main', p_now, p_event, '', NULL, 'grant', '{}', '{}');
    FOR v_some IN
        WITH r AS MATERIALIZED (
            SELECT nextval(pg_get_serial_sequence('sessions_app_commandrun', 'id')) AS id, x.*
              FROM jsonb_to_recordset(p_rows) AS x (
                  place integer, until timestamptz, grant_id bigint, session_id bigint, target_id bigint, ref text,
                  holder text, holder_id bigint, target text, line text, argv jsonb, command integer, effect text,
                  times integer, first_at timestamptz, last_at timestamptz, client text)
             WHERE x.until IS NULL OR x.until > clock_timestamp()
        ), run AS (
            INSERT INTO sessions_app_commandrun (id, grant_id, session_id, target_id, line, argv, command_index, effect,
                state, reason, tried_at, started_at, ended_at, signal, recording, recording_digest, output_bytes,
                client_address)
            SELECT id, grant_id, session_id, target_id, line, argv, command, effect, 'done', '', first_at, first_at,
                   last_at, '', '', '', 0, client FROM r
        ), counted AS (
            INSERT INTO sessions_app_requestcount (run_id, times, last_at) SELECT id, times, last_at FROM r
        )
        SELECT holder, holder_id, array_agg(place) AS places, array_agg(ref ORDER BY id) AS refs,
               array_agg(jsonb_build_object('run', id, 'session', session_id, 'target', target, 'argv', argv,
                   'index', command, 'times', times, 'first_at', first_at, 'last_at', last_at)
                   || CASE WHEN client = '' THEN '{}' ELSE jsonb_build_object('from', client) END ORDER BY id) AS datas
          FROM r GROUP BY holder, holder_id ORDER BY min(id)
    LOOP
        PERFORM audit_append_many('main', p_now, p_event, v_some.holder, v_some.holder_id, 'grant', v_some.refs,
            v_some.datas);
        v_kept := v_kept || v_some.places;
    END LOOP;
    RETURN v_kept;
END
$body$;
"""

PEOPLE = """
CREATE FUNCTION stint_stands_behind(p_grant bigint, p_person text) RETURNS boolean LANGUAGE sql STABLE AS $body$
    WITH RECURSIVE chain AS (
        SELECT parent_id, holder_id FROM sessions_app_grant WHERE id = p_grant
        UNION ALL
        SELECT above.parent_id, above.holder_id FROM sessions_app_grant above JOIN chain ON above.id = chain.parent_id
    )
    SELECT EXISTS (
        SELECT FROM chain
          JOIN accounts_identity holder ON holder.id = chain.holder_id
          LEFT JOIN accounts_identity owner ON owner.id = holder.owner_id
         WHERE p_person IN (holder.person, owner.person))
$body$;
"""

TICKETS = """
CREATE INDEX request_of_ticket ON sessions_app_accessrequest (upper(ticket) text_pattern_ops) WHERE ticket <> '';
"""

REMOVE = """
DROP FUNCTION stint_stands_behind, stint_requests_allowed;
DROP INDEX request_of_ticket;
"""


class Migration(migrations.Migration):
    """Two functions and an index."""

    dependencies = [("sessions_app", "0004_sweep")]
    operations = [migrations.RunSQL(REQUESTS + PEOPLE + TICKETS, REMOVE)]
