create table therapists (
    therapist_id  text        primary key,
    is_enrolled   boolean     not null default true,
    time_zone     text        not null default '',
    -- The weekly ranges, one place of the three arrays each.
    weekdays      smallint[]  not null default '{}',
    start_minutes smallint[]  not null default '{}',
    end_minutes   smallint[]  not null default '{}',
    published_at  timestamptz
);

create table bookings (
    booking_id          text        primary key,
    client_id           text        not null,
    therapist_id        text        not null,
    starts_at           timestamptz not null,
    ends_at             timestamptz not null,
    hold_expires_at     timestamptz not null,
    status              smallint    not null,
    cancellation_reason smallint    not null default 0
);
