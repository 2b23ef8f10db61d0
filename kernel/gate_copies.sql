-- What this service has copied of other services' decisions, by gate and subject: for whoever compares or voids copies.
-- Commands read the gates' own streams.
create table gate_copies (
    gate        text        not null,
    subject     text        not null,
    source      text        not null, -- service/cell
    epoch       bigint      not null,
    version     bigint      not null, -- of the source's stream; 0 when the source was restored to before it decided
    decided_at  timestamptz not null,
    source_type text        not null,
    primary key (gate, subject)
);
create index gate_copies_by_epoch on gate_copies (source, epoch, gate, subject);
