-- What each service's role may do in the source database, and nothing more. May be run again and again.

-- Before PostgreSQL 15 everybody could make tables.
revoke create on schema public from public;
grant usage on schema public to generatoruser, cdcuser, traineruser;

-- The generator adds rows and notes what it has loaded; it deletes none, and changes nothing of a row but its label.
grant select, insert on cargo, cargo_load, iris_data to generatoruser;
grant update (target) on cargo to generatoruser;
grant select, insert, delete on cargo_label_due to generatoruser;
-- It says what came of a command; it asks for none.
grant select, update (state, result, settled_at) on generator_command to generatoruser;
grant usage on sequence cargo_id_seq, iris_data_id_seq to generatoruser;

-- The source connector copies the table, reads the log (its attribute `replication`), and gives a sign of life.
grant select on cargo, dbz_heartbeat to cdcuser;
grant insert, update on dbz_heartbeat to cdcuser;

-- The trainer reads what is labelled.
grant select on cargo to traineruser;
