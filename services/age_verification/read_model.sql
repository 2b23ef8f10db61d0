create table client_ages (
    client_id       text          primary key,
    assured_until   timestamptz,
    -- The state when no assurance holds.
    otherwise       text          not null,
    method          text          not null default '',
    assurance_level smallint      not null default 0,
    -- When evidence could not be made out, since the last time it could.
    unreadable_at   timestamptz[] not null default '{}'
);
