-- Schemas and roles of every service, in one transaction. The setting holdspace.services lists the services, separated
-- by commas. Run by infra/database.py; whoever runs it owns nothing afterwards but may act as each role it is granted.
--
--   <service>        facts, attachments, claims, timers   owned by <service>_owner (migrations)
--   <service>_read   read models                          owned by <service>_reader (it swaps a rebuilt schema in)
--
-- Grants on tables come with the tables, in each service's migrations.

-- One preparation of this database at a time.
select pg_advisory_xact_lock(hashtextextended('holdspace.database.prepare', 0));

create extension if not exists btree_gist with schema public;

do $$
declare
    service text;
    kind text;
    role_name text;
begin
    foreach service in array string_to_array(current_setting('holdspace.services'), ',') loop
        foreach kind in array array['owner', 'api', 'reader'] loop
            role_name := format('%s_%s', service, kind);
            if not exists (select from pg_roles where rolname = role_name) then
                execute format('create role %I nologin', role_name);
            end if;
            -- Membership without inheritance: a process has the rights of the role it names when it connects, no more.
            if not exists (
                select from pg_auth_members
                where roleid = role_name::regrole and member = current_user::regrole and set_option
            ) then
                execute format('grant %I to current_user with inherit false, set true', role_name);
            end if;
            if not has_database_privilege(role_name, current_database(), 'connect') then
                execute format('grant connect on database %I to %I', current_database(), role_name);
            end if;
            -- Operators of exclusion constraints are found there.
            if not has_schema_privilege(role_name, 'public', 'usage') then
                execute format('grant usage on schema public to %I', role_name);
            end if;
            -- The owner makes the service's schema, the reader makes and renames schemas of read models.
            if kind <> 'api' and not has_database_privilege(role_name, current_database(), 'create') then
                execute format('grant create on database %I to %I', current_database(), role_name);
            end if;
        end loop;

        execute format('create schema if not exists %I authorization %I', service, service || '_owner');
        execute format('create schema if not exists %I authorization %I', service || '_read', service || '_reader');

        -- Only a schema's owner may let others in.
        execute format('set local role %I', service || '_owner');
        execute format('grant usage on schema %I to %I, %I', service, service || '_api', service || '_reader');
        execute format('set local role %I', service || '_reader');
        execute format('grant usage on schema %I to %I, %I', service || '_read', service || '_owner', service || '_api');
        reset role;
    end loop;
end
$$;
