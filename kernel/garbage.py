"""Python's garbage collection, kept from stalling calls."""

import gc

YOUNG_OBJECTS_MAX = 20_000  # of Python's 700, each batch of messages sets off dozens of collections that find nothing


def keep_what_is_there() -> None:
    """Leaves everything that exists now out of all later collections, and lets those come less often; called once, when
    a process has been set up.

    A full collection walks every object and lets nothing else run meanwhile: 50 to 70 ms with the modules a service
    imports, several times a second under load, and a few milliseconds without them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX)
