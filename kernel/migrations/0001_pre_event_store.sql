-- The event store of one service, in the schema that search_path names.

create table facts (
    position    bigint      primary key,
    stream      text        not null check (octet_length(stream) <= 2600),  -- as long as a claimed name can be
    version     integer     not null check (version > 0),
    recorded_at timestamptz not null,
    fact        bytea       not null
);

-- A stream has each version once. Streams are told apart by 128 bits, half as wide as their names: with ten million facts
-- an append is a fifth cheaper. Two streams that shared all of them would share no facts: the second could not begin.
create unique index facts_by_stream on facts (hashtextextended(stream, 0), hashtextextended(stream, 1), version);

-- The facts of a stream, in no order: whoever reads a stream asks here, since only this uses the index.
create function facts_of(asked_stream text) returns setof facts
language sql stable
begin atomic
    select f.* from facts f
    where hashtextextended(f.stream, 0) = hashtextextended(asked_stream, 0)
      and hashtextextended(f.stream, 1) = hashtextextended(asked_stream, 1)
      and f.stream = asked_stream;
end;

create table attachments (
    id      text  primary key,
    content bytea not null
);

-- What only one stream may hold. All writes happen under the append lock, so the checks there decide; the constraints
-- are the proof.
create table claimed_names (
    name   text primary key,
    stream text not null
);
create index claimed_names_by_stream on claimed_names (stream);

create table claimed_ranges (
    resource   text      not null,
    during     tstzrange not null,
    stream     text      not null,
    expires_at timestamptz,
    exclude using gist (resource with =, during with &&)
);
create index claimed_ranges_by_stream on claimed_ranges (stream);

create table timers (
    stream      text        not null,
    name        text        not null,
    due_at      timestamptz not null,
    taken_until timestamptz not null default '-infinity',
    primary key (stream, name)
);
create index timers_by_due on timers (due_at);

-- Accepted commands. A kind has two tables, of this period and the one before; rotate_requests drops the older. A key is a
-- digest, equally likely to lie anywhere: a hash index finds it with one page where a tree takes three or four, most of
-- them in no cache. That no key comes twice `append` sees to, under its lock.
create table requests_call (
    key     bytea   not null,
    digest  bytea   not null,
    stream  text    not null,
    version integer not null
);
create index on requests_call using hash (key);
create table requests_call_previous (like requests_call including all);
create table requests_reaction (like requests_call including all);
create table requests_reaction_previous (like requests_call including all);

-- Of the tables only those of the kind asked for are met.
create function accepted_request(asked_key bytea, asked_call boolean)
returns table (digest bytea, stream text, version integer)
language sql stable
begin atomic
    select r.digest, r.stream, r.version from requests_call r where asked_call and r.key = asked_key
    union all
    select r.digest, r.stream, r.version from requests_call_previous r where asked_call and r.key = asked_key
    union all
    select r.digest, r.stream, r.version from requests_reaction r where not asked_call and r.key = asked_key
    union all
    select r.digest, r.stream, r.version from requests_reaction_previous r where not asked_call and r.key = asked_key;
end;

create table request_periods (
    kind       text        primary key,
    began_at   timestamptz not null default now(),
    keeps_days integer     not null
);
insert into request_periods (kind, keeps_days) values ('call', 30), ('reaction', 7);

-- How far each reaction to our own facts has come.
create table reaction_checkpoints (
    name     text   primary key,
    position bigint not null
);

grant select on facts to {service}_api, {service}_reader;
grant select, delete on attachments to {service}_api;
grant select on claimed_names, claimed_ranges to {service}_api;
grant select, update (taken_until), delete on timers to {service}_api;
grant select on requests_call, requests_call_previous, requests_reaction, requests_reaction_previous to {service}_api;
grant select on request_periods to {service}_api;
grant select, insert, update on reaction_checkpoints to {service}_api;
