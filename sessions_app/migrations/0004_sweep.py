"""How due ends are found, begun and carried out.

- ``sweep_due_grants`` moves the grants whose time is over to REVOKING and records that, in one call.
- ``sweep_look`` says what could be due. The time that a function is given is unknown when its plan is made, and PostgreSQL then takes
  a third of all rows to be before it; so that it uses the index of due reviews, it says that a time is there.
- ``claim_revocation`` gives a grant to the one worker that carries its end out on targets, if they may be asked now, for ``p_claim``.
  The process that asks renews its claim, so that those of a process that is gone lapse soon; no target is waited for longer than
  ``p_longest``.
"""

from __future__ import annotations

from django.db import migrations

ENDS = """
CREATE FUNCTION sweep_due_grants(p_now timestamptz, p_limit integer) RETURNS bigint[]
LANGUAGE plpgsql AS $body$
DECLARE
    v_ids bigint[];
    v_refs text[];
    v_datas jsonb[];
    v_patience text;
BEGIN
    WITH due AS (
        SELECT id FROM sessions_app_grant
         WHERE state IN ('scheduled', 'provisioning', 'active') AND expires_at <= p_now
         ORDER BY expires_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    ), over AS (
        UPDATE sessions_app_grant g
           SET state = 'revoking', version = g.version + 1, revoking_at = p_now, end_reason = 'expired',
               finish_until = CASE WHEN g.finish_seconds > 0
                                   THEN g.expires_at + make_interval(secs => g.finish_seconds) END,
               next_attempt_at = p_now
          FROM due WHERE g.id = due.id
        RETURNING g.id, g.ref, g.expires_at
    )
    SELECT array_agg(id), array_agg(ref),
           array_agg(jsonb_build_object('reason', 'expired', 'expires_at', to_char(
               expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
      INTO v_ids, v_refs, v_datas FROM over;
    IF v_ids IS NULL THEN
        RETURN '{}';
    END IF;
    v_patience := current_setting('lock_timeout');
    BEGIN
        -- At once, because nothing follows in this transaction, and a sweep has many entries.
        PERFORM set_config('lock_timeout', '50', true);
        PERFORM audit_append_many('main', p_now, 'grant.revoking', 'system:sweep', NULL, 'grant', v_refs, v_datas);
        PERFORM set_config('lock_timeout', v_patience, true);
    EXCEPTION WHEN OTHERS THEN
        -- An end does not wait for the record: its entries are appended when that takes them again.
        INSERT INTO audit_backlog (at, event, actor, actor_kind, object_type, object_ref, data)
        SELECT p_now, 'grant.revoking', 'system:sweep', 'system', 'grant', e.ref, e.data
          FROM unnest(v_refs, v_datas) AS e (ref, data);
    END;
    RETURN v_ids;
END
$body$;

-- One look at everything that could be due, so that an idle sweep is one round trip and writes nothing.
CREATE FUNCTION sweep_look(p_now timestamptz, p_name text) RETURNS text[] LANGUAGE sql STABLE AS $body$
    SELECT array_remove(ARRAY[
        CASE WHEN NOT EXISTS (SELECT FROM sessions_app_sweeper
            WHERE name = p_name AND seen_at > p_now - interval '5 seconds') THEN 'seen' END,
        CASE WHEN NOT EXISTS (SELECT FROM audit_standing
            WHERE log = 'main' AND incarnation = record_incarnation()) THEN 'standing' END,
        CASE WHEN EXISTS (SELECT FROM audit_backlog) THEN 'record' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE state IN ('scheduled', 'provisioning', 'active') AND expires_at <= p_now) THEN 'ends' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE state = 'active' AND heartbeat_due_at <= p_now) THEN 'silent' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE state IN ('scheduled', 'provisioning') AND starts_at <= p_now
              AND (next_attempt_at IS NULL OR next_attempt_at <= p_now)) THEN 'starts' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE state = 'revoking' AND next_attempt_at <= p_now) THEN 'revocations' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_accessrequest
            WHERE state = 'pending' AND lapses_at <= p_now) THEN 'lapses' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_commandrun
            WHERE state = 'held' AND hold_lapses_at <= p_now) THEN 'holds' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE review_due_at IS NOT NULL AND reviewed_at IS NULL AND review_due_at <= p_now
              AND review_escalated_at IS NULL) THEN 'reviews' END
    ], NULL)
$body$;
"""

CLAIM = """
CREATE FUNCTION claim_revocation(
    p_grant bigint, p_now timestamptz, p_claim interval, p_longest interval,
    p_places integer, p_at_host integer, p_in_doubt integer
) RETURNS boolean LANGUAGE plpgsql AS $body$
DECLARE
    v_cluster bigint;
    v_doubt boolean;
    v_free boolean := true;
BEGIN
    SELECT cluster_id INTO v_cluster FROM sessions_app_grant
     WHERE id = p_grant AND state = 'revoking' AND next_attempt_at <= p_now FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF EXISTS (SELECT FROM sessions_app_lease WHERE grant_id = p_grant AND gone_at IS NULL) THEN
        -- Two workers that count at the same moment would both find the last place free.
        PERFORM pg_advisory_xact_lock(7400000, v_cluster::integer);
        WITH seen AS (
            -- Whoever asks renews its claim, so that one that is not renewed is that of a process that is gone.
            SELECT l.grant_id, l.address, l.port, l.last_error <> '' AS failed,
                   CASE WHEN l.asked_at > p_now - p_longest
                         AND (g.next_attempt_at > p_now OR l.asked_at > p_now - p_claim) THEN l.asked_at END AS asked_at
              FROM sessions_app_lease l JOIN sessions_app_target t ON t.id = l.target_id
                                        JOIN sessions_app_grant g ON g.id = l.grant_id
             WHERE t.cluster_id = v_cluster AND l.gone_at IS NULL
               AND (l.last_error <> '' OR l.asked_at IS NOT NULL) AND l.grant_id <> p_grant
            UNION ALL
            SELECT p_grant, l.address, l.port, l.last_error <> '', NULL
              FROM sessions_app_lease l WHERE l.grant_id = p_grant AND l.gone_at IS NULL
        ), host AS (
            -- A host that failed lately, or has not answered for two seconds, may hang.
            SELECT address, port, count(asked_at) AS asking,
                   coalesce(bool_or(failed OR asked_at <= p_now - interval '2 seconds'), false) AS doubtful
              FROM seen GROUP BY address, port
        ), taken AS (
            SELECT s.grant_id, bool_or(h.doubtful) AS doubtful
              FROM seen s JOIN host h USING (address, port) WHERE s.asked_at IS NOT NULL GROUP BY s.grant_id
        ), mine AS (
            SELECT bool_or(h.doubtful) AS doubtful,
                   bool_and(h.asking < CASE WHEN h.doubtful THEN 1 ELSE p_at_host END) AS free
              FROM seen s JOIN host h USING (address, port) WHERE s.grant_id = p_grant
        )
        SELECT m.doubtful, m.free AND (SELECT count(*) FROM taken t WHERE t.doubtful = m.doubtful)
                                      < CASE WHEN m.doubtful THEN p_in_doubt ELSE p_places END
          INTO v_doubt, v_free FROM mine m;
    END IF;
    IF NOT v_free THEN
        -- Not the first in the line again before those behind it had their turn.
        UPDATE sessions_app_grant SET next_attempt_at = p_now + interval '1 second' WHERE id = p_grant AND v_doubt;
        -- Its own claim has lapsed, so that nobody asks for it any more, whatever a process that is gone left here.
        UPDATE sessions_app_lease SET asked_at = NULL WHERE grant_id = p_grant AND asked_at IS NOT NULL;
        RETURN false;
    END IF;
    UPDATE sessions_app_grant SET attempts = attempts + 1, next_attempt_at = p_now + p_claim WHERE id = p_grant;
    UPDATE sessions_app_lease SET asked_at = p_now WHERE grant_id = p_grant AND gone_at IS NULL;
    RETURN true;
END
$body$;
"""

REMOVE = """
DROP FUNCTION claim_revocation, sweep_look, sweep_due_grants;
"""


class Migration(migrations.Migration):
    """The sweep and the claim."""

    dependencies = [("sessions_app", "0003_announcements"), ("audit", "0002_record")]
    operations = [migrations.RunSQL(ENDS + CLAIM, REMOVE)]
