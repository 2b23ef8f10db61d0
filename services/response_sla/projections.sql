-- name: add_conversation
insert into conversations (conversation_id, client_id) values ($1, $2) on conflict do nothing

-- name: state_wait
with superseded as (
    update waits set superseded_by = $1
    where conversation_id = $3 and opening_sequence = $4 and superseded_by is null
)
insert into waits
    (position, recorded_at, conversation_id, opening_sequence, client_id, therapist_id, kind, opened_at, answered_at,
     answered_by, voided_at, void_reason, void_report_id, excluded_by, exclusion_final)
select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15
-- A wait that is withdrawn is superseded by nothing.
where $7::smallint is not null
