-- name: enrol
insert into therapists (therapist_id) values ($1)

-- name: publish_hours
update therapists set time_zone = $2, weekdays = $3, start_minutes = $4, end_minutes = $5, published_at = $6
where therapist_id = $1

-- name: hold
insert into bookings (booking_id, client_id, therapist_id, starts_at, ends_at, hold_expires_at, status)
values ($1, $2, $3, $4, $5, $6, $7)

-- name: set_status
update bookings set status = $2, cancellation_reason = $3 where booking_id = $1
