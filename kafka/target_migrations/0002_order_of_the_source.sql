-- The source says what is newer, not the order of arrival; a label is no part of what was predicted.

alter table cargo_prediction
    -- When the source committed what the outcome speaks of, and where in its log; null: the message did not say.
    add column if not exists source_time timestamptz,
    add column if not exists source_lsn bigint,
    -- When the source committed the label that the row has now.
    add column if not exists label_at timestamptz,
    -- When the source committed the deletion of the row; its prediction is kept.
    add column if not exists deleted_at timestamptz;

alter table cargo_dead_letter
    -- SHA-256 of the message's key, value and time: the same one read again, wherever it lies by then.
    add column if not exists fingerprint text,
    -- The message as it was, for the time when the topic has forgotten it.
    add column if not exists message_key bytea,
    add column if not exists message_value bytea,
    add column if not exists source_time timestamptz,
    add column if not exists source_lsn bigint,
    add column if not exists deleted_at timestamptz;

update cargo_dead_letter set fingerprint = format('%s/%s@%s', topic, "partition", "offset") where fingerprint is null;
alter table cargo_dead_letter alter column fingerprint set not null;
-- A topic that is made anew begins at offset 0 again.
alter table cargo_dead_letter drop constraint if exists cargo_dead_letter_pkey;
alter table cargo_dead_letter add constraint cargo_dead_letter_pkey primary key (fingerprint);
