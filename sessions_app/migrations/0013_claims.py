"""When a host last answered and last did not, and places for ends by it.

``claim_revocation`` is as before, but:

- A host is in doubt only if it has not answered since it last failed, or since an ask that is silent for two seconds began.
- A grant whose targets were asked before (a retry) counts only other retries, which have half of the places. So retries keep no
  end that is due now from being asked for, and the other way round.
- Who finds no place at a host in doubt tries again after 250 ms; those far behind in the line, after at most a second.
"""

from __future__ import annotations

from django.db import migrations, models
from django.db.models import Q

CLAIM = """
CREATE OR REPLACE FUNCTION claim_revocation(
    p_grant bigint, p_now timestamptz, p_claim interval, p_longest interval,
    p_places integer, p_at_host integer, p_in_doubt integer
) RETURNS boolean LANGUAGE plpgsql AS $body$
DECLARE
    v_cluster bigint;
    v_since timestamptz;
    v_retry boolean;
    v_doubt boolean;
    v_free boolean := true;
    v_ahead integer;
BEGIN
    SELECT cluster_id, revoking_at INTO v_cluster, v_since FROM sessions_app_grant
     WHERE id = p_grant AND state = 'revoking' AND next_attempt_at <= p_now FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT bool_or(answered_at IS NOT NULL OR failed_at IS NOT NULL) INTO v_retry
      FROM sessions_app_lease WHERE grant_id = p_grant AND gone_at IS NULL;
    IF v_retry THEN
        p_places := (p_places + 1) / 2;
        p_at_host := (p_at_host + 1) / 2;
        p_in_doubt := (p_in_doubt + 1) / 2;
    END IF;
    IF v_retry IS NOT NULL THEN
        -- Two workers that count at the same moment would both find the last place free.
        PERFORM pg_advisory_xact_lock(7400000, v_cluster::integer);
        WITH seen AS (
            -- Whoever asks renews its claim, so that one that is not renewed is that of a process that is gone.
            SELECT l.grant_id, l.address, l.port, l.failed_at, l.answered_at IS NOT NULL OR l.failed_at IS NOT NULL AS retry,
                   CASE WHEN l.asked_at > p_now - p_longest
                         AND (g.next_attempt_at > p_now OR l.asked_at > p_now - p_claim) THEN l.asked_at END AS asked_at
              FROM sessions_app_lease l JOIN sessions_app_target t ON t.id = l.target_id
                                        JOIN sessions_app_grant g ON g.id = l.grant_id
             WHERE t.cluster_id = v_cluster AND l.gone_at IS NULL
               AND (l.failed_at IS NOT NULL OR l.asked_at IS NOT NULL) AND l.grant_id <> p_grant
            UNION ALL
            SELECT p_grant, l.address, l.port, l.failed_at, NULL, NULL
              FROM sessions_app_lease l WHERE l.grant_id = p_grant AND l.gone_at IS NULL
        ), host AS (
            SELECT address, port, count(asked_at) FILTER (WHERE retry = v_retry) AS asking,
                   greatest(max(failed_at), max(asked_at) FILTER (WHERE asked_at <= p_now - interval '2 seconds')) AS silent_at
              FROM seen GROUP BY address, port
        ), known AS (
            SELECT address, port, asking, CASE WHEN silent_at IS NULL THEN false ELSE silent_at > coalesce(
                       (SELECT max(a.answered_at) FROM sessions_app_lease a
                         WHERE a.address = host.address AND a.port = host.port), '-infinity') END AS doubtful
              FROM host
        ), taken AS (
            SELECT s.grant_id, bool_or(k.doubtful) AS doubtful FROM seen s JOIN known k USING (address, port)
             WHERE s.asked_at IS NOT NULL AND s.retry = v_retry GROUP BY s.grant_id
        ), mine AS (
            SELECT bool_or(k.doubtful) AS doubtful,
                   bool_and(k.asking < CASE WHEN k.doubtful THEN 1 ELSE p_at_host END) AS free
              FROM seen s JOIN known k USING (address, port) WHERE s.grant_id = p_grant
        )
        SELECT m.doubtful, m.free AND (SELECT count(*) FROM taken t WHERE t.doubtful = m.doubtful)
                   < CASE WHEN m.doubtful THEN p_in_doubt ELSE p_places END
          INTO v_doubt, v_free FROM mine m;
    END IF;
    IF NOT v_free THEN
        IF v_doubt THEN
            -- Not the first in the line again before those behind it had their turn. Many must not ask all the time.
            SELECT count(*) INTO v_ahead FROM (
                SELECT FROM sessions_app_grant g JOIN sessions_app_lease l ON l.grant_id = g.id
                 WHERE g.state = 'revoking' AND g.next_attempt_at <= p_now + interval '1 second' AND g.cluster_id = v_cluster
                   AND (g.revoking_at, g.id) < (v_since, p_grant) AND l.gone_at IS NULL
                   AND (l.answered_at IS NOT NULL OR l.failed_at IS NOT NULL) = v_retry
                   AND (l.address, l.port) IN (SELECT o.address, o.port FROM sessions_app_lease o
                                                WHERE o.grant_id = p_grant AND o.gone_at IS NULL)
                 LIMIT 24) AS line;
            UPDATE sessions_app_grant SET next_attempt_at = p_now + interval '250 milliseconds' * (1 + v_ahead / 8) WHERE id = p_grant;
        END IF;
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


class Migration(migrations.Migration):
    """Doubt about a host ends with its next answer."""

    dependencies = [("sessions_app", "0012_end_intents")]
    operations = [
        migrations.AddField("lease", "answered_at", models.DateTimeField(null=True, blank=True)),
        migrations.AddField("lease", "failed_at", models.DateTimeField(null=True, blank=True)),
        migrations.RemoveIndex("lease", "lease_asked_or_failing"),
        migrations.AddIndex(
            "lease",
            models.Index(
                fields=["target"],
                condition=Q(gone_at__isnull=True) & (Q(failed_at__isnull=False) | Q(asked_at__isnull=False)),
                name="lease_asked_or_failing",
            ),
        ),
        migrations.AddIndex(
            "lease",
            models.Index(
                fields=["address", "port", "answered_at"],
                condition=Q(answered_at__isnull=False),
                name="lease_answered",
            ),
        ),
        migrations.RunSQL(CLAIM, migrations.RunSQL.noop),
    ]
