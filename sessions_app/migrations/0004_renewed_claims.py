"""Claims of ends are short and renewed by the process that asks, so that those of a process that is gone lapse soon.

``claim_undo`` gives a grant to one worker for ``p_claim``; no target is waited for longer than ``p_longest``.
"""

from __future__ import annotations

from importlib import import_module

from django.db import migrations

CLAIM = """
DROP FUNCTION claim_undo;
CREATE FUNCTION claim_undo(
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

BEFORE = "DROP FUNCTION claim_undo;" + import_module("sessions_app.migrations.0002_guards").CLAIM


class Migration(migrations.Migration):
    """The claim, renewed."""

    dependencies = [("sessions_app", "0003_token_ends_announced")]
    operations = [migrations.RunSQL(CLAIM, BEFORE)]
