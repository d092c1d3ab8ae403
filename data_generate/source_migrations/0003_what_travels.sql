-- What leaves the table has a size, and whatever goes from it is told.

-- Every row that Kafka could not carry stops all that come after it. Rows from before are left alone.
alter table cargo drop constraint if exists cargo_dataset_is_short;
alter table cargo add constraint cargo_dataset_is_short check (length(dataset) <= 255) not valid;

-- A truncation says of no row that it is gone; deletions do. It takes as long as they take.
create or replace function delete_before_truncate() returns trigger language plpgsql as $$
begin
    execute format('delete from %I.%I', tg_table_schema, tg_table_name);
    return null;
end
$$;
create or replace trigger cargo_truncate before truncate on cargo
    for each statement execute function delete_before_truncate();
