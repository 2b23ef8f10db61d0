-- Releases, then claims, all or nothing. Returns null, or the stream that holds what was asked for, until when, and
-- what of it.
create or replace function claim(claiming_stream text, wanted jsonb) returns jsonb
language plpgsql
set search_path from current
as $$
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
