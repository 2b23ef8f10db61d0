-- name: set_state
insert into client_ages (client_id, otherwise) values ($1, $2)
on conflict (client_id) do update set otherwise = excluded.otherwise

-- name: count_unreadable
update client_ages set unreadable_at = unreadable_at || $2::timestamptz where client_id = $1

-- name: set_assured
insert into client_ages (client_id, otherwise, assured_until, method, assurance_level) values ($1, $2, $3, $4, $5)
on conflict (client_id) do update set
    otherwise = excluded.otherwise,
    unreadable_at = '{}',
    -- Of two results the one that holds longer is shown.
    assured_until = greatest(client_ages.assured_until, excluded.assured_until),
    method = case
        when client_ages.assured_until >= excluded.assured_until then client_ages.method else excluded.method
    end,
    assurance_level = case
        when client_ages.assured_until >= excluded.assured_until
        then client_ages.assurance_level else excluded.assurance_level
    end

-- name: set_finding
insert into client_ages (client_id, otherwise, assured_until, method, assurance_level) values ($1, $2, $3, $4, $5)
on conflict (client_id) do update set
    otherwise = excluded.otherwise,
    assured_until = excluded.assured_until,
    method = excluded.method,
    assurance_level = excluded.assurance_level,
    unreadable_at = '{}'

-- name: end_assurance
update client_ages set otherwise = $2, assured_until = null where client_id = $1

-- name: forget
delete from client_ages where client_id = $1
