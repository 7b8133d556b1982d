import logging

import pytest

from seqrec.core.secrets import RedactingFilter, has_secret, redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://KEY:hunter2@bucket/a", "s3://***@bucket/a"),
        ("https://hunter2@host/a b", "https://***@host/a b"),
        ("https://host/a.gz?token=hunter2&v=hunter2: 404", "https://host/a.gz?token=***&v=***: 404"),
        ("Max retries exceeded with url: /a?X-Amz-Signature=hunter2 (x)", "Max retries exceeded with url: "
         "/a?X-Amz-Signature=*** (x)"),
        ("https://host/a: 5 & b=3?", "https://host/a: 5 & b=3?"),
        ("abfss://container@account.dfs.core.windows.net/a hdfs://me@node:8020/a",
         "abfss://container@account.dfs.core.windows.net/a hdfs://me@node:8020/a"),
        ("hdfs://me:hunter2@node/a", "hdfs://***@node/a"),
        ("mail me@host or s3://bucket/a@b", "mail me@host or s3://bucket/a@b"),
    ],
)  # fmt: skip
def test_redact_hides_what_an_address_must_not_show_and_nothing_else(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert has_secret(text) == ("hunter2" in text and "://" in text)


def test_no_record_passes_the_filter_with_a_secret_in_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(RedactingFilter())

    logging.getLogger("seqrec.any").warning("%s of %d", "http://a:hunter2@b/c?t=hunter2", 3)

    assert caplog.messages == ["http://***@b/c?t=*** of 3"]
