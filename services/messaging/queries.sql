-- name: conversation
select conversation_id, client_id, therapist_id, opened_at, last_message_at, message_count from conversations
where conversation_id = $1 and $2 in (client_id, therapist_id)

-- name: conversations
select conversation_id, client_id, therapist_id, opened_at, last_message_at, message_count
from (
    (select * from conversations
     where client_id = $1 and ($2::timestamptz is null or (last_message_at, conversation_id) < ($2, $3))
     order by last_message_at desc, conversation_id desc limit $4)
    union all
    (select * from conversations
     where therapist_id = $1 and ($2::timestamptz is null or (last_message_at, conversation_id) < ($2, $3))
     order by last_message_at desc, conversation_id desc limit $4)
) of_either_side
order by last_message_at desc, conversation_id desc limit $4

-- name: messages
select conversation_id, sequence, message_id, sender, expects, kind, automatic, sent_at, body_size, body_sha256, withheld
from messages
where conversation_id = $1 and sequence > $2 and (not withheld or sender = $3) order by sequence limit $4

-- name: sent_since
select conversation_id, array_agg(sequence order by sequence) as sequences from messages
where client_id = $1 and sender = 1 and sent_at >= $2 and not imported and not withheld group by conversation_id

-- name: withheld
select distinct conversation_id from messages where client_id = $1 and withheld and not imported
