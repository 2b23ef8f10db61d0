-- name: decide_reports
update reports r set finding = decided.finding, decided_at = decided.at, moderator_id = decided.moderator_id
from unnest($1::text[], $2::smallint[], $3::timestamptz[], $4::text[]) decided (report_id, finding, at, moderator_id)
where r.report_id = decided.report_id

-- name: weigh_reports
update reports r set needs_person = weighed.needs_person
from unnest($1::text[], $2::boolean[]) weighed (report_id, needs_person)
where r.report_id = weighed.report_id and r.needs_person <> weighed.needs_person
