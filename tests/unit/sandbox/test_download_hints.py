"""What is said when Kafka's jars can't be downloaded."""

from __future__ import annotations

import requests

from ops.sandbox.jars import download_hint


def test_a_certificate_that_a_proxy_made_is_answered_with_the_variable_that_the_download_honours() -> None:
    # Given what requests says behind a proxy that inspects TLS, and without a network
    proxy = requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    offline = requests.exceptions.ConnectionError("Temporary failure in name resolution")
    # Then only the first is about certificates
    assert "REQUESTS_CA_BUNDLE" in download_hint(proxy)
    assert "online" in download_hint(offline)
