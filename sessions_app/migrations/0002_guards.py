"""What the database itself refuses.

- Grants and requests move along allowed edges only; what was approved about them, targets and verdicts included,
  never changes; published versions of command sets and documents never change.
- A workflow that is closed stays closed; what it is never changes. The workflow of a request and of a grant never changes.
- What was said in the thread of a request stays as it was said. An order is claimed once.
"""

from __future__ import annotations

from django.db import migrations

GRANTS_AND_REQUESTS = """
CREATE SEQUENCE sessions_app_request_number START 1001;

CREATE FUNCTION stint_refuse() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation', DETAIL = TG_OP || ' on ' || TG_TABLE_NAME;
END
$body$;

-- What is refused stands in WHEN, which costs a sweep next to nothing; the function is called for a refusal alone.
CREATE TRIGGER stint_grant_never_deleted BEFORE DELETE ON sessions_app_grant
    FOR EACH ROW EXECUTE FUNCTION stint_refuse('Grants are never deleted.');
CREATE TRIGGER stint_grant_edges BEFORE UPDATE ON sessions_app_grant FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND NOT (OLD.state || '>' || NEW.state) = ANY (ARRAY[
        'scheduled>provisioning', 'scheduled>revoking', 'scheduled>ended',
        'provisioning>active', 'provisioning>revoking', 'active>revoking', 'revoking>ended']))
    EXECUTE FUNCTION stint_refuse('A grant can''t go that way between states.');
CREATE TRIGGER stint_grant_versions BEFORE UPDATE ON sessions_app_grant FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND NEW.version <= OLD.version)
    EXECUTE FUNCTION stint_refuse('A change of state needs a new version.');
CREATE TRIGGER stint_grant_over BEFORE UPDATE ON sessions_app_grant FOR EACH ROW
    WHEN (OLD.state IN ('revoking', 'ended') AND NEW.expires_at > OLD.expires_at)
    EXECUTE FUNCTION stint_refuse('A grant that is over can''t be extended.');
CREATE TRIGGER stint_grant_fixed BEFORE UPDATE ON sessions_app_grant FOR EACH ROW
    WHEN ((OLD.ref, OLD.request_id, OLD.holder_id, OLD.cluster_id, OLD.policy_id, OLD.command_set_version_id,
           OLD.parameters, OLD.commands, OLD.mark, OLD.starts_at, OLD.break_glass, OLD.finish_seconds)
          IS DISTINCT FROM
          (NEW.ref, NEW.request_id, NEW.holder_id, NEW.cluster_id, NEW.policy_id, NEW.command_set_version_id,
           NEW.parameters, NEW.commands, NEW.mark, NEW.starts_at, NEW.break_glass, NEW.finish_seconds))
    EXECUTE FUNCTION stint_refuse('What was approved about a grant never changes.');
CREATE TRIGGER stint_grant_reason BEFORE UPDATE ON sessions_app_grant FOR EACH ROW
    WHEN (OLD.end_reason <> '' AND NEW.end_reason <> OLD.end_reason)
    EXECUTE FUNCTION stint_refuse('The reason of an end never changes.');

CREATE FUNCTION stint_guard_request() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Requests are never deleted.' USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.state <> 'pending' AND NEW.state <> OLD.state THEN
        RAISE EXCEPTION 'A request that is % stays so.', OLD.state USING ERRCODE = 'check_violation';
    END IF;
    IF (OLD.number, OLD.kind, OLD.requester_id, OLD.cluster_id, OLD.policy_id, OLD.command_set_version_id,
        OLD.parameters, OLD.targets, OLD.duration, OLD.digest, OLD.policy_version, OLD.reason, OLD.ticket)
       IS DISTINCT FROM
       (NEW.number, NEW.kind, NEW.requester_id, NEW.cluster_id, NEW.policy_id, NEW.command_set_version_id,
        NEW.parameters, NEW.targets, NEW.duration, NEW.digest, NEW.policy_version, NEW.reason, NEW.ticket)
       OR OLD.starts_at IS DISTINCT FROM NEW.starts_at OR OLD.extends_id IS DISTINCT FROM NEW.extends_id THEN
        RAISE EXCEPTION 'What was asked for never changes; withdraw the request and ask again.'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER stint_guard_request BEFORE UPDATE OR DELETE ON sessions_app_accessrequest
    FOR EACH ROW EXECUTE FUNCTION stint_guard_request();

-- The targets of a grant are written while it is made; verdicts can be voided, and nothing else.
CREATE FUNCTION stint_guard_grant_target() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF (SELECT state FROM sessions_app_grant WHERE id = NEW.grant_id) <> 'scheduled' THEN
        RAISE EXCEPTION 'What was approved about a grant never changes.' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER stint_grant_target_made BEFORE INSERT ON sessions_app_grant_targets
    FOR EACH ROW EXECUTE FUNCTION stint_guard_grant_target();
CREATE TRIGGER stint_grant_target_stays BEFORE UPDATE OR DELETE ON sessions_app_grant_targets
    FOR EACH ROW EXECUTE FUNCTION stint_refuse('What was approved about a grant never changes.');
CREATE TRIGGER stint_approval_never_deleted BEFORE DELETE ON sessions_app_approval
    FOR EACH ROW EXECUTE FUNCTION stint_refuse('Verdicts are never deleted.');
CREATE TRIGGER stint_approval_fixed BEFORE UPDATE ON sessions_app_approval FOR EACH ROW
    WHEN ((OLD.request_id, OLD.approver_id, OLD.verdict, OLD.digest, OLD.narrowing, OLD.comment, OLD.created_at)
          IS DISTINCT FROM
          (NEW.request_id, NEW.approver_id, NEW.verdict, NEW.digest, NEW.narrowing, NEW.comment, NEW.created_at)
          OR (OLD.voided_at IS NOT NULL AND NEW.voided_at IS DISTINCT FROM OLD.voided_at))
    EXECUTE FUNCTION stint_refuse('A verdict stays as it was given; it can be voided.');

CREATE FUNCTION stint_guard_version() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF OLD.published_at IS NOT NULL AND (TG_OP = 'DELETE' OR NEW IS DISTINCT FROM OLD) THEN
        RAISE EXCEPTION 'A published version of a command set never changes; make a new version.'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$body$;
CREATE TRIGGER stint_guard_version BEFORE UPDATE OR DELETE ON sessions_app_commandsetversion
    FOR EACH ROW EXECUTE FUNCTION stint_guard_version();

CREATE TRIGGER stint_grant_parent_fixed BEFORE UPDATE ON sessions_app_grant FOR EACH ROW
    WHEN ((OLD.parent_id, OLD.heartbeat_seconds) IS DISTINCT FROM (NEW.parent_id, NEW.heartbeat_seconds))
    EXECUTE FUNCTION stint_refuse('What was approved about a grant never changes.');
CREATE TRIGGER stint_request_parent_fixed BEFORE UPDATE ON sessions_app_accessrequest FOR EACH ROW
    WHEN (OLD.parent_id IS DISTINCT FROM NEW.parent_id)
    EXECUTE FUNCTION stint_refuse('What was asked for never changes; withdraw the request and ask again.');
"""

WORKFLOWS = """
CREATE SEQUENCE sessions_app_workflow_number START 101;

CREATE TRIGGER stint_workflow_never_deleted BEFORE DELETE ON sessions_app_workflow
    FOR EACH ROW EXECUTE FUNCTION stint_refuse('A workflow is never deleted; close it.');
CREATE TRIGGER stint_workflow_closed BEFORE UPDATE ON sessions_app_workflow FOR EACH ROW
    WHEN (OLD.state = 'closed' AND NEW IS DISTINCT FROM OLD)
    EXECUTE FUNCTION stint_refuse('A closed workflow never changes; open a new one.');
CREATE TRIGGER stint_workflow_fixed BEFORE UPDATE ON sessions_app_workflow FOR EACH ROW
    WHEN ((OLD.provider, OLD.kind, OLD.ref, OLD.opened_by_id, OLD.source_id, OLD.outside_id) IS DISTINCT FROM
          (NEW.provider, NEW.kind, NEW.ref, NEW.opened_by_id, NEW.source_id, NEW.outside_id))
    EXECUTE FUNCTION stint_refuse('What a workflow is never changes.');

CREATE TRIGGER stint_request_workflow BEFORE UPDATE ON sessions_app_accessrequest FOR EACH ROW
    WHEN (OLD.workflow_id IS DISTINCT FROM NEW.workflow_id)
    EXECUTE FUNCTION stint_refuse('The workflow of a request never changes; withdraw it and ask again.');
CREATE TRIGGER stint_grant_workflow BEFORE UPDATE ON sessions_app_grant FOR EACH ROW
    WHEN (OLD.workflow_id IS DISTINCT FROM NEW.workflow_id)
    EXECUTE FUNCTION stint_refuse('The workflow of a grant never changes.');

CREATE TRIGGER stint_comment_stays BEFORE UPDATE OR DELETE ON sessions_app_comment
    FOR EACH ROW EXECUTE FUNCTION stint_refuse('What was said in a thread stays.');

CREATE TRIGGER stint_order_fixed BEFORE UPDATE ON sessions_app_commandorder FOR EACH ROW
    WHEN ((OLD.grant_id, OLD.target_id, OLD.line, OLD.asked_by_id) IS DISTINCT FROM
          (NEW.grant_id, NEW.target_id, NEW.line, NEW.asked_by_id)
          OR (OLD.claimed_at IS NOT NULL AND NEW.claimed_at IS DISTINCT FROM OLD.claimed_at))
    EXECUTE FUNCTION stint_refuse('An order is claimed once and stays what it was.');
"""

DOCUMENTS = """
CREATE TRIGGER stint_document_version_fixed BEFORE UPDATE OR DELETE ON sessions_app_documentversion
    FOR EACH ROW EXECUTE FUNCTION stint_refuse('What the catalogue said never changes; apply a new version.');
CREATE TRIGGER stint_document_version_kept BEFORE TRUNCATE ON sessions_app_documentversion
    FOR EACH STATEMENT EXECUTE FUNCTION stint_refuse('What the catalogue said never changes; apply a new version.');
"""

REMOVE = """
DROP TRIGGER stint_document_version_kept ON sessions_app_documentversion;
DROP TRIGGER stint_document_version_fixed ON sessions_app_documentversion;
DROP TRIGGER stint_order_fixed ON sessions_app_commandorder;
DROP TRIGGER stint_comment_stays ON sessions_app_comment;
DROP TRIGGER stint_grant_workflow ON sessions_app_grant;
DROP TRIGGER stint_request_workflow ON sessions_app_accessrequest;
DROP TRIGGER stint_workflow_fixed ON sessions_app_workflow;
DROP TRIGGER stint_workflow_closed ON sessions_app_workflow;
DROP TRIGGER stint_workflow_never_deleted ON sessions_app_workflow;
DROP TRIGGER stint_request_parent_fixed ON sessions_app_accessrequest;
DROP TRIGGER stint_grant_parent_fixed ON sessions_app_grant;
DROP TRIGGER stint_guard_version ON sessions_app_commandsetversion;
DROP TRIGGER stint_approval_fixed ON sessions_app_approval;
DROP TRIGGER stint_approval_never_deleted ON sessions_app_approval;
DROP TRIGGER stint_grant_target_stays ON sessions_app_grant_targets;
DROP TRIGGER stint_grant_target_made ON sessions_app_grant_targets;
DROP TRIGGER stint_guard_request ON sessions_app_accessrequest;
DROP TRIGGER stint_grant_reason ON sessions_app_grant;
DROP TRIGGER stint_grant_fixed ON sessions_app_grant;
DROP TRIGGER stint_grant_over ON sessions_app_grant;
DROP TRIGGER stint_grant_versions ON sessions_app_grant;
DROP TRIGGER stint_grant_edges ON sessions_app_grant;
DROP TRIGGER stint_grant_never_deleted ON sessions_app_grant;
DROP FUNCTION stint_guard_version, stint_guard_grant_target, stint_guard_request, stint_refuse;
DROP SEQUENCE sessions_app_request_number;
DROP SEQUENCE sessions_app_workflow_number;
"""


class Migration(migrations.Migration):
    """Guards."""

    dependencies = [("sessions_app", "0001_initial")]
    operations = [migrations.RunSQL(GRANTS_AND_REQUESTS + WORKFLOWS + DOCUMENTS, REMOVE)]
