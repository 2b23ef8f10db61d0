-- Messages have no rows: they are read from the conversation's facts, by stream and version. `withheld`: the sequences
-- of those that are kept from the other side, in order.
create table conversations (
    conversation_id text        primary key,
    client_id       text        not null,
    therapist_id    text        not null,
    opened_at       timestamptz not null,
    last_message_at timestamptz not null,
    message_count   bigint      not null default 0,
    withheld        bigint[]    not null default '{}'
);
