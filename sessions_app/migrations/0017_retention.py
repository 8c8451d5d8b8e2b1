"""Deletes what is older than the installation keeps it, and refuses every other deletion as before.

``stint_purge_grants`` and ``stint_purge_requests`` are the only way. They look at each row themselves, so that who may call them
can delete nothing that is live, unproven, to be reviewed, needed by another row, or over for less than ninety days. The record
keeps every entry, and references of grants are never used again.
"""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Q

from broker.audit.migrations._schema import run

# A setting that anybody can make is not enough: only in a function of the owner's does a caller have the owner's name.
PURGING = """
CREATE FUNCTION {schema}.stint_purging() RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $body$
    SELECT coalesce(current_setting('stint.purge', true), '') = 'on' AND current_user = (
        SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = '{schema}.sessions_app_grant'::regclass)
$body$;

CREATE FUNCTION {schema}.stint_begin_purge(p_before timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF NOT has_table_privilege(session_user, '{schema}.sessions_app_grant', 'UPDATE') THEN
        RAISE EXCEPTION '% may not purge.', session_user USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF p_before IS NULL OR p_before > now() - interval '90 days' THEN
        RAISE EXCEPTION 'What ended within the last ninety days is not purged.' USING ERRCODE = 'check_violation';
    END IF;
    PERFORM set_config('stint.purge', 'on', true);
END
$body$;
REVOKE ALL ON FUNCTION {schema}.stint_begin_purge FROM PUBLIC;

CREATE FUNCTION {schema}.stint_delete_requests(p_requests bigint[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $body$
    DELETE FROM {schema}.sessions_app_notice WHERE request_id = ANY (p_requests);
    DELETE FROM {schema}.sessions_app_escalation WHERE request_id = ANY (p_requests);
    DELETE FROM {schema}.sessions_app_approval WHERE request_id = ANY (p_requests);
    DELETE FROM {schema}.sessions_app_comment WHERE request_id = ANY (p_requests);
    DELETE FROM {schema}.sessions_app_accessrequest WHERE id = ANY (p_requests);
$body$;
REVOKE ALL ON FUNCTION {schema}.stint_delete_requests FROM PUBLIC;
"""

GUARDS = """
DROP TRIGGER stint_grant_never_deleted ON {schema}.sessions_app_grant;
CREATE TRIGGER stint_grant_never_deleted BEFORE DELETE ON {schema}.sessions_app_grant
    FOR EACH ROW WHEN (NOT {schema}.stint_purging())
    EXECUTE FUNCTION {schema}.stint_refuse('Grants are never deleted.');
DROP TRIGGER stint_guard_request ON {schema}.sessions_app_accessrequest;
CREATE TRIGGER stint_guard_request BEFORE UPDATE ON {schema}.sessions_app_accessrequest
    FOR EACH ROW EXECUTE FUNCTION {schema}.stint_guard_request();
CREATE TRIGGER stint_request_never_deleted BEFORE DELETE ON {schema}.sessions_app_accessrequest
    FOR EACH ROW WHEN (NOT {schema}.stint_purging())
    EXECUTE FUNCTION {schema}.stint_refuse('Requests are never deleted.');
DROP TRIGGER stint_grant_target_stays ON {schema}.sessions_app_grant_targets;
CREATE TRIGGER stint_grant_target_stays BEFORE UPDATE ON {schema}.sessions_app_grant_targets
    FOR EACH ROW EXECUTE FUNCTION {schema}.stint_refuse('What was approved about a grant never changes.');
CREATE TRIGGER stint_grant_target_never_deleted BEFORE DELETE ON {schema}.sessions_app_grant_targets
    FOR EACH ROW WHEN (NOT {schema}.stint_purging())
    EXECUTE FUNCTION {schema}.stint_refuse('What was approved about a grant never changes.');
DROP TRIGGER stint_approval_never_deleted ON {schema}.sessions_app_approval;
CREATE TRIGGER stint_approval_never_deleted BEFORE DELETE ON {schema}.sessions_app_approval
    FOR EACH ROW WHEN (NOT {schema}.stint_purging())
    EXECUTE FUNCTION {schema}.stint_refuse('Verdicts are never deleted.');
DROP TRIGGER stint_comment_stays ON {schema}.sessions_app_comment;
CREATE TRIGGER stint_comment_stays BEFORE UPDATE ON {schema}.sessions_app_comment
    FOR EACH ROW EXECUTE FUNCTION {schema}.stint_refuse('What was said in a thread stays.');
CREATE TRIGGER stint_comment_never_deleted BEFORE DELETE ON {schema}.sessions_app_comment
    FOR EACH ROW WHEN (NOT {schema}.stint_purging())
    EXECUTE FUNCTION {schema}.stint_refuse('What was said in a thread stays.');
"""

GRANTS = """
CREATE FUNCTION {schema}.stint_purge_grants(p_before timestamptz, p_most integer)
RETURNS TABLE (ref text, request integer, ended_at timestamptz, runs bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    v_grants bigint[];
    v_runs bigint[];
    v_requests bigint[];
BEGIN
    PERFORM {schema}.stint_begin_purge(p_before);
    SELECT array_agg(old.id) INTO v_grants FROM (
        SELECT g.id FROM {schema}.sessions_app_grant g
         WHERE g.state = 'ended' AND g.ended_at < p_before
           AND (g.review_due_at IS NULL OR g.reviewed_at IS NOT NULL)
           AND NOT EXISTS (SELECT FROM {schema}.sessions_app_lease l WHERE l.grant_id = g.id AND l.gone_at IS NULL)
           AND NOT EXISTS (SELECT FROM {schema}.sessions_app_session s WHERE s.grant_id = g.id AND s.closed_at IS NULL)
           AND NOT EXISTS (SELECT FROM {schema}.sessions_app_grant c WHERE c.parent_id = g.id)
           AND NOT EXISTS (SELECT FROM {schema}.sessions_app_accessrequest r WHERE r.parent_id = g.id)
           AND NOT EXISTS (SELECT FROM {schema}.sessions_app_accessrequest r
                            WHERE r.extends_id = g.id AND r.state = 'pending')
           AND NOT EXISTS (SELECT FROM {schema}.sessions_app_endintent i WHERE i.grant_id = g.id)
           AND NOT EXISTS (SELECT FROM {schema}.sessions_app_commandrun r
                            LEFT JOIN {schema}.sessions_app_storedrecording k ON k.run_id = r.id
                            WHERE r.grant_id = g.id AND (r.recording_bytes > 0 OR k.run_id IS NOT NULL))
         ORDER BY g.ended_at LIMIT p_most FOR NO KEY UPDATE OF g SKIP LOCKED) old;
    IF v_grants IS NULL THEN
        PERFORM set_config('stint.purge', '', true);
        RETURN;
    END IF;
    RETURN QUERY
        SELECT g.ref::text, r.number, g.ended_at,
               (SELECT count(*) FROM {schema}.sessions_app_commandrun c WHERE c.grant_id = g.id)
          FROM {schema}.sessions_app_grant g JOIN {schema}.sessions_app_accessrequest r ON r.id = g.request_id
         WHERE g.id = ANY (v_grants) ORDER BY g.ended_at;
    SELECT coalesce(array_agg(c.id), '{}') INTO v_runs
      FROM {schema}.sessions_app_commandrun c WHERE c.grant_id = ANY (v_grants);
    SELECT array_agg(g.request_id) INTO v_requests FROM {schema}.sessions_app_grant g WHERE g.id = ANY (v_grants);
    INSERT INTO {schema}.sessions_app_purgedgrant (ref)
        SELECT g.ref FROM {schema}.sessions_app_grant g WHERE g.id = ANY (v_grants);
    DELETE FROM {schema}.sessions_app_notice n WHERE n.grant_id = ANY (v_grants) OR n.run_id = ANY (v_runs);
    DELETE FROM {schema}.sessions_app_escalation e WHERE e.grant_id = ANY (v_grants) OR e.run_id = ANY (v_runs);
    DELETE FROM {schema}.sessions_app_readstatement s WHERE s.run_id = ANY (v_runs);
    DELETE FROM {schema}.sessions_app_requestcount c WHERE c.run_id = ANY (v_runs);
    DELETE FROM {schema}.sessions_app_commandorder o WHERE o.grant_id = ANY (v_grants);
    DELETE FROM {schema}.sessions_app_commandrun c WHERE c.id = ANY (v_runs);
    DELETE FROM {schema}.sessions_app_session s WHERE s.grant_id = ANY (v_grants);
    DELETE FROM {schema}.sessions_app_grantcredential c WHERE c.grant_id = ANY (v_grants);
    DELETE FROM {schema}.sessions_app_lease l WHERE l.grant_id = ANY (v_grants);
    DELETE FROM {schema}.sessions_app_grant_targets t WHERE t.grant_id = ANY (v_grants);
    PERFORM {schema}.stint_delete_requests(ARRAY(
        SELECT r.id FROM {schema}.sessions_app_accessrequest r WHERE r.extends_id = ANY (v_grants)));
    DELETE FROM {schema}.sessions_app_grant g WHERE g.id = ANY (v_grants);
    PERFORM {schema}.stint_delete_requests(v_requests);
    PERFORM set_config('stint.purge', '', true);
END
$body$;
"""

# Requests that were never granted. Those to extend a grant go with it.
REQUESTS = """
CREATE FUNCTION {schema}.stint_purge_requests(p_before timestamptz, p_most integer)
RETURNS TABLE (number integer, state text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    v_requests bigint[];
BEGIN
    PERFORM {schema}.stint_begin_purge(p_before);
    SELECT array_agg(old.id) INTO v_requests FROM (
        SELECT r.id FROM {schema}.sessions_app_accessrequest r
         WHERE r.state IN ('denied', 'lapsed', 'withdrawn') AND r.extends_id IS NULL AND r.created_at < p_before
           AND coalesce(r.decided_at, r.lapses_at) < p_before
           AND NOT EXISTS (SELECT FROM {schema}.sessions_app_grant g WHERE g.request_id = r.id)
         ORDER BY r.created_at LIMIT p_most FOR NO KEY UPDATE OF r SKIP LOCKED) old;
    RETURN QUERY
        SELECT r.number, r.state::text FROM {schema}.sessions_app_accessrequest r
         WHERE r.id = ANY (v_requests) ORDER BY r.created_at;
    PERFORM {schema}.stint_delete_requests(v_requests);
    PERFORM set_config('stint.purge', '', true);
END
$body$;
"""


def install(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Make the functions, and the guards that let them through."""
    run(editor, PURGING, GUARDS, GRANTS, REQUESTS)


class Migration(migrations.Migration):
    """Retention of grants and requests."""

    dependencies = [("sessions_app", "0016_renewals")]

    operations = [
        migrations.CreateModel(
            name="PurgedGrant",
            fields=[("ref", models.CharField(max_length=16, primary_key=True, serialize=False))],
            options={"default_permissions": ()},
        ),
        migrations.AddIndex(
            model_name="accessrequest",
            index=models.Index(
                fields=["parent"], condition=Q(parent__isnull=False), name="request_of_parent"
            ),
        ),
        migrations.RunPython(install),
    ]
