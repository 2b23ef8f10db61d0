-- name: count_messages
update conversations c set message_count = counted.messages, last_message_at = counted.at
from unnest($1::text[], $2::bigint[], $3::timestamptz[]) counted (conversation_id, messages, at)
where c.conversation_id = counted.conversation_id

-- name: turn_roles
update conversations set
    client_id = $2,
    therapist_id = $3,
    withheld_from_client = case when client_id = $2 then withheld_from_client else withheld_from_therapist end,
    withheld_from_therapist = case when client_id = $2 then withheld_from_therapist else withheld_from_client end
where conversation_id = $1

-- name: withhold
update conversations set
    withheld_from_client = case when client_id = $3 then withheld_from_client else array(
        select unnest(withheld_from_client) union select unnest($2::bigint[]) order by 1) end,
    withheld_from_therapist = case when client_id <> $3 then withheld_from_therapist else array(
        select unnest(withheld_from_therapist) union select unnest($2::bigint[]) order by 1) end
where conversation_id = $1

-- name: restore
update conversations set
    withheld_from_client = case when client_id = $3 then withheld_from_client else array(
        select unnest(withheld_from_client) except select unnest($2::bigint[]) order by 1) end,
    withheld_from_therapist = case when client_id <> $3 then withheld_from_therapist else array(
        select unnest(withheld_from_therapist) except select unnest($2::bigint[]) order by 1) end
where conversation_id = $1
