"""From the store to Kafka: the one active relay of a service's schema."""
