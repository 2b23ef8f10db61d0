"""What response-SLA is told by its environment. What is owed to people is a fact: domain/response_policy.py."""

from kernel.settings import Seconds, ServiceSettings


class Settings(ServiceSettings):
    completeness_poll_seconds: Seconds = 0.5  # how often a process looks how far the figures are complete
