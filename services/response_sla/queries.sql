-- name: conversations_of_person
select conversation_id, client_id, therapist_id from conversations where client_id = $1
union
select conversation_id, client_id, therapist_id from conversations where therapist_id = $1
order by conversation_id

-- name: known_now
select position, recorded_at from read_model_checkpoint join facts using (position)

-- name: known_on
select position, recorded_at from waits where recorded_at <= $1 order by recorded_at desc, position desc limit 1

-- name: waits_of_therapists
select therapist_id, opening_sequence, kind, opened_at, answered_at, answered_by, voided_at, void_reason,
    void_report_id, excluded_by, exclusion_final
from waits
where therapist_id = any ($1::text[]) and opened_at >= $2 and opened_at < $3 and opened_at <= $4
  and position <= $5 and (superseded_by is null or superseded_by > $5)
order by therapist_id

-- name: therapists
select distinct therapist_id from waits
where opened_at >= $1 and opened_at < $2 and opened_at <= $3
  and position <= $4 and (superseded_by is null or superseded_by > $4) and therapist_id > $5
order by therapist_id limit $6

-- name: waits
select conversation_id, client_id, opening_sequence, kind, opened_at, answered_at, answered_by, voided_at, void_reason,
    void_report_id, excluded_by, exclusion_final
from waits
where therapist_id = $1 and opened_at >= $2 and opened_at < $3 and opened_at <= $4
  and position <= $5 and (superseded_by is null or superseded_by > $5)
  and ($6::smallint = 0 or kind = $6)
  and ($7::timestamptz is null or (opened_at, conversation_id, opening_sequence) > ($7, $8::text, $9::bigint))
order by opened_at, conversation_id, opening_sequence limit $10

-- name: inputs
with sources as (
    select distinct consumer, topic, source from consumer_watermarks
), expected as (
    select c.consumer, c.topic, c.partition, s.source
    from consumer_checkpoints c left join sources s on s.consumer = c.consumer and s.topic = c.topic
    where c.consumer = any ($1::text[])
)
select e.consumer, e.topic, coalesce(e.source, '') as source, coalesce(min(coalesce(w.position, 0)), 0) as position,
    case when bool_and(w.position is not null) then min(w.store_time) end as reached
from expected e
left join consumer_watermarks w
    on w.consumer = e.consumer and w.topic = e.topic and w.partition = e.partition and w.source = e.source
group by 1, 2, 3 order by 1, 2, 3
