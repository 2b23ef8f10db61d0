-- name: client_age
select assured_until, otherwise, method, assurance_level, unreadable_at from client_ages where client_id = $1
