-- What each service's role may do in the target database, and nothing more. May be run again and again.
-- The role that dashboards read as is in target_schema.sql.

-- Before PostgreSQL 15 everybody could make tables.
revoke create on schema public from public;
grant usage on schema public to sinkuser, reconcileruser, writeruser;

-- The sink connector writes the replica, and so does the reconciler where it steps in for it.
grant select, insert, update on cargo to sinkuser, reconcileruser;

-- The subscriber stores outcomes; one that replaces another removes it.
grant select, insert, update, delete on cargo_prediction, cargo_dead_letter to writeruser;
