-- name: reports
select r.*, c.client_id is not null as contact_seen
from reports r left join contacts c on c.client_id = r.client_id and c.therapist_id = r.reporter_id
where (reported_at, report_id) > ($1, $2) order by reported_at, report_id limit $3

-- name: undecided_reports
select r.*, c.client_id is not null as contact_seen
from reports r left join contacts c on c.client_id = r.client_id and c.therapist_id = r.reporter_id
where finding = 0 and (reported_at, report_id) > ($1, $2) order by reported_at, report_id limit $3

-- name: reports_of_client
select r.*, c.client_id is not null as contact_seen
from reports r left join contacts c on c.client_id = r.client_id and c.therapist_id = r.reporter_id
where r.client_id = $4 and (reported_at, report_id) > ($1, $2) order by reported_at, report_id limit $3

-- name: undecided_reports_of_client
select r.*, c.client_id is not null as contact_seen
from reports r left join contacts c on c.client_id = r.client_id and c.therapist_id = r.reporter_id
where r.client_id = $4 and finding = 0 and (reported_at, report_id) > ($1, $2)
order by reported_at, report_id limit $3
