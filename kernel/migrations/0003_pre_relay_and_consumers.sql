-- What the relay and the consumers of foreign facts remember.

-- The epoch is a part of the source that the relay puts on every record. Only the schema's owner raises it.
create table store_identity (
    singleton boolean primary key default true check (singleton),
    epoch     integer not null check (epoch > 0)
);
insert into store_identity (epoch) values (1);

-- Everything up to this position has been acknowledged by Kafka. In an epoch above the restated one, the state of every
-- subject up to it has still to be stated anew.
create table relay_checkpoint (
    singleton      boolean primary key default true check (singleton),
    position       bigint  not null,
    restated_epoch integer not null default 1
);
insert into relay_checkpoint (position) values (0);

-- Where a consumer stands in each partition. The row, locked for a batch, is the fence between processes; it is the
-- truth, and the offset that Kafka holds for the group only a hint.
create table consumer_checkpoints (
    consumer    text    not null,
    topic       text    not null,
    partition   integer not null,
    next_offset bigint  not null,
    primary key (consumer, topic, partition)
);

-- Kafka's id of each topic that the checkpoints were taken on. A topic made anew has another one.
create table consumer_topics (
    consumer text not null,
    topic    text not null,
    topic_id uuid not null,
    primary key (consumer, topic)
);

-- The last position taken of each source. What is not above it was sent twice; but what lies between it and the one
-- taken before it cannot have been, so one of the three is false. `confirmed`: a former position, taken while the topic
-- was known to be the one of consumer_topics.
create table consumer_marks (
    consumer  text    not null,
    topic     text    not null,
    partition integer not null,
    source    text    not null,
    position  bigint  not null,
    previous  bigint  not null,
    confirmed bigint  not null default 0,
    primary key (consumer, topic, partition, source)
);

-- Records that an operator has a consumer pass over.
create table consumer_skips (
    consumer  text    not null,
    topic     text    not null,
    partition integer not null,
    "offset"  bigint  not null,
    primary key (consumer, topic, partition, "offset")
);

-- Consumers that do not go on before a person has looked.
create table consumer_halts (
    consumer  text        primary key,
    reason    text        not null,
    halted_at timestamptz not null default now()
);

-- What operators did to this schema by command, and what was there before and after.
create table operator_actions (
    id     bigint      generated always as identity primary key,
    at     timestamptz not null default now(),
    login  text        not null default session_user,
    who    text        not null,
    action text        not null,
    about  jsonb       not null,
    before jsonb       not null,
    after  jsonb       not null
);

-- Since when a consumer takes, or passes over, each fact type.
create table consumer_listings (
    consumer  text        not null,
    fact_type text        not null,
    handled   boolean     not null,
    since     timestamptz not null,
    primary key (consumer, fact_type)
);

-- A key that waits for an operator: its records are kept, in order, until a redrive has run them all.
create table parked_keys (
    consumer             text        not null,
    topic                text        not null,
    key                  bytea       not null,
    partition            integer     not null,
    parked_at            timestamptz not null default now(),
    redrive_requested_at timestamptz,
    primary key (consumer, topic, key)
);

create table parked_records (
    consumer  text        not null,
    topic     text        not null,
    partition integer     not null,
    "offset"  bigint      not null,
    key       bytea       not null,
    source    text,
    position  bigint,
    headers   bytea[]     not null, -- name, value, name, value
    value     bytea,
    reason    text        not null,
    parked_at timestamptz not null default now(),
    primary key (consumer, topic, partition, "offset"),
    foreign key (consumer, topic, key) references parked_keys
);
create index parked_records_by_key on parked_records (consumer, topic, key, "offset");

-- The last watermark of each source that the consumer has reached in each partition.
create table consumer_watermarks (
    consumer   text        not null,
    topic      text        not null,
    partition  integer     not null,
    source     text        not null,
    position   bigint      not null,
    store_time timestamptz not null,
    reached_at timestamptz not null,
    primary key (consumer, topic, partition, source)
);

-- The fence: keeps other processes out of these partitions until the transaction ends, and tells where they stand, in the
-- order they were asked for. `mark_of` holds a mark's place among them, from 1.
create function lock_partitions(
    reader     text,
    topics     text[],
    partitions integer[],
    out next_offsets   bigint[],
    out mark_of        integer[],
    out mark_sources   text[],
    out mark_positions bigint[],
    out mark_previous  bigint[],
    out has_parked     boolean,
    out has_skips      boolean
)
language plpgsql
set search_path from current
as $$
begin
    -- In order, so that two processes never wait for each other's rows.
    perform from consumer_checkpoints c
    where c.consumer = reader and (c.topic, c.partition) in (select * from unnest(topics, partitions))
    order by c.topic, c.partition for update;
    -- Statements of their own: their snapshots see what was committed while the rows were waited for.
    next_offsets := array(
        select c.next_offset
        from unnest(topics, partitions) with ordinality asked (topic, partition, place)
        join consumer_checkpoints c on c.consumer = reader and c.topic = asked.topic and c.partition = asked.partition
        order by asked.place);
    select coalesce(array_agg(asked.place), '{}'), coalesce(array_agg(m.source), '{}'),
           coalesce(array_agg(m.position), '{}'), coalesce(array_agg(m.previous), '{}')
    into mark_of, mark_sources, mark_positions, mark_previous
    from unnest(topics, partitions) with ordinality asked (topic, partition, place)
    join consumer_marks m on m.consumer = reader and m.topic = asked.topic and m.partition = asked.partition;
    has_parked := exists (select from parked_keys k where k.consumer = reader);
    has_skips := exists (select from consumer_skips s where s.consumer = reader);
end
$$;

revoke all on function lock_partitions from public;
grant execute on function lock_partitions to {service}_api;
grant select on store_identity to {service}_api, {service}_reader;
grant select, update on relay_checkpoint to {service}_reader;
grant select, insert, update on consumer_checkpoints, consumer_marks, consumer_listings, consumer_topics
to {service}_api;
grant select, insert, update, delete on consumer_halts to {service}_api;
grant select, delete on consumer_skips to {service}_api;
grant select, insert, update, delete on parked_keys, parked_records, consumer_watermarks to {service}_api;
grant select on consumer_checkpoints, consumer_marks, consumer_listings, consumer_topics to {service}_reader;
grant select on consumer_skips, consumer_halts, operator_actions to {service}_reader;
grant select on parked_keys, parked_records, consumer_watermarks to {service}_reader;
