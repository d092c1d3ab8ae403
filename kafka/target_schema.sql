-- The target database's tables. May be run again and again: nothing is dropped or emptied.

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

-- Dashboards read as a role that can do nothing else. Where the tables' owner may not create roles, an administrator
-- creates it beforehand, with a password of their own.
do $$
begin
    if not exists (select from pg_roles where rolname = 'dashboardreader')
        and exists (select from pg_roles where rolname = current_user and (rolcreaterole or rolsuper))
    then
        create role dashboardreader login password 'dashboardreaderpassword';
        alter role dashboardreader set default_transaction_read_only = on;
        -- Panels ask anew every second; a slow statement must end before many of them pile up.
        alter role dashboardreader set statement_timeout = '5s';
    end if;
    if exists (select from pg_roles where rolname = 'dashboardreader') then
        execute format('grant usage on schema %I to dashboardreader', current_schema());
        grant select on cargo, cargo_prediction, cargo_dead_letter to dashboardreader;
    end if;
end
$$;
