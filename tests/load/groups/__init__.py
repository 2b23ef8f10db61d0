"""Every group of the bench, by the id that `make bench ONLY=...` takes."""

from collections.abc import Mapping

from tests.load.groups import (
    api,
    append,
    append_limits,
    appenders,
    consumers,
    enforcement,
    figures,
    growth,
    importing,
    lone_append,
    relaying,
    replaying,
    stale_appends,
)
from tests.load.measuring import Group

GROUPS: Mapping[str, Group] = {
    "P1": append.GROUP,
    "P1L": append_limits.GROUP,
    "P1P": appenders.GROUP,
    "P3": lone_append.GROUP,
    "P4": stale_appends.GROUP,
    "P5": api.GROUP,
    "P6": relaying.GROUP,
    "P7": replaying.GROUP,
    "P9": growth.COST,
    "P9M": growth.MEMORY,
    "P10": enforcement.GROUP,
    "P11": consumers.GROUP,
    "P12": importing.GROUP,
    "P13": figures.GROUP,
}
