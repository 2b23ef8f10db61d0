"""The faults, by name."""

from collections.abc import Mapping

from tests.faults.fault import Fault
from tests.faults.injected.clocks import skew_clocks
from tests.faults.injected.data import make_topic_anew, make_watermarks_anew, poison_a_lane, restore_moderation
from tests.faults.injected.processes import kill_each_service, kill_one_of_two, stand_still, terminate_each_service
from tests.faults.injected.servers import (
    DISK_BYTES,
    cut_connections,
    fill_the_disk,
    freeze_servers,
    kill_kafka,
    kill_postgres,
)

FAULTS: Mapping[str, Fault] = {
    "kill": Fault(kill_each_service),
    "stop": Fault(stand_still),
    "sigterm": Fault(terminate_each_service),
    "two": Fault(kill_one_of_two, instances=2),
    "postgres": Fault(kill_postgres),
    "kafka": Fault(kill_kafka),
    "freeze": Fault(freeze_servers),
    "cut": Fault(cut_connections),
    "disk": Fault(fill_the_disk, disk_bytes=DISK_BYTES),
    "clock": Fault(skew_clocks),
    "poison": Fault(poison_a_lane),
    "restore": Fault(restore_moderation),
    "topic": Fault(make_topic_anew),
    "watermarks": Fault(make_watermarks_anew),
}
