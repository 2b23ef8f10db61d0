-- name: add_report
insert into reports (report_id, client_id, reporter_id, severity, reported_at) values ($1, $2, $3, $4, $5)

-- name: decide_report
update reports set finding = $2, decided_at = $3, moderator_id = $4 where report_id = $1

-- name: add_contact
insert into contacts (client_id, therapist_id) values ($1, $2)
