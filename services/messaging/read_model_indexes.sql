create index conversations_of_client on conversations (client_id, last_message_at, conversation_id);
create index conversations_of_therapist on conversations (therapist_id, last_message_at, conversation_id);
-- For the pass that finds what a client sent since an instant.
create index messages_by_client on messages (client_id, sent_at) where not imported;
