"""What the database itself refuses, announces and sweeps.

- Grants and requests move along allowed edges only; what was approved about them, targets and verdicts included,
  never changes; published versions of command sets never change.
- Each change of a grant's state or deadlines is announced on the channel ``stint_grant`` in the changing transaction,
  as ids separated by spaces, so that gateways hear it without any other part being up.
- ``sweep_due_grants`` moves the grants whose time is over to REVOKING and records that, in one call.
- ``claim_undo`` gives a grant to the one worker that carries its end out on targets, if they may be asked now.
- Work that is closed stays closed; what it is never changes. The work of a request and of a grant never changes.
- What was said in the thread of a request stays as it was said.
- A new order is announced on the channel ``stint_order`` in the ordering transaction, as its id.
- New notices are announced on the channel ``stint_notice`` in the telling transaction, as ids separated by spaces.
- ``stint_requests_allowed`` writes down many allowed requests in one call.
"""

from __future__ import annotations

from django.db import migrations

GUARDS = """
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
           OLD.parameters, OLD.commands, OLD.token, OLD.starts_at, OLD.break_glass, OLD.finish_seconds)
          IS DISTINCT FROM
          (NEW.ref, NEW.request_id, NEW.holder_id, NEW.cluster_id, NEW.policy_id, NEW.command_set_version_id,
           NEW.parameters, NEW.commands, NEW.token, NEW.starts_at, NEW.break_glass, NEW.finish_seconds))
    EXECUTE FUNCTION stint_refuse('What was approved about a grant never changes.');
CREATE TRIGGER stint_grant_reason BEFORE UPDATE ON sessions_app_grant FOR EACH ROW
    WHEN (OLD.end_reason <> '' AND NEW.end_reason <> OLD.end_reason)
    EXECUTE FUNCTION stint_refuse('The reason of an end never changes.');

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

SWEEP = """
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
         ORDER BY expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED
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
        PERFORM set_config('lock_timeout', '1000', true);
        PERFORM audit_append_many('main', p_now, 'grant.revoking', 'system:sweep', 'grant', v_refs, v_datas);
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
        CASE WHEN EXISTS (SELECT FROM audit_backlog) THEN 'record' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE state IN ('scheduled', 'provisioning', 'active') AND expires_at <= p_now) THEN 'ends' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE state = 'active' AND beat_before <= p_now) THEN 'silent' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE state IN ('scheduled', 'provisioning') AND starts_at <= p_now
              AND (next_attempt_at IS NULL OR next_attempt_at <= p_now)) THEN 'starts' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE state = 'revoking' AND next_attempt_at <= p_now) THEN 'undo' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_accessrequest
            WHERE state = 'pending' AND lapses_at <= p_now) THEN 'lapses' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_commandrun
            WHERE state = 'held' AND hold_lapses_at <= p_now) THEN 'holds' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE break_glass AND reviewed_at IS NULL AND review_due_at <= p_now
              AND review_escalated_at IS NULL) THEN 'reviews' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_notice
            WHERE mailed_at IS NULL AND next_attempt_at IS NOT NULL AND next_attempt_at <= p_now) THEN 'notices' END
    ], NULL)
$body$;
"""

CLAIM = """
CREATE FUNCTION claim_undo(
    p_grant bigint, p_now timestamptz, p_claim interval, p_places integer, p_at_host integer, p_in_doubt integer
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
            SELECT l.grant_id, l.address, l.port, l.last_error <> '' AS failed, l.asked_at
              FROM sessions_app_lease l JOIN sessions_app_target t ON t.id = l.target_id
             WHERE t.cluster_id = v_cluster AND l.gone_at IS NULL
               AND (l.last_error <> '' OR l.asked_at IS NOT NULL) AND l.grant_id <> p_grant
            UNION ALL
            SELECT p_grant, l.address, l.port, l.last_error <> '', NULL
              FROM sessions_app_lease l WHERE l.grant_id = p_grant AND l.gone_at IS NULL
        ), host AS (
            -- A host that failed lately, or has not answered for two seconds, may hang.
            SELECT address, port, count(*) FILTER (WHERE asked_at > p_now - p_claim) AS asking,
                   coalesce(bool_or(failed OR (asked_at > p_now - p_claim AND asked_at <= p_now - interval '2 seconds')),
                            false) AS doubtful
              FROM seen GROUP BY address, port
        ), taken AS (
            SELECT s.grant_id, bool_or(h.doubtful) AS doubtful
              FROM seen s JOIN host h USING (address, port) WHERE s.asked_at > p_now - p_claim GROUP BY s.grant_id
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
        RETURN false;
    END IF;
    UPDATE sessions_app_grant SET attempts = attempts + 1, next_attempt_at = p_now + p_claim WHERE id = p_grant;
    UPDATE sessions_app_lease SET asked_at = p_now WHERE grant_id = p_grant AND gone_at IS NULL;
    RETURN true;
END
$body$;
"""

WORK = """
CREATE SEQUENCE sessions_app_workflow_number START 101;

CREATE TRIGGER stint_workflow_never_deleted BEFORE DELETE ON sessions_app_workflow
    FOR EACH ROW EXECUTE FUNCTION stint_refuse('Work is never deleted; close it.');
CREATE TRIGGER stint_workflow_closed BEFORE UPDATE ON sessions_app_workflow FOR EACH ROW
    WHEN (OLD.state = 'closed' AND NEW IS DISTINCT FROM OLD)
    EXECUTE FUNCTION stint_refuse('Work that is closed stays as it is; open new work.');
CREATE TRIGGER stint_workflow_fixed BEFORE UPDATE ON sessions_app_workflow FOR EACH ROW
    WHEN ((OLD.provider, OLD.kind, OLD.ref, OLD.opened_by_id, OLD.source_id, OLD.outside_id) IS DISTINCT FROM
          (NEW.provider, NEW.kind, NEW.ref, NEW.opened_by_id, NEW.source_id, NEW.outside_id))
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

NOTICES = """
CREATE FUNCTION stint_notice_made() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM stint_announce('stint_notice', (SELECT array_agg(n.id) FROM new_rows n));
    RETURN NULL;
END
$body$;
CREATE TRIGGER stint_notice_made AFTER INSERT ON sessions_app_notice
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION stint_notice_made();
"""

REQUESTS = """
CREATE FUNCTION stint_requests_allowed(p_now timestamptz, p_event text, p_actor text, p_rows jsonb) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
    v_refs text[];
    v_datas jsonb[];
BEGIN
    WITH r AS MATERIALIZED (
        SELECT nextval(pg_get_serial_sequence('sessions_app_commandrun', 'id')) AS id, x.*
          FROM jsonb_to_recordset(p_rows) AS x (
              grant_id bigint, session_id bigint, target_id bigint, ref text, holder text, target text, line text,
              argv jsonb, command integer, effect text, times integer, first_at timestamptz, last_at timestamptz)
    ), run AS (
        INSERT INTO sessions_app_commandrun (id, grant_id, session_id, target_id, line, argv, command_index, effect, state,
            reason, tried_at, started_at, ended_at, signal, recording, recording_digest, output_bytes)
        SELECT id, grant_id, session_id, target_id, line, argv, command, effect, 'done', '', first_at, first_at, last_at,
               '', '', '', 0 FROM r
    ), counted AS (
        INSERT INTO sessions_app_requestcount (run_id, times, last_at) SELECT id, times, last_at FROM r
    )
    SELECT array_agg(ref ORDER BY id),
           array_agg(jsonb_build_object('run', id, 'session', session_id, 'target', target, 'holder', holder,
               'argv', argv, 'index', command, 'times', times, 'first_at', first_at, 'last_at', last_at) ORDER BY id)
      INTO v_refs, v_datas FROM r;
    PERFORM audit_append_many('main', p_now, p_event, p_actor, 'grant', v_refs, v_datas);
END
$body$;
"""

# In SQL, because Django names this operator class only with an application of its own for PostgreSQL.
TICKETS = """
CREATE INDEX request_of_ticket ON sessions_app_accessrequest (upper(ticket) text_pattern_ops) WHERE ticket <> '';
"""

REMOVE = """
DROP TRIGGER stint_grant_parent_fixed ON sessions_app_grant;
DROP TRIGGER stint_request_parent_fixed ON sessions_app_accessrequest;
DROP INDEX request_of_ticket;
DROP FUNCTION stint_requests_allowed;
DROP TRIGGER stint_notice_made ON sessions_app_notice;
DROP FUNCTION stint_notice_made;
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
DROP FUNCTION claim_undo;
DROP FUNCTION sweep_look, sweep_due_grants;
DROP TRIGGER stint_guard_version ON sessions_app_commandsetversion;
DROP TRIGGER stint_approval_fixed ON sessions_app_approval;
DROP TRIGGER stint_approval_never_deleted ON sessions_app_approval;
DROP TRIGGER stint_grant_target_stays ON sessions_app_grant_targets;
DROP TRIGGER stint_grant_target_made ON sessions_app_grant_targets;
DROP TRIGGER stint_guard_request ON sessions_app_accessrequest;
DROP TRIGGER stint_grant_made ON sessions_app_grant;
DROP TRIGGER stint_grant_changed ON sessions_app_grant;
DROP TRIGGER stint_grant_never_deleted ON sessions_app_grant;
DROP TRIGGER stint_grant_edges ON sessions_app_grant;
DROP TRIGGER stint_grant_versions ON sessions_app_grant;
DROP TRIGGER stint_grant_over ON sessions_app_grant;
DROP TRIGGER stint_grant_fixed ON sessions_app_grant;
DROP TRIGGER stint_grant_reason ON sessions_app_grant;
DROP FUNCTION stint_guard_grant_target, stint_guard_version, stint_guard_request, stint_grant_made, stint_grant_changed, stint_refuse;
DROP FUNCTION stint_announce;
DROP SEQUENCE sessions_app_request_number;
"""


class Migration(migrations.Migration):
    """Guards, announcements, the sweep and the claim."""

    dependencies = [("sessions_app", "0001_initial"), ("audit", "0002_auditbacklog")]
    operations = [migrations.RunSQL(GUARDS + SWEEP + CLAIM + WORK + NOTICES + REQUESTS + TICKETS, REMOVE)]
