"""Every group of the bench, by the id that `make bench ONLY=...` takes."""

from collections.abc import Mapping

from tests.load.groups import api, append, consumers, enforcement, importing, relaying
from tests.load.measuring import Group

GROUPS: Mapping[str, Group] = {
    "P1": append.GROUP,
    "P5": api.GROUP,
    "P6": relaying.GROUP,
    "P10": enforcement.GROUP,
    "P11": consumers.GROUP,
    "P12": importing.GROUP,
}
