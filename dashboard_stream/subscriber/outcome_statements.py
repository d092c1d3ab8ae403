"""SQL by which outcomes are stored. What is newer in the source wins, whoever writes first."""

# Until the end of the transaction nobody else decides about these rows: two tables share one outcome.
LOCK_ROWS = "select pg_advisory_xact_lock(id) from (select id from unnest(%s::bigint[]) as id order by id) as ordered"

# A message that does not say when it was committed is older than all that do.
IS_NEWER = "(stored.source_time is null or (new.source_time, new.source_lsn) > (stored.source_time, stored.source_lsn))"
IS_OLDER = (
    "(stored.source_time is not null and (new.source_time is null"
    " or (new.source_time, new.source_lsn) < (stored.source_time, stored.source_lsn)))"
)

# Labels are counted in the order in which they are written.
LABELLED_BY = "case when {0}.label is not null then pg_current_xact_id() end"

# Which rows need no model: their picture has its prediction, or something newer is known about them.
SELECT_KNOWN = f"""
select new.id from (values %s) as new (id, dataset, image_path, source_time, source_lsn)
join cargo_prediction stored on stored.id = new.id
where (stored.dataset, stored.image_path) = (new.dataset, new.image_path) or {IS_OLDER}
"""
# Cast in parentheses: -9223372036854775808::bigint is the minus of a number that is too large.
SELECT_KNOWN_TYPES = "((%s)::bigint, %s, %s, %s::timestamptz, %s::bigint)"

# A label comes late, is corrected or taken back; the prediction stays as it was made.
LABEL = f"""
update cargo_prediction stored set
    "timestamp" = new."timestamp",
    label = new.label,
    label_at = case when stored.label is distinct from new.label then coalesce(new.source_time, now())
        else stored.label_at end,
    labelled_by = case when stored.label is distinct from new.label then {LABELLED_BY.format("new")}
        else stored.labelled_by end,
    source_time = new.source_time, source_lsn = new.source_lsn, deleted_at = null
from (values %s) as new (id, "timestamp", dataset, image_path, label, source_time, source_lsn)
where stored.id = new.id and (stored.dataset, stored.image_path) = (new.dataset, new.image_path) and {IS_NEWER}
"""
LABEL_TYPES = "((%s)::bigint, %s::timestamptz, %s, %s, (%s)::int, %s::timestamptz, %s::bigint)"

# A dead letter of the same commit is one whose message was read again: now there is a prediction.
DROP_LETTERS = f"""
delete from cargo_dead_letter stored using (values %s) as new (id, source_time, source_lsn)
where stored.id = new.id and not {IS_OLDER}
"""
POSITION_TYPES = "((%s)::bigint, %s::timestamptz, %s::bigint)"

# A dead letter that is left by now is newer.
UPSERT = f"""
insert into cargo_prediction as stored
    (id, "timestamp", dataset, image_path, target, label, confidence, model_version, predicted_at, source_time,
    source_lsn, label_at, labelled_by)
select *, {LABELLED_BY.format("new")} from (values %s) as new
    (id, "timestamp", dataset, image_path, target, label, confidence, model_version, predicted_at, source_time,
    source_lsn, label_at)
where not exists (select from cargo_dead_letter letter where letter.id = new.id)
on conflict (id) do update set
    "timestamp" = excluded."timestamp", dataset = excluded.dataset, image_path = excluded.image_path,
    target = excluded.target, label = excluded.label, confidence = excluded.confidence,
    model_version = excluded.model_version, predicted_at = excluded.predicted_at, source_time = excluded.source_time,
    source_lsn = excluded.source_lsn, label_at = excluded.label_at, deleted_at = null,
    written_by = pg_current_xact_id(), labelled_by = excluded.labelled_by
where (stored.dataset, stored.image_path) is distinct from (excluded.dataset, excluded.image_path)
    and {IS_NEWER.replace("new.", "excluded.")}
returning id
"""
UPSERT_TYPES = (
    "((%s)::bigint, %s::timestamptz, %s, %s, (%s)::int, (%s)::int, %s::double precision, %s, %s::timestamptz,"
    " %s::timestamptz, %s::bigint, %s::timestamptz)"
)

UPSERT_EMBEDDINGS = """
insert into cargo_prediction_embedding (id, content, method, embedding) values %s
on conflict (id) do update set
    content = excluded.content, method = excluded.method, embedding = excluded.embedding
"""

PRUNE_EMBEDDINGS = """
delete from cargo_prediction_embedding
where id <= (select id from cargo_prediction_embedding order by id desc limit 1 offset %s)
"""

MARK_DELETED = """
update {table} stored set
    deleted_at = coalesce(new.source_time, now()), source_time = new.source_time, source_lsn = new.source_lsn
from (values %s) as new (id, source_time, source_lsn) where stored.id = new.id and {newer}
"""

# Which letters are news: not recorded yet, and nothing newer known about their row, nor a prediction of its picture.
SELECT_NEW = f"""
select new.fingerprint
from (values %s) as new (fingerprint, id, dataset, image_path, source_time, source_lsn)
where not exists (select from cargo_dead_letter stored where stored.fingerprint = new.fingerprint)
    and not exists (select from cargo_dead_letter stored where stored.id = new.id and {IS_OLDER})
    and not exists (
        select from cargo_prediction stored where stored.id = new.id
            and ((stored.dataset, stored.image_path) = (new.dataset, new.image_path) or {IS_OLDER})
    )
"""
SELECT_NEW_TYPES = "(%s, (%s)::bigint, %s, %s, %s::timestamptz, %s::bigint)"

# The id of an unreadable message is a guess: it is recorded only where the row has no other outcome.
RECORD = """
insert into cargo_dead_letter
    (fingerprint, topic, "partition", "offset", id, reason, message_key, message_value, source_time, source_lsn)
select new.fingerprint, new.topic, new.part, new.off,
    case when not exists (select from cargo_prediction where id = new.id)
        and not exists (select from cargo_dead_letter where id = new.id) then new.id end,
    new.reason, new.message_key, new.message_value, new.source_time, new.source_lsn
from (values %s) as new
    (fingerprint, topic, part, off, id, reason, message_key, message_value, source_time, source_lsn)
on conflict do nothing
"""
RECORD_TYPES = "(%s, %s, (%s)::int, (%s)::bigint, (%s)::bigint, %s, %s::bytea, %s::bytea, %s::timestamptz, %s::bigint)"
