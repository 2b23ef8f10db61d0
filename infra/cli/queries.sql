-- What operators look at in a service's own schema, as its reader.

-- name: store
select (select epoch from store_identity) as epoch,
       (select coalesce(max(position), 0) from facts) as head,
       (select position from relay_checkpoint) as relayed,
       (select recorded_at from facts where position = (select position + 1 from relay_checkpoint)) as unsent_since,
       now() as now

-- name: read_model
select position, definition from read_model_checkpoint

-- name: stream
select position, stream, version, recorded_at, fact from facts_of($1)
where version > $2 order by version limit $3

-- name: next_offsets
select consumer, topic, partition, next_offset from consumer_checkpoints order by consumer, topic, partition

-- name: parked_keys
select consumer, count(*) as keys from parked_keys group by consumer

-- name: redrives
select consumer, topic, key from parked_keys where redrive_requested_at is not null

-- name: facts_from
select position, version, fact from facts where position > $1 and position <= $2 order by position limit $3

-- name: gate_copies
select subject, source, epoch, version from gate_copies where source like $1 and source_type = any ($2::text[])
