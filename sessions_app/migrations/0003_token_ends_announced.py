"""The end of a grant's token is announced as the end of a grant is: on the channel ``stint_grant``, in its transaction."""

from __future__ import annotations

from django.db import migrations

ANNOUNCE = """
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
"""

REMOVE = """
DROP TRIGGER stint_credential_changed ON sessions_app_grantcredential;
DROP FUNCTION stint_credential_changed;
"""


class Migration(migrations.Migration):
    """One trigger."""

    dependencies = [("sessions_app", "0002_guards")]
    operations = [migrations.RunSQL(ANNOUNCE, REMOVE)]
