create index conversations_of_client on conversations (client_id, last_message_at, conversation_id);
create index conversations_of_therapist on conversations (therapist_id, last_message_at, conversation_id);
