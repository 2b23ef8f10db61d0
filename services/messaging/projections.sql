-- name: count_messages
update conversations c set message_count = counted.messages, last_message_at = counted.at
from unnest($1::text[], $2::bigint[], $3::timestamptz[]) counted (conversation_id, messages, at)
where c.conversation_id = counted.conversation_id

-- name: withhold
update messages set withheld = $3 where conversation_id = $1 and sequence = any ($2::bigint[])
