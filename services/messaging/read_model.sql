create table conversations (
    conversation_id text        primary key,
    client_id       text        not null,
    therapist_id    text        not null,
    opened_at       timestamptz not null,
    last_message_at timestamptz not null,
    message_count   bigint      not null default 0
);

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
