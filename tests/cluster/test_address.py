"""Which addresses are used, and what of them is shown."""

import pytest

from w2s_ray.cluster.address import ClusterError, checked


@pytest.mark.parametrize("address", ["http://localhost:8265/", "http://127.0.0.1:8265", "http://[::1]:8265"])
def test_plain_http_may_go_to_this_machine(address: str) -> None:
    assert checked(address) == address.rstrip("/")


def test_plain_http_over_a_network_gives_no_token_away_unless_it_is_asked_to() -> None:
    with pytest.raises(ClusterError, match="clear text"):
        checked("http://head.example:8265")
    assert checked("http://head.example:8265", insecure=True) == "http://head.example:8265"
    assert checked("https://head.example") == "https://head.example"


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(ClusterError, match="holds credentials") as caught:
        checked("https://me:canary@head.example")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("address", ["head:8265", "ray://head:10001", "https://", ""])
def test_what_is_no_dashboard_is_answered_with_what_would_be(address: str) -> None:
    with pytest.raises(ClusterError, match="URL of a Ray dashboard"):
        checked(address)
