-- name: enrol
insert into therapists (therapist_id) values ($1) on conflict (therapist_id) do update set is_enrolled = true

-- name: withdraw
update therapists set is_enrolled = false where therapist_id = $1

-- name: publish_hours
update therapists set time_zone = $2, weekdays = $3, start_minutes = $4, end_minutes = $5, published_at = $6
where therapist_id = $1

-- name: set_status
update bookings b set status = changed.status, cancellation_reason = changed.reason
from unnest($1::text[], $2::smallint[], $3::smallint[]) changed (booking_id, status, reason)
where b.booking_id = changed.booking_id
