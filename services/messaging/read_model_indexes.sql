create index conversations_of_client on conversations (client_id, position);
create index conversations_of_therapist on conversations (therapist_id, position);
