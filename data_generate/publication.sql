-- What the source connector receives. Run at each start: a table that was made anew has left the publication.

do $$
declare
    missing text;
begin
    if not exists (select from pg_publication where pubname = 'dbz_cargo') then
        create publication dbz_cargo;
    end if;
    -- The heartbeat is published too: only what the connector receives lets it confirm that the log may go. Without it,
    -- other tables' writes would pile up behind the slot while cargo is idle.
    for missing in
        select name from unnest(array['cargo', 'dbz_heartbeat']) as name
        where to_regclass('public.' || name) not in (
            select prrelid from pg_publication_rel
            join pg_publication on pg_publication.oid = prpubid where pubname = 'dbz_cargo'
        ) and not (select puballtables from pg_publication where pubname = 'dbz_cargo')
    loop
        execute format('alter publication dbz_cargo add table public.%I', missing);
    end loop;
end
$$;
