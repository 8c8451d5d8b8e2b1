"""``renew_gateway`` is all that an idle gateway asks each second, so that a hundred of them cost a database next to nothing.

It renews the row, and returns what the gateway must compare with what it holds: the sessions that are open by their rows, the
keys that all gateways share, and how many gateways there are. Nothing waits for the disk: after a crash of the database, a
lease that is a moment older only ends sooner.
"""

from __future__ import annotations

from django.db import migrations

RENEW = """
CREATE FUNCTION renew_gateway(p_name text, p_version text, p_host_key text, p_tls text, p_now timestamptz)
RETURNS TABLE (id bigint, at timestamptz, gateways integer, open jsonb, keys text[]) LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
    v_id bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE sessions_app_gatewaynode
       SET version = p_version, host_key = p_host_key, tls_fingerprint = p_tls, seen_at = p_now, stopped_at = NULL
     WHERE name = p_name RETURNING id INTO v_id;
    IF NOT FOUND THEN
        INSERT INTO sessions_app_gatewaynode AS n (name, version, host_key, tls_fingerprint, started_at, seen_at)
        VALUES (p_name, p_version, p_host_key, p_tls, p_now, p_now)
        ON CONFLICT (name) DO UPDATE SET seen_at = p_now, stopped_at = NULL RETURNING n.id INTO v_id;
    END IF;
    RETURN QUERY SELECT v_id, clock_timestamp(),
        (SELECT count(*)::integer FROM sessions_app_gatewaynode
          WHERE stopped_at IS NULL AND seen_at > p_now - interval '3 seconds'),
        (SELECT jsonb_agg(jsonb_build_array(s.id, s.grant_id, s.proof)) FROM sessions_app_session s
          WHERE s.gateway_id = v_id AND s.closed_at IS NULL),
        (SELECT array_agg(concat(k.fingerprint, k.is_active) ORDER BY k.id) FROM sessions_app_signingkey k
          WHERE k.retired_at IS NULL);
END
$body$
"""


class Migration(migrations.Migration):
    """The renewal of a gateway's lease."""

    dependencies = [("sessions_app", "0015_ends_of_day")]
    operations = [
        migrations.RunSQL(RENEW, "DROP FUNCTION renew_gateway(text, text, text, text, timestamptz)")
    ]
