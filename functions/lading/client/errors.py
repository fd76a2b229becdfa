"""ClientError."""


class ClientError(Exception):
    """A request that failed before the registry decided on it; the message is a sentence with the next step."""
