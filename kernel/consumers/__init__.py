"""From Kafka to commands of ours: consumers of foreign facts that lose nothing and do nothing twice."""
