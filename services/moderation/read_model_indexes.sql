create index reports_by_time on reports (reported_at, report_id);
create index reports_of_client on reports (client_id, reported_at, report_id);
create index reports_undecided on reports (reported_at, report_id) where finding = 0;
