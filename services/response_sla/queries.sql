-- name: conversations_of_person
select conversation_id, client_id, therapist_id from conversations where client_id = $1
union
select conversation_id, client_id, therapist_id from conversations where therapist_id = $1
order by conversation_id

-- name: known_now
select position, recorded_at from read_model_checkpoint join facts using (position)

-- name: known_on
(select position, recorded_at from waits where recorded_at <= $1 order by recorded_at desc, position desc limit 1)
union all
(select position, recorded_at from policies where recorded_at <= $1 order by recorded_at desc, position desc limit 1)
order by position desc limit 1

-- name: policies
select version, first_target, next_target, undecided_max, sample_min, return_max, in_force_from
from policies where position <= $1 order by position

-- name: policies_page
select position, version, first_target, next_target, undecided_max, sample_min, return_max, in_force_from
from policies where position > $1 order by position limit $2

-- name: conversations_of_therapist
select conversation_id, client_id, therapist_id from conversations
where (therapist_id = $1 or client_id = $1) and conversation_id > $2 order by conversation_id limit $3

-- name: facts_of_streams
select asked.stream, found.fact from unnest($1::text[]) asked (stream)
cross join lateral (
    select f.version, f.fact from facts_of(asked.stream) f where f.position <= $2 order by f.version
) found

-- name: waits_of_therapists
select therapist_id, opening_sequence, kind, opened_at, answered_at, answered_by, voided_at, void_reason,
    void_report_id, excluded_by, exclusion_final, policy_version, not_owed_at, returns_until, not_owed_spans
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
    void_report_id, excluded_by, exclusion_final, policy_version, not_owed_at, returns_until, not_owed_spans
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
