create table conversations (
    conversation_id text primary key,
    client_id       text not null,
    therapist_id    text not null
);

-- Every wait as it was ever stated: a row holds from its position up to, and without, the one that supersedes it.
create table waits (
    position         bigint      primary key,
    superseded_by    bigint,
    recorded_at      timestamptz not null,
    conversation_id  text        not null,
    opening_sequence bigint      not null,
    client_id        text        not null,
    therapist_id     text        not null,
    kind             smallint    not null,
    opened_at        timestamptz not null,
    answered_at      timestamptz,
    answered_by      bigint,
    voided_at        timestamptz,
    void_reason      smallint,
    void_report_id   text,
    excluded_by      text,
    exclusion_final  boolean,
    policy_version   text        not null,
    not_owed_at      timestamptz,
    returns_until    timestamptz,
    not_owed_spans   timestamptz[] not null -- from, until, from, until
);

create table policies (
    position      bigint      primary key,
    recorded_at   timestamptz not null,
    version       text        not null,
    first_target  interval    not null,
    next_target   interval    not null,
    undecided_max interval    not null,
    sample_min    integer     not null,
    return_max    interval    not null,
    in_force_from timestamptz not null
);
create index waits_as_they_stand on waits (conversation_id, opening_sequence) where superseded_by is null;
