"""Every metric of the kernel, with its type and meaning. Dashboards and alerts ask for nothing else.

All labels are bounded: services, methods, codes, reasons and fact types are declared in proto files; consumers, lanes,
projections and roles in code. No person, stream or request is ever a label.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ENFORCED_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 300)
BATCH_APPENDS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Takes the registry of one service; several services in one process have one each."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._api(registry)
        self._store(registry)
        self._relay_and_consumers(registry)
        self.ready = Gauge("holdspace_ready", "1 while the api takes calls, else 0.", registry=registry)
        self.role_restarts = Counter(
            "holdspace_role_restarts",
            "Times a role ended with an error and was started again.",
            ["role"],
            registry=registry,
        )

    def _api(self, registry: CollectorRegistry) -> None:
        self.grpc_calls = Counter(
            "holdspace_grpc_calls",
            "Calls answered, by gRPC status code and declared reason (empty when OK or cancelled).",
            ["service", "method", "code", "reason"],
            registry=registry,
        )
        self.grpc_call_seconds = Histogram(
            "holdspace_grpc_call_seconds",
            "Time from a call's arrival to its answer; of a stream, its whole life.",
            ["service", "method"],
            buckets=CALL_SECONDS,
            registry=registry,
        )
        self.grpc_stream_refusals = Counter(
            "holdspace_grpc_stream_refusals",
            "Commands refused inside a stream that went on, by declared reason.",
            ["service", "method", "code", "reason"],
            registry=registry,
        )
        self.report_to_enforced_seconds = Histogram(
            "holdspace_report_to_enforced_seconds",
            "Time from the decision to suspend, ban or reinstate to its commit in this service's own store.",
            buckets=ENFORCED_SECONDS,
            registry=registry,
        )

    def _store(self, registry: CollectorRegistry) -> None:
        self.appends = Counter(
            "holdspace_appends", "Appends by outcome, in lower case, failures included.", ["outcome"], registry=registry
        )
        self.append_batch_size = Histogram(
            "holdspace_append_batch_size", "Appends in one commit.", buckets=BATCH_APPENDS, registry=registry
        )
        self.append_queue_length = Gauge(
            "holdspace_append_queue_length", "Appends waiting to be sent.", registry=registry
        )
        self.conflicts_retried = Counter(
            "holdspace_conflicts_retried",
            "Commands decided again because what they rested on moved.",
            registry=registry,
        )
        self.requests_repeated = Counter(
            "holdspace_requests_repeated",
            "Commands answered with the first answer to the same request.",
            registry=registry,
        )
        self.projection_lag_positions = Gauge(
            "holdspace_projection_lag_positions",
            "Positions between the store's head and what a projection has written.",
            ["projection"],
            registry=registry,
        )
        self.timers_fired = Counter("holdspace_timers_fired", "Timers whose effect was appended.", registry=registry)

    def _relay_and_consumers(self, registry: CollectorRegistry) -> None:
        self.outbox_age_seconds = Gauge(
            "holdspace_outbox_age_seconds",
            "Age of the oldest fact the relay has not sent; 0 when none.",
            registry=registry,
        )
        self.outbox_lag_positions = Gauge(
            "holdspace_outbox_lag_positions",
            "Positions between the store's head and what the relay sent.",
            registry=registry,
        )
        self.consumer_lag_seconds = Gauge(
            "holdspace_consumer_lag_seconds",
            "Time since everything that the source then held had been taken in, by watermark.",
            ["consumer", "topic"],
            registry=registry,
        )
        self.consumer_facts = Counter(
            "holdspace_consumer_facts", "Facts taken in, by full type name.", ["consumer", "type"], registry=registry
        )
        self.parked_records = Gauge(
            "holdspace_parked_records",
            "Records put aside until an operator redrives them.",
            ["consumer"],
            registry=registry,
        )
        self.lane_age_seconds = Gauge(
            "holdspace_lane_age_seconds",
            "Age of the oldest watermark among a lane's partitions: past gate_stale_seconds its gate fails closed.",
            ["lane"],
            registry=registry,
        )


class MetricsEndpoint:
    """Serves /metrics from a thread of its own, so that a busy event loop can still be watched."""

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        """Raises OSError when the address cannot be bound. Port 0 takes any free one."""
        self._server, self._thread = start_http_server(port, host, metrics.registry)
        self.port = int(self._server.server_port)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
