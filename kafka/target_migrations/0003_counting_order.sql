-- Predictions and labels are counted in the order in which this database was told of them, whatever clocks say.

alter table cargo_prediction
    -- The transactions that wrote the prediction and the label; null: before there was this order.
    add column if not exists written_by xid8,
    add column if not exists labelled_by xid8;
alter table cargo_prediction alter column written_by set default pg_current_xact_id();

create index if not exists cargo_prediction_written on cargo_prediction (written_by, id) where written_by is not null;
create index if not exists cargo_prediction_labelled on cargo_prediction (labelled_by, id)
    where labelled_by is not null;

-- How far the drift monitor has counted: two rows, each written together with what was found.
create table if not exists drift_progress (
    counted text primary key check (counted in ('predictions', 'labels')),
    transaction xid8 not null,
    id bigint not null
);
drop table if exists drift_cursor;
