-- The login and the database of the local stack, for psql. The login is no superuser: it may create roles and
-- databases, as on a managed server, and everything else comes from the roles it is granted.
select 'create role holdspace login createrole createdb'
where not exists (select from pg_roles where rolname = 'holdspace')
\gexec

select 'create database holdspace owner holdspace'
where not exists (select from pg_database where datname = 'holdspace')
\gexec
