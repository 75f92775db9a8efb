"""What a service of the local Azure refuses, before it is put into that service's own form of error body."""


class AzureError(Exception):
    """A refusal in Azure's words.

    Args:
        status: the HTTP status.
        code: Azure's code, as `RoleAssignmentExists`.
        message: Azure's message. Never a secret value.
        inner: the code of `innererror`, where the service has one.
        headers: headers that go with the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, *, inner: str = "", headers: dict[str, str] | None = None
    ) -> None:
        self.status, self.code, self.message, self.inner = status, code, message, inner
        self.headers = dict(headers or {})
        super().__init__(f"{status} {code}: {message}")
