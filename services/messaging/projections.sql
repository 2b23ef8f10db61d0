-- name: count_messages
update conversations c set message_count = counted.messages, last_message_at = counted.at
from unnest($1::text[], $2::bigint[], $3::timestamptz[]) counted (conversation_id, messages, at)
where c.conversation_id = counted.conversation_id

-- name: turn_roles
update conversations set client_id = $2, therapist_id = $3 where conversation_id = $1

-- name: withhold
update conversations set withheld = array(select unnest(withheld) union select unnest($2::bigint[]) order by 1)
where conversation_id = $1

-- name: restore
update conversations set withheld = array(select unnest(withheld) except select unnest($2::bigint[]) order by 1)
where conversation_id = $1
