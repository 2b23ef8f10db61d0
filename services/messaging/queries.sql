-- name: conversation
select conversation_id, client_id, therapist_id, opened_at, last_message_at, message_count, withheld from conversations
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

-- name: facts_after
select version, fact from facts_of($1) where version > $2 order by version limit $3

-- name: facts_before
select version, fact from facts_of($1) where version < $2 order by version desc limit $3

-- name: of_client
select conversation_id from conversations where client_id = $1

-- name: withheld
select conversation_id from conversations where client_id = $1 and cardinality(withheld) > 0
