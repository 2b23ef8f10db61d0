-- name: add_conversations
-- The last to be told of counts, however facts are paged.
insert into conversations as c (conversation_id, client_id, therapist_id)
select * from unnest($1::text[], $2::text[], $3::text[])
on conflict (conversation_id) do update set client_id = excluded.client_id, therapist_id = excluded.therapist_id
where (c.client_id, c.therapist_id) <> (excluded.client_id, excluded.therapist_id)

-- name: supersede
-- Each row of these waits holds until the next statement of its wait, which need not be a row: a withdrawal is none.
with stated as (
    select * from unnest($1::bigint[], $2::text[], $3::bigint[]) s (position, conversation_id, opening_sequence)
), superseded as (
    select w.position, min(s.position) as by
    from stated s join waits w using (conversation_id, opening_sequence)
    where w.superseded_by is null and w.position < s.position
    group by w.position
)
update waits w set superseded_by = superseded.by from superseded where w.position = superseded.position
