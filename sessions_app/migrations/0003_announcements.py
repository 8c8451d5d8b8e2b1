"""What the database announces, in the changing transaction, so that listeners hear it without any other part being up.

- ``stint_grant``: the ids of grants whose state, deadlines or tokens changed, separated by spaces.
- ``stint_order``: the id of a new order. ``stint_notice``: the ids of new notices.
"""

from __future__ import annotations

from django.db import migrations

ANNOUNCE = """
CREATE FUNCTION stint_announce(p_channel text, p_ids bigint[]) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    -- A payload holds 8,000 bytes, so 400 ids of 19 digits fit.
    FOR i IN 0..(coalesce(cardinality(p_ids), 0) - 1) / 400 LOOP
        EXIT WHEN p_ids IS NULL;
        PERFORM pg_notify(p_channel, array_to_string(p_ids[i * 400 + 1:i * 400 + 400], ' '));
    END LOOP;
END
$body$;

CREATE FUNCTION stint_grant_changed() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM stint_announce('stint_grant', (
        SELECT array_agg(n.id) FROM new_rows n JOIN old_rows o ON o.id = n.id
         WHERE n.state <> o.state OR n.expires_at <> o.expires_at
            OR n.finish_until IS DISTINCT FROM o.finish_until));
    RETURN NULL;
END
$body$;
CREATE TRIGGER stint_grant_changed AFTER UPDATE ON sessions_app_grant
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION stint_grant_changed();

CREATE FUNCTION stint_grant_made() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM stint_announce('stint_grant', (SELECT array_agg(n.id) FROM new_rows n));
    RETURN NULL;
END
$body$;
CREATE TRIGGER stint_grant_made AFTER INSERT ON sessions_app_grant
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION stint_grant_made();

CREATE FUNCTION stint_credential_changed() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM stint_announce('stint_grant', (
        SELECT array_agg(DISTINCT n.grant_id) FROM new_rows n JOIN old_rows o ON o.id = n.id
         WHERE n.revoked_at IS DISTINCT FROM o.revoked_at OR n.expires_at IS DISTINCT FROM o.expires_at));
    RETURN NULL;
END
$body$;
CREATE TRIGGER stint_credential_changed AFTER UPDATE ON sessions_app_grantcredential
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION stint_credential_changed();

CREATE FUNCTION stint_order_made() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_notify('stint_order', NEW.id::text);
    RETURN NULL;
END
$body$;
CREATE TRIGGER stint_order_made AFTER INSERT ON sessions_app_commandorder
    FOR EACH ROW EXECUTE FUNCTION stint_order_made();

CREATE FUNCTION stint_notice_made() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM stint_announce('stint_notice', (SELECT array_agg(n.id) FROM new_rows n));
    RETURN NULL;
END
$body$;
CREATE TRIGGER stint_notice_made AFTER INSERT ON sessions_app_notice
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION stint_notice_made();
"""

REMOVE = """
DROP TRIGGER stint_notice_made ON sessions_app_notice;
DROP TRIGGER stint_order_made ON sessions_app_commandorder;
DROP TRIGGER stint_credential_changed ON sessions_app_grantcredential;
DROP TRIGGER stint_grant_made ON sessions_app_grant;
DROP TRIGGER stint_grant_changed ON sessions_app_grant;
DROP FUNCTION stint_notice_made, stint_order_made, stint_credential_changed, stint_grant_made, stint_grant_changed,
    stint_announce;
"""


class Migration(migrations.Migration):
    """Announcements."""

    dependencies = [("sessions_app", "0002_guards")]
    operations = [migrations.RunSQL(ANNOUNCE, REMOVE)]
