create index bookings_of_client on bookings (client_id, starts_at, booking_id);
create index bookings_of_therapist on bookings (therapist_id, starts_at, booking_id);
