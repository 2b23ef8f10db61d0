-- Messages have no rows: they are read from the conversation's facts, by stream and version. `withheld_from_...`:
-- the sequences of those that are kept from a side, in order. `position`: of the fact that opened it, by which lists go: unlike
-- the time of the last message it never changes, so that no page skips or repeats one.
create table conversations (
    conversation_id text        primary key,
    client_id       text        not null,
    therapist_id    text        not null,
    position        bigint      not null,
    opened_at       timestamptz not null,
    last_message_at timestamptz not null,
    message_count   bigint      not null default 0,
    withheld_from_client    bigint[] not null default '{}',
    withheld_from_therapist bigint[] not null default '{}'
);
