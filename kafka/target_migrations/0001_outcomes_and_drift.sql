-- The target database's first tables.

-- The replica of the source table, written by the sink connector.
create table if not exists cargo (
    id bigint primary key,
    "timestamp" timestamptz not null,
    dataset text not null,
    image_path varchar(255) not null,
    target int
);

-- One row for each source row that was predicted.
create table if not exists cargo_prediction (
    id bigint primary key,
    "timestamp" timestamptz not null,
    dataset text not null,
    image_path varchar(255) not null,
    target int not null,
    label int,
    confidence double precision not null,
    model_version text not null,
    predicted_at timestamptz not null default now()
);

create index if not exists cargo_prediction_timestamp on cargo_prediction ("timestamp");
create index if not exists cargo_prediction_predicted_at on cargo_prediction (predicted_at);

-- One row for each message that could not be predicted; id where the message could be read that far.
create table if not exists cargo_dead_letter (
    topic text not null,
    "partition" int not null,
    "offset" bigint not null,
    id bigint,
    reason text not null,
    recorded_at timestamptz not null default now(),
    primary key (topic, "partition", "offset")
);

-- The same row may reach the topic twice; it is one dead letter all the same.
create unique index if not exists cargo_dead_letter_id on cargo_dead_letter (id) where id is not null;
create index if not exists cargo_dead_letter_recorded_at on cargo_dead_letter (recorded_at);

-- What the network made of a predicted picture, for the last rows: training, judging and drift read it instead of
-- decoding the picture again. No row where the model gives no embedding.
do $$
begin
    if to_regclass('cargo_prediction_embedding') is null then
        create table cargo_prediction_embedding (
            id bigint primary key,
            -- SHA-256 of the file's bytes, in hexadecimal.
            content text not null,
            -- Names network, precision, preprocessing and libraries; common/pictures/embeddings.py.
            method text not null,
            -- 1280 little-endian float16.
            embedding bytea not null
        );
        -- In the row itself: such numbers cannot be compressed, and a table of large values would only add to them.
        alter table cargo_prediction_embedding alter column embedding set storage plain;
    end if;
end
$$;

-- One row for each look of a detector at the last predictions of one model version.
create table if not exists drift (
    model_version text not null,
    -- `confidence`: score = mean of 1 - confidence; `accuracy`: share of wrong classes; `mmd`: squared maximum mean discrepancy.
    detector text not null check (detector in ('confidence', 'accuracy', 'mmd')),
    window_first_id bigint not null,
    window_last_id bigint not null,
    window_size int not null,
    score double precision not null,
    -- The reference's own score, and what is too much; null where the model brought nothing to compare with.
    usual double precision,
    threshold double precision,
    alarm boolean not null,
    checked_at timestamptz not null default now(),
    primary key (model_version, detector, window_last_id)
);

create index if not exists drift_checked_at on drift (checked_at);

-- One row for each episode of drift; it is open until ended_at.
create table if not exists drift_alarm (
    id bigint generated always as identity primary key,
    detector text not null check (detector in ('confidence', 'accuracy')),
    model_version text not null,
    -- The window at the alarm.
    first_id bigint not null,
    last_id bigint not null,
    score double precision not null,
    threshold double precision not null,
    began_at timestamptz not null default now(),
    ended_at timestamptz,
    end_reason text,
    evidence jsonb not null default '{}'
);

create unique index if not exists drift_alarm_open on drift_alarm (model_version, detector) where ended_at is null;
create index if not exists drift_alarm_began_at on drift_alarm (began_at);

-- How far the drift monitor has counted: one row, written together with what it found.
create table if not exists drift_cursor (
    one boolean primary key default true check (one),
    predicted_at timestamptz not null,
    id bigint not null
);

-- One row for each alarm that a training run answers; the run writes its steps here.
create table if not exists adaptation (
    id bigint generated always as identity primary key,
    alarm_id bigint not null unique references drift_alarm,
    state text not null check (state in ('collecting', 'training', 'judging', 'promoted', 'rejected', 'failed')),
    -- How often the run was begun: one that was cut off is tried again.
    attempts int not null default 1,
    champion_version text not null,
    -- Null until it is registered.
    challenger_version text,
    strategy text not null,
    -- Of the drifted period, to train on and to judge by; while the run collects, those there are so far.
    images int,
    -- So many are collected, unless the stream brings no new ones any more.
    wanted int,
    reason text,
    -- The figures that it was judged by.
    gate jsonb,
    began_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    finished_at timestamptz,
    -- Seconds that each finished step took.
    steps jsonb not null default '{}'
);

-- A table from before they existed. Only then: `alter table` waits for everyone who reads, even with nothing to do.
do $$
begin
    if not exists (
        select from information_schema.columns
        where table_schema = current_schema() and table_name = 'adaptation' and column_name = 'steps'
    ) then
        alter table adaptation add column wanted int, add column steps jsonb not null default '{}';
    end if;
end
$$;

create index if not exists adaptation_finished_at on adaptation (finished_at);
