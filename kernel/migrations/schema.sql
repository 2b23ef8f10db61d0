-- What all migrations together make, as pg_dump tells it: to read, not to run.
-- Written by `python -m tests.architecture.schema`.

CREATE SCHEMA {service};

CREATE TABLE {service}.requests_call (
    key bytea NOT NULL,
    digest bytea NOT NULL,
    stream text NOT NULL,
    version integer NOT NULL
);

CREATE TABLE {service}.requests_call_previous (
    key bytea NOT NULL,
    digest bytea NOT NULL,
    stream text NOT NULL,
    version integer NOT NULL
);

CREATE TABLE {service}.requests_reaction (
    key bytea NOT NULL,
    digest bytea NOT NULL,
    stream text NOT NULL,
    version integer NOT NULL
);

CREATE TABLE {service}.requests_reaction_previous (
    key bytea NOT NULL,
    digest bytea NOT NULL,
    stream text NOT NULL,
    version integer NOT NULL
);

CREATE FUNCTION {service}.accepted_request(asked_key bytea, asked_call boolean) RETURNS TABLE(digest bytea, stream text, version integer)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT r.digest,
     r.stream,
     r.version
    FROM {service}.requests_call r
   WHERE (accepted_request.asked_call AND (r.key = accepted_request.asked_key))
 UNION ALL
  SELECT r.digest,
     r.stream,
     r.version
    FROM {service}.requests_call_previous r
   WHERE (accepted_request.asked_call AND (r.key = accepted_request.asked_key))
 UNION ALL
  SELECT r.digest,
     r.stream,
     r.version
    FROM {service}.requests_reaction r
   WHERE ((NOT accepted_request.asked_call) AND (r.key = accepted_request.asked_key))
 UNION ALL
  SELECT r.digest,
     r.stream,
     r.version
    FROM {service}.requests_reaction_previous r
   WHERE ((NOT accepted_request.asked_call) AND (r.key = accepted_request.asked_key));
END;

CREATE FUNCTION {service}.append(streams text[], expected integer[], ends integer[], request_keys bytea[], request_digests bytea[], request_calls boolean[], fact_of integer[], fact_streams text[], fact_versions integer[], fact_bytes bytea[], dependency_of integer[], dependency_streams text[], dependency_versions integer[], claims_of integer[], claims jsonb[], timer_of integer[], timer_names text[], timer_due timestamp with time zone[], attachment_of integer[], attachment_ids text[], attachment_bytes bytea[], OUT head bigint, OUT recorded timestamp with time zone, OUT outcomes smallint[], OUT answers jsonb) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO '{service}', 'public'
    AS $$
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

CREATE FUNCTION {service}.claim(claiming_stream text, wanted jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO '{service}', 'public'
    AS $$
declare
    released text[] := array(select jsonb_array_elements_text(wanted -> 'releases'));
    taken jsonb;
begin
    select jsonb_build_object('holder', held.stream, 'claim', held.name) into taken
    from jsonb_array_elements_text(wanted -> 'names') asked (name) join claimed_names held using (name)
    where not (held.stream = claiming_stream and held.name = any (released))
    limit 1;
    if taken is null then
        select jsonb_build_object('holder', held.stream, 'until', held.expires_at, 'claim', held.resource) into taken
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

CREATE TABLE {service}.facts (
    "position" bigint NOT NULL,
    stream text NOT NULL,
    version integer NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    fact bytea NOT NULL,
    CONSTRAINT facts_stream_check CHECK ((octet_length(stream) <= 2600)),
    CONSTRAINT facts_version_check CHECK ((version > 0))
);

CREATE FUNCTION {service}.facts_of(asked_stream text) RETURNS SETOF {service}.facts
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT f."position",
     f.stream,
     f.version,
     f.recorded_at,
     f.fact
    FROM {service}.facts f
   WHERE ((hashtextextended(f.stream, (0)::bigint) = hashtextextended(facts_of.asked_stream, (0)::bigint)) AND (hashtextextended(f.stream, (1)::bigint) = hashtextextended(facts_of.asked_stream, (1)::bigint)) AND (f.stream = facts_of.asked_stream));
END;

CREATE FUNCTION {service}.find_request(asked_key bytea, asked_call boolean, OUT digest bytea, OUT answer jsonb) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO '{service}', 'public'
    AS $$
begin
    perform pg_advisory_xact_lock('facts'::regclass::oid::bigint);
    select seen.digest, seen_answer(seen.stream, seen.version) into digest, answer
    from accepted_request(asked_key, asked_call) seen;
end
$$;

CREATE FUNCTION {service}.lock_partitions(reader text, topics text[], partitions integer[], OUT next_offsets bigint[], OUT mark_of integer[], OUT mark_sources text[], OUT mark_positions bigint[], OUT mark_previous bigint[], OUT has_parked boolean, OUT has_skips boolean) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO '{service}', 'public'
    AS $$
begin
    -- In order, so that two processes never wait for each other's rows.
    perform from consumer_checkpoints c
    where c.consumer = reader and (c.topic, c.partition) in (select * from unnest(topics, partitions))
    order by c.topic, c.partition for update;
    -- Statements of their own: their snapshots see what was committed while the rows were waited for.
    next_offsets := array(
        select c.next_offset
        from unnest(topics, partitions) with ordinality asked (topic, partition, place)
        join consumer_checkpoints c on c.consumer = reader and c.topic = asked.topic and c.partition = asked.partition
        order by asked.place);
    select coalesce(array_agg(asked.place), '{}'), coalesce(array_agg(m.source), '{}'),
           coalesce(array_agg(m.position), '{}'), coalesce(array_agg(m.previous), '{}')
    into mark_of, mark_sources, mark_positions, mark_previous
    from unnest(topics, partitions) with ordinality asked (topic, partition, place)
    join consumer_marks m on m.consumer = reader and m.topic = asked.topic and m.partition = asked.partition;
    has_parked := exists (select from parked_keys k where k.consumer = reader);
    has_skips := exists (select from consumer_skips s where s.consumer = reader);
end
$$;

CREATE FUNCTION {service}.rotate_requests() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO '{service}', 'public'
    AS $$
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

CREATE FUNCTION {service}.seen_answer(answered_stream text, answered_version integer) RETURNS jsonb
    LANGUAGE sql
    SET search_path TO '{service}', 'public'
    AS $$
    select jsonb_build_object('stream', answered_stream, 'version', answered_version, 'position', coalesce(
        (select f.position from facts_of(answered_stream) f where f.version = answered_version),
        (select max(f.position) from facts f),
        0))
$$;

CREATE TABLE {service}.attachments (
    id text NOT NULL,
    content bytea NOT NULL
);

CREATE TABLE {service}.claimed_names (
    name text NOT NULL,
    stream text NOT NULL
);

CREATE TABLE {service}.claimed_ranges (
    resource text NOT NULL,
    during tstzrange NOT NULL,
    stream text NOT NULL,
    expires_at timestamp with time zone
);

CREATE TABLE {service}.consumer_checkpoints (
    consumer text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL
);

CREATE TABLE {service}.consumer_halts (
    consumer text NOT NULL,
    reason text NOT NULL,
    halted_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE {service}.consumer_listings (
    consumer text NOT NULL,
    fact_type text NOT NULL,
    handled boolean NOT NULL,
    since timestamp with time zone NOT NULL
);

CREATE TABLE {service}.consumer_marks (
    consumer text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    source text NOT NULL,
    "position" bigint NOT NULL,
    previous bigint NOT NULL,
    confirmed bigint DEFAULT 0 NOT NULL
);

CREATE TABLE {service}.consumer_skips (
    consumer text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL
);

CREATE TABLE {service}.consumer_topics (
    consumer text NOT NULL,
    topic text NOT NULL,
    topic_id uuid NOT NULL
);

CREATE TABLE {service}.consumer_watermarks (
    consumer text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    source text NOT NULL,
    "position" bigint NOT NULL,
    store_time timestamp with time zone NOT NULL,
    reached_at timestamp with time zone NOT NULL
);

CREATE TABLE {service}.migrations (
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE {service}.operator_actions (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    login text DEFAULT SESSION_USER NOT NULL,
    who text NOT NULL,
    action text NOT NULL,
    about jsonb NOT NULL,
    before jsonb NOT NULL,
    after jsonb NOT NULL
);

ALTER TABLE {service}.operator_actions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME {service}.operator_actions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE {service}.parked_keys (
    consumer text NOT NULL,
    topic text NOT NULL,
    key bytea NOT NULL,
    partition integer NOT NULL,
    parked_at timestamp with time zone DEFAULT now() NOT NULL,
    redrive_requested_at timestamp with time zone
);

CREATE TABLE {service}.parked_records (
    consumer text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key bytea NOT NULL,
    source text,
    "position" bigint,
    headers bytea[] NOT NULL,
    value bytea,
    reason text NOT NULL,
    parked_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE {service}.reaction_checkpoints (
    name text NOT NULL,
    "position" bigint NOT NULL
);

CREATE TABLE {service}.relay_checkpoint (
    singleton boolean DEFAULT true NOT NULL,
    "position" bigint NOT NULL,
    restated_epoch integer DEFAULT 1 NOT NULL,
    CONSTRAINT relay_checkpoint_singleton_check CHECK (singleton)
);

CREATE TABLE {service}.request_periods (
    kind text NOT NULL,
    began_at timestamp with time zone DEFAULT now() NOT NULL,
    keeps_days integer NOT NULL
);

CREATE TABLE {service}.store_identity (
    singleton boolean DEFAULT true NOT NULL,
    epoch integer NOT NULL,
    CONSTRAINT store_identity_epoch_check CHECK ((epoch > 0)),
    CONSTRAINT store_identity_singleton_check CHECK (singleton)
);

CREATE TABLE {service}.timers (
    stream text NOT NULL,
    name text NOT NULL,
    due_at timestamp with time zone NOT NULL,
    taken_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL
);

ALTER TABLE ONLY {service}.attachments
    ADD CONSTRAINT attachments_pkey PRIMARY KEY (id);

ALTER TABLE ONLY {service}.claimed_names
    ADD CONSTRAINT claimed_names_pkey PRIMARY KEY (name);

ALTER TABLE ONLY {service}.claimed_ranges
    ADD CONSTRAINT claimed_ranges_resource_during_excl EXCLUDE USING gist (resource WITH =, during WITH &&);

ALTER TABLE ONLY {service}.consumer_checkpoints
    ADD CONSTRAINT consumer_checkpoints_pkey PRIMARY KEY (consumer, topic, partition);

ALTER TABLE ONLY {service}.consumer_halts
    ADD CONSTRAINT consumer_halts_pkey PRIMARY KEY (consumer);

ALTER TABLE ONLY {service}.consumer_listings
    ADD CONSTRAINT consumer_listings_pkey PRIMARY KEY (consumer, fact_type);

ALTER TABLE ONLY {service}.consumer_marks
    ADD CONSTRAINT consumer_marks_pkey PRIMARY KEY (consumer, topic, partition, source);

ALTER TABLE ONLY {service}.consumer_skips
    ADD CONSTRAINT consumer_skips_pkey PRIMARY KEY (consumer, topic, partition, "offset");

ALTER TABLE ONLY {service}.consumer_topics
    ADD CONSTRAINT consumer_topics_pkey PRIMARY KEY (consumer, topic);

ALTER TABLE ONLY {service}.consumer_watermarks
    ADD CONSTRAINT consumer_watermarks_pkey PRIMARY KEY (consumer, topic, partition, source);

ALTER TABLE ONLY {service}.facts
    ADD CONSTRAINT facts_pkey PRIMARY KEY ("position");

ALTER TABLE ONLY {service}.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (name);

ALTER TABLE ONLY {service}.operator_actions
    ADD CONSTRAINT operator_actions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY {service}.parked_keys
    ADD CONSTRAINT parked_keys_pkey PRIMARY KEY (consumer, topic, key);

ALTER TABLE ONLY {service}.parked_records
    ADD CONSTRAINT parked_records_pkey PRIMARY KEY (consumer, topic, partition, "offset");

ALTER TABLE ONLY {service}.reaction_checkpoints
    ADD CONSTRAINT reaction_checkpoints_pkey PRIMARY KEY (name);

ALTER TABLE ONLY {service}.relay_checkpoint
    ADD CONSTRAINT relay_checkpoint_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY {service}.request_periods
    ADD CONSTRAINT request_periods_pkey PRIMARY KEY (kind);

ALTER TABLE ONLY {service}.store_identity
    ADD CONSTRAINT store_identity_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY {service}.timers
    ADD CONSTRAINT timers_pkey PRIMARY KEY (stream, name);

CREATE INDEX claimed_names_by_stream ON {service}.claimed_names USING btree (stream);

CREATE INDEX claimed_ranges_by_stream ON {service}.claimed_ranges USING btree (stream);

CREATE UNIQUE INDEX facts_by_stream ON {service}.facts USING btree (hashtextextended(stream, (0)::bigint), hashtextextended(stream, (1)::bigint), version);

CREATE INDEX parked_records_by_key ON {service}.parked_records USING btree (consumer, topic, key, "offset");

CREATE INDEX requests_call_key_idx ON {service}.requests_call USING hash (key);

CREATE INDEX requests_call_previous_key_idx ON {service}.requests_call_previous USING hash (key);

CREATE INDEX requests_reaction_key_idx ON {service}.requests_reaction USING hash (key);

CREATE INDEX requests_reaction_previous_key_idx ON {service}.requests_reaction_previous USING hash (key);

CREATE INDEX timers_by_due ON {service}.timers USING btree (due_at);

ALTER TABLE ONLY {service}.parked_records
    ADD CONSTRAINT parked_records_consumer_topic_key_fkey FOREIGN KEY (consumer, topic, key) REFERENCES {service}.parked_keys(consumer, topic, key);

GRANT USAGE ON SCHEMA {service} TO {service}_api;
GRANT USAGE ON SCHEMA {service} TO {service}_reader;

GRANT SELECT ON TABLE {service}.requests_call TO {service}_api;

GRANT SELECT ON TABLE {service}.requests_call_previous TO {service}_api;

GRANT SELECT ON TABLE {service}.requests_reaction TO {service}_api;

GRANT SELECT ON TABLE {service}.requests_reaction_previous TO {service}_api;

REVOKE ALL ON FUNCTION {service}.accepted_request(asked_key bytea, asked_call boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION {service}.append(streams text[], expected integer[], ends integer[], request_keys bytea[], request_digests bytea[], request_calls boolean[], fact_of integer[], fact_streams text[], fact_versions integer[], fact_bytes bytea[], dependency_of integer[], dependency_streams text[], dependency_versions integer[], claims_of integer[], claims jsonb[], timer_of integer[], timer_names text[], timer_due timestamp with time zone[], attachment_of integer[], attachment_ids text[], attachment_bytes bytea[], OUT head bigint, OUT recorded timestamp with time zone, OUT outcomes smallint[], OUT answers jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION {service}.append(streams text[], expected integer[], ends integer[], request_keys bytea[], request_digests bytea[], request_calls boolean[], fact_of integer[], fact_streams text[], fact_versions integer[], fact_bytes bytea[], dependency_of integer[], dependency_streams text[], dependency_versions integer[], claims_of integer[], claims jsonb[], timer_of integer[], timer_names text[], timer_due timestamp with time zone[], attachment_of integer[], attachment_ids text[], attachment_bytes bytea[], OUT head bigint, OUT recorded timestamp with time zone, OUT outcomes smallint[], OUT answers jsonb) TO {service}_api;

REVOKE ALL ON FUNCTION {service}.claim(claiming_stream text, wanted jsonb) FROM PUBLIC;

GRANT SELECT ON TABLE {service}.facts TO {service}_api;
GRANT SELECT ON TABLE {service}.facts TO {service}_reader;

REVOKE ALL ON FUNCTION {service}.facts_of(asked_stream text) FROM PUBLIC;
GRANT ALL ON FUNCTION {service}.facts_of(asked_stream text) TO {service}_api;
GRANT ALL ON FUNCTION {service}.facts_of(asked_stream text) TO {service}_reader;

REVOKE ALL ON FUNCTION {service}.find_request(asked_key bytea, asked_call boolean, OUT digest bytea, OUT answer jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION {service}.find_request(asked_key bytea, asked_call boolean, OUT digest bytea, OUT answer jsonb) TO {service}_api;

REVOKE ALL ON FUNCTION {service}.lock_partitions(reader text, topics text[], partitions integer[], OUT next_offsets bigint[], OUT mark_of integer[], OUT mark_sources text[], OUT mark_positions bigint[], OUT mark_previous bigint[], OUT has_parked boolean, OUT has_skips boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION {service}.lock_partitions(reader text, topics text[], partitions integer[], OUT next_offsets bigint[], OUT mark_of integer[], OUT mark_sources text[], OUT mark_positions bigint[], OUT mark_previous bigint[], OUT has_parked boolean, OUT has_skips boolean) TO {service}_api;

REVOKE ALL ON FUNCTION {service}.rotate_requests() FROM PUBLIC;
GRANT ALL ON FUNCTION {service}.rotate_requests() TO {service}_api;

REVOKE ALL ON FUNCTION {service}.seen_answer(answered_stream text, answered_version integer) FROM PUBLIC;
GRANT ALL ON FUNCTION {service}.seen_answer(answered_stream text, answered_version integer) TO {service}_api;

GRANT SELECT,DELETE ON TABLE {service}.attachments TO {service}_api;

GRANT SELECT ON TABLE {service}.claimed_names TO {service}_api;

GRANT SELECT ON TABLE {service}.claimed_ranges TO {service}_api;

GRANT SELECT,INSERT,UPDATE ON TABLE {service}.consumer_checkpoints TO {service}_api;
GRANT SELECT ON TABLE {service}.consumer_checkpoints TO {service}_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE {service}.consumer_halts TO {service}_api;
GRANT SELECT ON TABLE {service}.consumer_halts TO {service}_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE {service}.consumer_listings TO {service}_api;
GRANT SELECT ON TABLE {service}.consumer_listings TO {service}_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE {service}.consumer_marks TO {service}_api;
GRANT SELECT ON TABLE {service}.consumer_marks TO {service}_reader;

GRANT SELECT,DELETE ON TABLE {service}.consumer_skips TO {service}_api;
GRANT SELECT ON TABLE {service}.consumer_skips TO {service}_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE {service}.consumer_topics TO {service}_api;
GRANT SELECT ON TABLE {service}.consumer_topics TO {service}_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE {service}.consumer_watermarks TO {service}_api;
GRANT SELECT ON TABLE {service}.consumer_watermarks TO {service}_reader;

GRANT SELECT ON TABLE {service}.operator_actions TO {service}_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE {service}.parked_keys TO {service}_api;
GRANT SELECT ON TABLE {service}.parked_keys TO {service}_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE {service}.parked_records TO {service}_api;
GRANT SELECT ON TABLE {service}.parked_records TO {service}_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE {service}.reaction_checkpoints TO {service}_api;

GRANT SELECT,UPDATE ON TABLE {service}.relay_checkpoint TO {service}_reader;

GRANT SELECT ON TABLE {service}.request_periods TO {service}_api;

GRANT SELECT ON TABLE {service}.store_identity TO {service}_api;
GRANT SELECT ON TABLE {service}.store_identity TO {service}_reader;

GRANT SELECT,DELETE ON TABLE {service}.timers TO {service}_api;

GRANT UPDATE(taken_until) ON TABLE {service}.timers TO {service}_api;
