-- name: conversation
select * from conversations
where conversation_id = $1
  and ((client_id = $2 and message_count > cardinality(withheld_from_client))
    or (therapist_id = $2 and message_count > cardinality(withheld_from_therapist)))

-- name: conversations
select *
from (
    (select * from conversations
     where client_id = $1 and position < $2 and message_count > cardinality(withheld_from_client)
     order by position desc limit $3)
    union all
    (select * from conversations
     where therapist_id = $1 and position < $2 and message_count > cardinality(withheld_from_therapist)
     order by position desc limit $3)
) of_either_side
order by position desc limit $3

-- name: facts_after
select version, fact from facts_of($1) where version > $2 order by version limit $3

-- name: of_person_before
-- Facts of a person's conversations from below one position down to another, the newest first.
select f.position, f.fact
from facts f
join conversations c on f.stream = 'conversation-' || c.conversation_id
where f.position < $2 and f.position >= $3 and (c.client_id = $1 or c.therapist_id = $1)
order by f.position desc limit $4

-- name: recorded_before
select recorded_at from facts where position < $1 order by position desc limit 1

-- name: withheld
-- A page of the conversations in which something of a person's is withheld.
select conversation_id from conversations
where conversation_id > $2 and ((client_id = $1 and withheld_from_therapist <> '{}')
                             or (therapist_id = $1 and withheld_from_client <> '{}'))
order by conversation_id limit $3
