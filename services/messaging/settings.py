"""What messaging is told by its environment."""

from kernel.settings import Seconds, ServiceSettings


class Settings(ServiceSettings):
    stream_idle_seconds: Seconds = 300  # a SendStream without a message for this long is ended
    stream_age_seconds: Seconds = 1_800  # so that callers come back and find new pods
