create table reports (
    report_id    text        primary key,
    client_id    text        not null,
    reporter_id  text        not null,
    severity     smallint    not null,
    reported_at  timestamptz not null,
    finding      smallint    not null default 0,
    decided_at   timestamptz,
    moderator_id text        not null default '',
    needs_person boolean     not null default false,
    -- The last message the reporter knew of.
    conversation_id       text   not null,
    last_message_sequence bigint not null
);

-- Whom a client wrote to.
create table contacts (
    client_id    text not null,
    therapist_id text not null,
    primary key (client_id, therapist_id)
);
