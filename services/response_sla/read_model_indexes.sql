create index conversations_of_client on conversations (client_id);
create index conversations_of_therapist on conversations (therapist_id);
create index waits_of_therapist on waits (therapist_id, opened_at, conversation_id, opening_sequence);
create index waits_by_time_known on waits (recorded_at, position);
