-- name: contact_hours
select time_zone, weekdays, start_minutes, end_minutes, published_at from therapists
where therapist_id = $1 and is_enrolled

-- name: booking
select booking_id, client_id, therapist_id, starts_at, ends_at, hold_expires_at, status, cancellation_reason
from bookings
where booking_id = $1 and $2 in (client_id, therapist_id)

-- name: bookings
select booking_id, client_id, therapist_id, starts_at, ends_at, hold_expires_at, status, cancellation_reason
from (
    (select * from bookings
     where $2 and client_id = $1 and (starts_at, booking_id) > ($4, $5)
     order by starts_at, booking_id limit $6)
    union all
    (select * from bookings
     where $3 and therapist_id = $1 and (starts_at, booking_id) > ($4, $5)
     order by starts_at, booking_id limit $6)
) of_either_part
order by starts_at, booking_id limit $6
