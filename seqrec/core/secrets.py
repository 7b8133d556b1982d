"""Keeps passwords and tokens that are part of addresses out of everything that is written or shown."""

import logging
import re

_HIDDEN = "***"
_USER = re.compile(r"(\w+)://([^/@\s'\"]+)(?=@)")  # scheme://user:password@host; the user may be a token.
_NAMED_USERS = ("hdfs", "abfs", "abfss", "wasb", "wasbs")  # Schemes whose user name alone is not a secret.
# A value of ?name=value&name=value, without the punctuation of the sentence that may follow it.
_QUERY = re.compile(r"(?<=[?&])([\w.%\-]+)=[^&\s'\"<>()]*[^&\s'\"<>():;,.]")


def redact(text: str) -> str:
    """`text` with `***` in place of credentials before an address' host, and of every value of an address' query."""
    return _QUERY.sub(rf"\1={_HIDDEN}", _USER.sub(_without_user, text))


def _without_user(found: re.Match[str]) -> str:
    scheme, user = found.groups()
    return found[0] if scheme in _NAMED_USERS and ":" not in user else f"{scheme}://{_HIDDEN}"


def has_secret(address: str) -> bool:
    """Whether `redact` would hide a part of an address."""
    return "://" in address and redact(address) != address


def refuse_secret(name: str, address: str | None) -> None:
    """
    Raises:
        ValueError: the address of the setting `name` holds credentials, which would end up in manifests and logs.
    """
    if address is not None and has_secret(address):
        raise ValueError(
            f"{name} is {redact(address)}, with credentials in it: give these in the environment "
            "(such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), and the plain address here."
        )


class RedactingFilter(logging.Filter):
    """Logging filter that masks secrets in every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        return True
