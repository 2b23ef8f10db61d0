-- The one function that writes facts: a batch of appends, an outcome for each.
--
-- Every array is parallel to one of four lists: the appends, their facts, their dependencies, their extras (claims,
-- timers). `..._of` columns hold the append's place in the batch, from 1. Lists that the batch has none of are null, and
-- their checks cost nothing.
--
-- Appends of one stream follow each other: the first says which version it expects, those behind it have -1 there.
-- `ends` are the versions they lead to. Where every append has one fact, only the facts' bytes are sent: all else is the
-- append's.
--
-- Outcomes are those of kernel.store.interface.Outcome. `answers` has an object per append that was seen or met a holder.
create function append(
    streams         text[],
    expected        integer[],
    ends            integer[],
    request_keys    bytea[],
    request_digests bytea[],
    request_calls   boolean[],
    fact_of         integer[],
    fact_streams    text[],
    fact_versions   integer[],
    fact_bytes      bytea[],
    dependency_of       integer[],
    dependency_streams  text[],
    dependency_versions integer[],
    claims_of integer[],
    claims    jsonb[],
    timer_of    integer[],
    timer_names text[],
    timer_due   timestamptz[],
    attachment_of    integer[],
    attachment_ids   text[],
    attachment_bytes bytea[],
    out head        bigint,
    out recorded    timestamptz,
    out outcomes    smallint[],
    out answers     jsonb
)
language plpgsql
security definer
set search_path from current
as $$
declare
    refused boolean := false;
    found_one record;
    answer jsonb;
    places integer[];
    place integer;
begin
    -- Large bytes go in before the lock is taken: inside it they would stall everyone.
    if attachment_ids is not null then
        -- One that is there already came with the same append, before its connection was lost.
        insert into attachments (id, content) select * from unnest(attachment_ids, attachment_bytes)
        on conflict (id) do nothing;
    end if;

    -- A statement of its own: a later one takes its snapshot after the lock was granted and sees all that came before.
    perform pg_advisory_xact_lock('facts'::regclass::oid::bigint);

    select f.position, f.recorded_at into head, recorded from facts f order by f.position desc limit 1;
    head := coalesce(head, 0);
    recorded := greatest(clock_timestamp(), recorded);
    outcomes := array_fill(0::smallint, array[cardinality(streams)]);
    answers := '{}';

    -- No two appends of a batch have the same request: then neither would be found here.
    for found_one in
        select a.i, a.digest = seen.digest as is_repeated, seen.stream, seen.version
        from unnest(request_keys, request_digests, request_calls) with ordinality a (key, digest, is_call, i),
            accepted_request(a.key, a.is_call) seen
    loop
        refused := true;
        outcomes[found_one.i] := case when found_one.is_repeated then 1 else 2 end;
        if found_one.is_repeated then
            answers := answers || jsonb_build_object(found_one.i, seen_answer(found_one.stream, found_one.version));
        end if;
    end loop;

    -- Places are taken as one array: a loop over the query would open a cursor for it. What is below the expected version
    -- is not looked at: an index gives all that fits on a page, and a long conversation has pages of its own.
    places := array(
        select a.i from unnest(streams, expected) with ordinality a (stream, version, i)
        where a.version <> -1 and a.version <> coalesce(
            (select f.version from facts_of(a.stream) f where f.version >= a.version
             order by f.version desc limit 1), 0));
    foreach place in array places loop
        refused := true;
        if outcomes[place] = 0 then outcomes[place] := 3; end if;
    end loop;

    if dependency_of is not null then
        places := array(
            select d.i from unnest(dependency_of, dependency_streams, dependency_versions) d (i, stream, version)
            where d.version <> coalesce(
                (select f.version from facts_of(d.stream) f where f.version >= d.version
                 order by f.version desc limit 1), 0));
        foreach place in array places loop
            refused := true;
            if outcomes[place] = 0 then outcomes[place] := 4; end if;
        end loop;
    end if;

    if claims_of is not null then
        for nth in 1 .. cardinality(claims_of) loop
            continue when outcomes[claims_of[nth]] <> 0;
            answer := claim(streams[claims_of[nth]], claims[nth]);
            continue when answer is null;
            refused := true;
            outcomes[claims_of[nth]] := 5;
            answers := answers || jsonb_build_object(claims_of[nth], answer);
        end loop;
    end if;

    -- What comes after a refused append of its stream rests on facts that are not there.
    if refused and -1 = any (expected)
    then
        outcomes := array(
            select case when a.outcome = 0 and bool_or(a.outcome <> 0) over (partition by a.stream order by a.i) then 3
                else a.outcome end::smallint
            from unnest(streams, outcomes) with ordinality a (stream, outcome, i) order by a.i);
    end if;

    if fact_of is null then
        fact_streams := streams;
        fact_versions := ends;
    end if;
    if not refused then
        insert into facts (position, stream, version, recorded_at, fact)
        -- Without a `from`, which would copy each array before its first row.
        select head + generate_series(1, cardinality(fact_bytes)), unnest(fact_streams), unnest(fact_versions), recorded,
            unnest(fact_bytes);
    else
        insert into facts (position, stream, version, recorded_at, fact)
        select head + row_number() over (), f.stream, f.version, recorded, f.fact from (
            select unnest(fact_of) as append, generate_series(1, cardinality(fact_bytes)) as i,
                unnest(fact_streams) as stream, unnest(fact_versions) as version, unnest(fact_bytes) as fact) f
        where outcomes[coalesce(f.append, f.i)] = 0;
        if attachment_ids is not null then
            delete from attachments
            where id in (select a.id from unnest(attachment_of, attachment_ids) a (append, id) where outcomes[a.append] <> 0)
              and xmin = pg_current_xact_id()::xid;
        end if;
    end if;

    if true = any (request_calls) then
        insert into requests_call (key, digest, stream, version)
        select a.key, a.digest, a.stream, a.ending from (
            select unnest(request_keys) as key, unnest(request_digests) as digest, unnest(streams) as stream,
                unnest(ends) as ending, unnest(request_calls) as is_call, unnest(outcomes) as outcome) a
        where a.is_call and a.outcome = 0;
    end if;
    if false = any (request_calls) then
        insert into requests_reaction (key, digest, stream, version)
        select a.key, a.digest, a.stream, a.ending from (
            select unnest(request_keys) as key, unnest(request_digests) as digest, unnest(streams) as stream,
                unnest(ends) as ending, unnest(request_calls) as is_call, unnest(outcomes) as outcome) a
        where not a.is_call and a.outcome = 0;
    end if;

    if timer_of is not null then
        delete from timers t using unnest(timer_of, timer_names) n (append, name)
        where outcomes[n.append] = 0 and t.stream = streams[n.append] and t.name = n.name;
        insert into timers (stream, name, due_at)
        select streams[n.append], n.name, n.due
        from unnest(timer_of, timer_names, timer_due) n (append, name, due)
        where outcomes[n.append] = 0 and n.due is not null;
    end if;
end
$$;

-- What became of a request that was accepted, in this period or the one before. Takes the append lock: an append still on
-- its way has either committed by then or will meet what is decided next.
create function find_request(asked_key bytea, asked_call boolean, out digest bytea, out answer jsonb)
language plpgsql
security definer
set search_path from current
as $$
begin
    perform pg_advisory_xact_lock('facts'::regclass::oid::bigint);
    select seen.digest, seen_answer(seen.stream, seen.version) into digest, answer
    from accepted_request(asked_key, asked_call) seen;
end
$$;

-- What a repeated request is told: where its first answer can be made again from. Volatile, so that it sees what was
-- committed while its caller waited for the lock.
create function seen_answer(answered_stream text, answered_version integer) returns jsonb
language sql volatile
set search_path from current
as $$
    select jsonb_build_object('stream', answered_stream, 'version', answered_version, 'position', coalesce(
        (select f.position from facts_of(answered_stream) f where f.version = answered_version),
        (select max(f.position) from facts f),
        0))
$$;

-- Releases, then claims, all or nothing. Returns null, or the stream that holds what was asked for and until when.
create function claim(claiming_stream text, wanted jsonb) returns jsonb
language plpgsql
set search_path from current
as $$
declare
    released text[] := array(select jsonb_array_elements_text(wanted -> 'releases'));
    taken jsonb;
begin
    select jsonb_build_object('holder', held.stream) into taken
    from jsonb_array_elements_text(wanted -> 'names') asked (name) join claimed_names held using (name)
    where not (held.stream = claiming_stream and held.name = any (released))
    limit 1;
    if taken is null then
        select jsonb_build_object('holder', held.stream, 'until', held.expires_at) into taken
        from jsonb_to_recordset(wanted -> 'ranges') asked (resource text, starts timestamptz, ends timestamptz)
        join claimed_ranges held
            on held.resource = asked.resource and held.during && tstzrange(asked.starts, asked.ends)
        where not (held.stream = claiming_stream and held.resource = any (released))
        limit 1;
    end if;
    if taken is not null then
        return taken;
    end if;
    delete from claimed_names where stream = claiming_stream and name = any (released);
    delete from claimed_ranges where stream = claiming_stream and resource = any (released);
    insert into claimed_names (name, stream)
    select name, claiming_stream from jsonb_array_elements_text(wanted -> 'names') asked (name);
    insert into claimed_ranges (resource, during, stream, expires_at)
    select resource, tstzrange(starts, ends), claiming_stream, expires
    from jsonb_to_recordset(wanted -> 'ranges')
        asked (resource text, starts timestamptz, ends timestamptz, expires timestamptz);
    return null;
end
$$;

-- Starts a new period for every kind of request whose present one is over; what was accepted two periods ago is forgotten.
create function rotate_requests() returns integer
language plpgsql
security definer
set search_path from current
as $$
declare
    period record;
    rotated integer := 0;
begin
    perform pg_advisory_xact_lock('facts'::regclass::oid::bigint);
    for period in
        select kind from request_periods where began_at + make_interval(days => keeps_days) <= now() for update
    loop
        execute format('truncate %I', 'requests_' || period.kind || '_previous');
        execute format('alter table %I rename to %I', 'requests_' || period.kind || '_previous', 'requests_spare');
        execute format('alter table %I rename to %I', 'requests_' || period.kind,
                       'requests_' || period.kind || '_previous');
        execute format('alter table %I rename to %I', 'requests_spare', 'requests_' || period.kind);
        update request_periods set began_at = now() where kind = period.kind;
        rotated := rotated + 1;
    end loop;
    return rotated;
end
$$;

revoke all on all functions in schema {service} from public;
grant execute on function append, find_request, seen_answer, rotate_requests, facts_of to {service}_api;
grant execute on function facts_of to {service}_reader;
