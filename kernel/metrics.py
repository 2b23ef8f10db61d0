"""Every metric of the kernel, with its type and meaning. Dashboards and alerts ask for nothing else.

All labels are bounded: services, methods, codes and reasons are declared in proto files; commands, consumers,
reactions, timers, projections, lanes and roles in code; sources by SOURCES_MAX. No person, stream or request is ever a
label.
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ENFORCED_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 300)
BATCH_APPENDS = (1, 2, 4, 8, 16, 32, 64, 128)
SOURCES_MAX = 50  # of a consumer: services and their cells
CALL = ("service", "method")
ANSWER = (*CALL, "code", "reason")


class Metrics:
    """What the parts of the kernel report. Takes the registry of one service; services in one process have one each."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._declare_api(partial(Counter, registry=registry), partial(Histogram, registry=registry))
        self._declare_store(registry)
        self._declare_relay(registry)
        self._declare_consumers(partial(Counter, registry=registry), partial(Gauge, registry=registry))
        self._clock_offset = Gauge(
            "holdspace_clock_offset_seconds",
            "How far this process's clock is ahead of its store's; past a second either way it decides nothing.",
            registry=registry,
        )
        self._ready = Gauge("holdspace_ready", "1 while the api takes calls, else 0.", registry=registry)
        self._role_restarts = Counter(
            "holdspace_role_restarts", "Times a role failed and was started again.", ["role"], registry=registry
        )

    def _declare_api(self, counter: "partial[Counter]", histogram: "partial[Histogram]") -> None:
        self._calls = counter(
            "holdspace_grpc_calls",
            "Calls answered, by gRPC status code and declared reason (empty when OK or cancelled).",
            ANSWER,
        )
        self._call_seconds = histogram(
            "holdspace_grpc_call_seconds",
            "Time from a call's arrival to its answer; of a stream, its whole life.",
            CALL,
            buckets=CALL_SECONDS,
        )
        # Looking a label up costs as much as counting; there are few, so each is kept.
        self._calls_of, self._call_seconds_of = cache(self._calls.labels), cache(self._call_seconds.labels)
        self._stream_refusals = counter(
            "holdspace_grpc_stream_refusals", "Commands refused inside a stream that went on.", ANSWER
        )
        self._decided_again = counter(
            "holdspace_conflicts_retried", "Commands decided again because what they rested on moved.", ["command"]
        )
        self._repeated = counter(
            "holdspace_requests_repeated", "Commands answered with the first answer to their request.", ["command"]
        )
        self._enforced_seconds = histogram(
            "holdspace_report_to_enforced_seconds",
            "Time from a decision about a client's standing to its commit in this service's own store.",
            buckets=ENFORCED_SECONDS,
        )

    def _declare_store(self, registry: CollectorRegistry) -> None:
        self._appends = Counter("holdspace_appends", "Appends by outcome.", ["outcome"], registry=registry)
        self._appends_of = cache(self._appends.labels)
        self._batch_size = Histogram(
            "holdspace_append_batch_size", "Appends in one commit.", buckets=BATCH_APPENDS, registry=registry
        )
        self._queue = Gauge("holdspace_append_queue_length", "Appends waiting to be sent.", registry=registry)
        self._timers_fired = Counter("holdspace_timers_fired", "Timers that fired.", ["timer"], registry=registry)
        self._effects_rejected = Counter(
            "holdspace_effects_rejected",
            "Commands of our own reactions that a rule said no to.",
            ["reaction", "reason"],
            registry=registry,
        )
        self._projection_lag = Gauge(
            "holdspace_projection_lag_positions",
            "Positions between the store's head and what the projection has written.",
            ["projection"],
            registry=registry,
        )

    def _declare_relay(self, registry: CollectorRegistry) -> None:
        self._relayed = Counter(
            "holdspace_relay_facts", "Published facts that Kafka has acknowledged.", registry=registry
        )
        self._outbox_age = Gauge(
            "holdspace_outbox_age_seconds",
            "Age of the oldest fact not known to be in Kafka; 0 when there is none.",
            registry=registry,
        )
        self._watermarks_failed = Counter(
            "holdspace_relay_watermarks_failed",
            "Watermarks that could not be written everywhere: facts go on, gates that rest on them close.",
            registry=registry,
        )
        self._relay_active = Gauge(
            "holdspace_relay_active", "1 in the process that holds the lease.", registry=registry
        )

    def _declare_consumers(self, counter: "partial[Counter]", gauge: "partial[Gauge]") -> None:
        by: Sequence[str] = ("consumer",)
        self._handled = counter("holdspace_consumer_facts", "Facts a reaction has taken, rejections included.", by)
        self._rejected = counter("holdspace_consumer_rejected", "Facts of others that a rule said no to.", by)
        self._retried = counter("holdspace_consumer_retries", "Batches tried again: something did not answer.", by)
        self._parked = counter("holdspace_parked_records", "Records put aside until an operator redrives them.", by)
        self._parked_keys = gauge("holdspace_parked_keys", "Keys whose records are put aside now.", by)
        self._halted = gauge(
            "holdspace_consumer_halted", "1 while a consumer takes nothing: holdspace consumers list says why.", by
        )
        self._held = gauge("holdspace_consumer_held_records", "Records that wait for a watermark to cover them.", by)
        self._disordered = counter(
            "holdspace_consumer_disordered",
            "Records found that no relay sent where they stand: look for who else writes to the topic.",
            by,
        )
        self._lag_records = gauge("holdspace_consumer_lag_records", "Records behind the ends of its partitions.", by)
        self._lag_seconds = gauge(
            "holdspace_consumer_lag_seconds", "Age of the oldest watermark reached; NaN while it is not known.", by
        )
        self._source_age = gauge(
            "holdspace_consumer_source_age_seconds",
            "Age of a source's oldest watermark; NaN while a partition has none of it, and gates are closed.",
            ("consumer", "source"),
        )
        self._sources: dict[str, set[str]] = {}  # by consumer
        self._lane_age = gauge(
            "holdspace_lane_age_seconds",
            "Age of the oldest watermark among a lane's partitions: past gate_stale_seconds its gate fails closed.",
            ["lane"],
        )

    def called(self, service: str, method: str, code: str, reason: str, seconds: float) -> None:
        self._calls_of(service, method, code, reason).inc()
        self._call_seconds_of(service, method).observe(seconds)

    def refused_in_stream(self, service: str, method: str, code: str, reason: str) -> None:
        self._stream_refusals.labels(service, method, code, reason).inc()

    def decided_again(self, command: str) -> None:
        self._decided_again.labels(command).inc()

    def repeated(self, command: str) -> None:
        self._repeated.labels(command).inc()

    def enforced(self, seconds: float) -> None:
        self._enforced_seconds.observe(seconds)

    def appended(self, outcome: str, count: int) -> None:
        self._appends_of(outcome).inc(count)

    def batch(self, appends: int, waiting: int) -> None:
        self._batch_size.observe(appends)
        self._queue.set(waiting)

    def timer_fired(self, name: str) -> None:
        self._timers_fired.labels(name).inc()

    def effect_rejected(self, reaction: str, reason: str) -> None:
        self._effects_rejected.labels(reaction, reason).inc()

    def projection_lag(self, projection: str, positions: int) -> None:
        self._projection_lag.labels(projection).set(positions)

    def relayed(self, facts: int) -> None:
        self._relayed.inc(facts)

    def outbox_age_seconds(self, seconds: float) -> None:
        self._outbox_age.set(seconds)

    def watermark_failed(self) -> None:
        self._watermarks_failed.inc()

    def relay_active(self, active: bool) -> None:
        self._relay_active.set(active)

    def handled(self, consumer: str, facts: int) -> None:
        self._handled.labels(consumer).inc(facts)

    def rejected(self, consumer: str, facts: int) -> None:
        self._rejected.labels(consumer).inc(facts)

    def retried(self, consumer: str) -> None:
        self._retried.labels(consumer).inc()

    def parked(self, consumer: str, records: int) -> None:
        self._parked.labels(consumer).inc(records)

    def parked_keys(self, consumer: str, keys: int) -> None:
        self._parked_keys.labels(consumer).set(keys)

    def halted(self, consumer: str, *, halted: bool) -> None:
        self._halted.labels(consumer).set(halted)

    def held(self, consumer: str, records: int) -> None:
        self._held.labels(consumer).set(records)

    def disordered(self, consumer: str) -> None:
        self._disordered.labels(consumer).inc()

    def lag_records(self, consumer: str, records: int) -> None:
        self._lag_records.labels(consumer).set(records)

    def lag_seconds(self, consumer: str, seconds: float) -> None:
        self._lag_seconds.labels(consumer).set(seconds)

    def source_ages(self, consumer: str, seconds: Mapping[str, float]) -> None:
        """Shows the first SOURCES_MAX by name, and no longer those that are gone."""
        shown = sorted(seconds)[:SOURCES_MAX]
        for source in self._sources.get(consumer, set()).difference(shown):
            self._source_age.remove(consumer, source)
        self._sources[consumer] = set(shown)
        for source in shown:
            self._source_age.labels(consumer, source).set(seconds[source])

    def lane_age_seconds(self, lane: str, seconds: float) -> None:
        self._lane_age.labels(lane).set(seconds)

    def clock_offset_seconds(self, seconds: float) -> None:
        self._clock_offset.set(seconds)

    def ready(self, ready: bool) -> None:
        self._ready.set(ready)

    def role_restarted(self, role: str) -> None:
        self._role_restarts.labels(role).inc()


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


class VerifiedGates:
    """What `holdspace gates verify` found, for a scrape of its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._differences = Gauge(
            "holdspace_gate_differences",
            "Copies of gates that differ from their source, at the last `holdspace gates verify`.",
            ["source"],
            registry=registry,
        )
        self._verified = Gauge(
            "holdspace_gates_verified_timestamp_seconds",
            "When `holdspace gates verify` was last run.",
            ["source"],
            registry=registry,
        )

    def verified(self, source: str, differences: int) -> None:
        self._differences.labels(source).set(differences)
        self._verified.labels(source).set_to_current_time()
