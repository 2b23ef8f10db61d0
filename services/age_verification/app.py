"""Every command of age verification and the stream it runs on."""

from kernel.folded import Fold
from kernel.routes import Route
from services.age_verification.domain import client_age
from services.age_verification.domain.client_age import (
    ClientAge,
    DeclareAge,
    RequestVerification,
    ReverseUnderAge,
    RevokeAssurance,
    TakeEvidence,
)

CLIENT_AGE = Fold(ClientAge(), client_age.evolve)


def client_stream(client_id: str) -> str:
    return f"client-{client_id}"


def on_client(command: RequestVerification | TakeEvidence | DeclareAge | RevokeAssurance | ReverseUnderAge) -> str:
    return client_stream(command.client_id)


ROUTES = [
    Route(RequestVerification, on_client, CLIENT_AGE, client_age.request),
    Route(TakeEvidence, on_client, CLIENT_AGE, client_age.take, claim_taken="RECEIPT_USED"),
    Route(DeclareAge, on_client, CLIENT_AGE, client_age.declare),
    Route(RevokeAssurance, on_client, CLIENT_AGE, client_age.revoke),
    Route(ReverseUnderAge, on_client, CLIENT_AGE, client_age.reverse),
]
