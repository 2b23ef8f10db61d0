"""Texts that persons wrote, kept apart from facts."""

import hashlib
from typing import NamedTuple

from holdspace.kernel.v1.text_pb2 import Text
from kernel.store.interface import Attachment


class Written(NamedTuple):
    """A text with the id it is stored under."""

    id: str
    text: str

    @property
    def attachment(self) -> Attachment:
        return Attachment(self.id, self.text.encode())

    @property
    def reference(self) -> Text:
        """Returns what a fact says of it."""
        content = self.text.encode()
        return Text(attachment_id=self.id, size=len(content), sha256=hashlib.sha256(content).digest())
