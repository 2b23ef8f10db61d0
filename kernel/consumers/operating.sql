-- What operators see of consumers, and do to them, as the schema's owner.

-- name: partitions
select c.consumer, c.topic, c.partition, c.next_offset, t.topic_id, h.reason as halted, h.halted_at,
       (select count(*) from parked_records p
        where p.consumer = c.consumer and p.topic = c.topic and p.partition = c.partition) as parked
from consumer_checkpoints c
left join consumer_topics t on t.consumer = c.consumer and t.topic = c.topic
left join consumer_halts h on h.consumer = c.consumer
where $1::text is null or c.consumer = $1
order by c.consumer, c.topic, c.partition

-- name: marks
select partition, source, position, confirmed from consumer_marks
where consumer = $1 and topic = $2 order by partition, source

-- name: set_topic
update consumer_topics set topic_id = $3 where consumer = $1 and topic = $2

-- name: set_offsets
update consumer_checkpoints c set next_offset = new.next_offset
from unnest($3::integer[], $4::bigint[]) new (partition, next_offset)
where c.consumer = $1 and c.topic = $2 and c.partition = new.partition

-- name: set_marks
update consumer_marks m set position = new.position, previous = new.position, confirmed = least(m.confirmed, new.position)
from unnest($3::integer[], $4::text[], $5::bigint[]) new (partition, source, position)
where m.consumer = $1 and m.topic = $2 and m.partition = new.partition and m.source = new.source

-- Parked records of a former topic keep their order, below those of the one there is now.
-- name: move_parked
update parked_records p set "offset" = p."offset" - old.next_offset
from consumer_checkpoints old
where p.consumer = $1 and p.topic = $2
and old.consumer = p.consumer and old.topic = p.topic and old.partition = p.partition

-- name: forget_skips
delete from consumer_skips where consumer = $1 and topic = $2

-- name: forget_watermarks
delete from consumer_watermarks where consumer = $1 and topic = $2

-- name: skip
insert into consumer_skips (consumer, topic, partition, "offset") values ($1, $2, $3, $4) on conflict do nothing

-- name: unpark
delete from parked_records where consumer = $1 and topic = $2 and partition = $3 and "offset" = $4
returning key, headers, value, reason

-- name: unpark_key
delete from parked_keys k where consumer = $1 and topic = $2 and key = $3 and not exists (
    select from parked_records r where r.consumer = k.consumer and r.topic = k.topic and r.key = k.key)

-- name: sources
select w.consumer, w.topic, w.source, count(*) as heard,
       (select count(*) from consumer_checkpoints c where c.consumer = w.consumer and c.topic = w.topic) as partitions,
       max(w.position) as position, extract(epoch from now() - min(w.store_time))::float as age_seconds,
       extract(epoch from now() - max(w.reached_at))::float as silent_seconds
from consumer_watermarks w
where ($1::text is null or w.consumer = $1) and ($2::text is null or w.source = $2)
group by w.consumer, w.topic, w.source order by w.consumer, w.topic, w.source

-- name: forget_source
delete from consumer_watermarks where consumer = $1 and source = $2
returning topic, partition, position, store_time

-- name: act
insert into operator_actions (who, action, about, before, after) values ($1, $2, $3::jsonb, $4::jsonb, $5::jsonb)

-- name: actions
select id, at, who, login, action, about, before, after from operator_actions order by id desc limit $1
