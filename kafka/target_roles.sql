-- What each service's role may do in the target database, and nothing more. May be run again and again.

-- Before PostgreSQL 15 everybody could make tables.
revoke create on schema public from public;
grant usage on schema public to sinkuser, reconcileruser, writeruser, monitoruser, adapteruser, dashboardreader;

-- The sink connector writes the replica, and so does the reconciler where it steps in for it.
grant select, insert, update, delete on cargo to sinkuser, reconcileruser;

-- The subscriber stores outcomes; one that replaces another removes it.
grant select, insert, update, delete on cargo_prediction, cargo_dead_letter to writeruser;
grant select, insert, update, delete on cargo_prediction_embedding to writeruser;

-- The drift monitor reads predictions and their embeddings, and writes what it finds.
grant select on cargo_prediction, cargo_prediction_embedding to monitoruser;
grant select, insert, update on drift, drift_alarm, drift_progress to monitoruser;

-- The adapter reads alarms, labelled rows and their embeddings, and writes what its training runs came to.
grant select on cargo_prediction, cargo_prediction_embedding, drift_alarm to adapteruser;
grant select, insert, update on adaptation to adapteruser;

-- Dashboards read, and do nothing else.
alter role dashboardreader set default_transaction_read_only = on;
-- Panels ask anew every second; a slow statement must end before many of them pile up.
alter role dashboardreader set statement_timeout = '5s';
grant select on cargo, cargo_prediction, cargo_dead_letter, cargo_prediction_embedding to dashboardreader;
grant select on drift, drift_alarm, adaptation to dashboardreader;
