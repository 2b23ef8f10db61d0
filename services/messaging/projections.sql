-- name: open_conversation
insert into conversations (conversation_id, client_id, therapist_id, opened_at, last_message_at)
values ($1, $2, $3, $4, $4)

-- name: add_message
insert into messages
    (conversation_id, sequence, message_id, client_id, sender, expects, kind, automatic, sent_at, body_size,
     body_sha256, imported)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)

-- name: count_message
update conversations set message_count = $2, last_message_at = $3 where conversation_id = $1

-- name: withhold
update messages set withheld = $3 where conversation_id = $1 and sequence = any ($2::bigint[])
