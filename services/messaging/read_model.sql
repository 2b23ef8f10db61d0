create table conversations (
    conversation_id text        primary key,
    client_id       text        not null,
    therapist_id    text        not null,
    opened_at       timestamptz not null,
    last_message_at timestamptz not null,
    message_count   bigint      not null default 0
);
create index conversations_of_client on conversations (client_id, last_message_at, conversation_id);
create index conversations_of_therapist on conversations (therapist_id, last_message_at, conversation_id);

create table messages (
    conversation_id text        not null,
    sequence        bigint      not null,
    message_id      text        not null,
    client_id       text        not null,
    sender          smallint    not null,
    expects         smallint    not null,
    kind            smallint    not null,
    automatic       boolean     not null,
    sent_at         timestamptz not null,
    body_size       integer     not null,
    body_sha256     bytea       not null,
    imported        boolean     not null,
    withheld        boolean     not null default false,
    primary key (conversation_id, sequence)
);
-- For the pass that finds what a client sent since an instant.
create index messages_by_client on messages (client_id, sent_at) where not imported;
