"""The local stack: real PostgreSQL, real Kafka and the five services as plain processes, without Docker."""
