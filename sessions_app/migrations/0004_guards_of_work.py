"""What the database refuses about work, threads and orders, and how gateways hear of an order.

- Work that is closed stays closed; what it is never changes. The work of a request and of a grant never changes.
- What was said in the thread of a request stays as it was said.
- A new order is announced on the channel ``stint_order`` in the ordering transaction, as its id.
"""

from __future__ import annotations

from django.db import migrations

GUARDS = """
CREATE SEQUENCE sessions_app_workflow_number START 101;

CREATE TRIGGER stint_workflow_never_deleted BEFORE DELETE ON sessions_app_workflow
    FOR EACH ROW EXECUTE FUNCTION stint_refuse('Work is never deleted; close it.');
CREATE TRIGGER stint_workflow_closed BEFORE UPDATE ON sessions_app_workflow FOR EACH ROW
    WHEN (OLD.state = 'closed' AND NEW IS DISTINCT FROM OLD)
    EXECUTE FUNCTION stint_refuse('Work that is closed stays as it is; open new work.');
CREATE TRIGGER stint_workflow_fixed BEFORE UPDATE ON sessions_app_workflow FOR EACH ROW
    WHEN ((OLD.provider, OLD.kind, OLD.ref, OLD.opened_by_id) IS DISTINCT FROM
          (NEW.provider, NEW.kind, NEW.ref, NEW.opened_by_id))
    EXECUTE FUNCTION stint_refuse('What a piece of work is never changes.');

CREATE TRIGGER stint_request_work BEFORE UPDATE ON sessions_app_accessrequest FOR EACH ROW
    WHEN (OLD.workflow_id IS DISTINCT FROM NEW.workflow_id)
    EXECUTE FUNCTION stint_refuse('What a request is for never changes; withdraw it and ask again.');
CREATE TRIGGER stint_grant_work BEFORE UPDATE ON sessions_app_grant FOR EACH ROW
    WHEN (OLD.workflow_id IS DISTINCT FROM NEW.workflow_id)
    EXECUTE FUNCTION stint_refuse('What a grant is for never changes.');

CREATE TRIGGER stint_comment_stays BEFORE UPDATE OR DELETE ON sessions_app_comment
    FOR EACH ROW EXECUTE FUNCTION stint_refuse('What was said in a thread stays.');

CREATE TRIGGER stint_order_fixed BEFORE UPDATE ON sessions_app_commandorder FOR EACH ROW
    WHEN ((OLD.grant_id, OLD.target_id, OLD.line, OLD.asked_by_id) IS DISTINCT FROM
          (NEW.grant_id, NEW.target_id, NEW.line, NEW.asked_by_id)
          OR (OLD.claimed_at IS NOT NULL AND NEW.claimed_at IS DISTINCT FROM OLD.claimed_at))
    EXECUTE FUNCTION stint_refuse('An order is claimed once and stays what it was.');
CREATE FUNCTION stint_order_made() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_notify('stint_order', NEW.id::text);
    RETURN NULL;
END
$body$;
CREATE TRIGGER stint_order_made AFTER INSERT ON sessions_app_commandorder
    FOR EACH ROW EXECUTE FUNCTION stint_order_made();
"""

REMOVE = """
DROP TRIGGER stint_order_made ON sessions_app_commandorder;
DROP FUNCTION stint_order_made;
DROP TRIGGER stint_order_fixed ON sessions_app_commandorder;
DROP TRIGGER stint_comment_stays ON sessions_app_comment;
DROP TRIGGER stint_grant_work ON sessions_app_grant;
DROP TRIGGER stint_request_work ON sessions_app_accessrequest;
DROP TRIGGER stint_workflow_fixed ON sessions_app_workflow;
DROP TRIGGER stint_workflow_closed ON sessions_app_workflow;
DROP TRIGGER stint_workflow_never_deleted ON sessions_app_workflow;
DROP SEQUENCE sessions_app_workflow_number;
"""


class Migration(migrations.Migration):
    """Guards of work, threads and orders."""

    dependencies = [("sessions_app", "0003_workflows_and_pages")]
    operations = [migrations.RunSQL(GUARDS, REMOVE)]
