"""A real MLflow server behind TLS whose certificate is by a CA of our own, as companies have them."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from ports import free_port
from servers import mlflow_server

from w2s_ray.search.record import COMPLETE
from w2s_ray.tracking import BackgroundTracker

pytestmark = pytest.mark.slow

NAMED_BY = ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE")
Look = Callable[..., Any]


def ca_file(ca: trustme.CA, path: Path) -> Path:
    ca.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """The address of the server, and the file of its CA, which nothing on this machine trusts by itself."""
    ca, key, chain = trustme.CA(), tmp_path / "key.pem", tmp_path / "chain.pem"
    certificate = ca.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(key)
    for part in certificate.cert_chain_pems:
        part.write_to_path(chain, append=True)
    file = ca_file(ca, tmp_path / "ca.pem")
    for name in (*NAMED_BY, "CURL_CA_BUNDLE", "MLFLOW_TRACKING_INSECURE_TLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))  # with which the helper sees that the server is up
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    port, options = free_port(), f"--ssl-keyfile {key} --ssl-certfile {chain}"
    with mlflow_server(f"sqlite:///{tmp_path}/served.db", port, tmp_path, "--uvicorn-opts", options, scheme="https"):
        yield f"https://127.0.0.1:{port}", file


def test_a_server_behind_tls_is_written_once_its_ca_is_named_and_says_how_to_name_it(
    served: tuple[str, Path],
    fake: Any,
    shown: Look,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url, ca = served
    stranger = ca_file(trustme.CA(), tmp_path / "stranger.pem")

    def projected(*states: str) -> bool:
        return BackgroundTracker(url, fake.sweep, fake.store, "mine", pause=0).close(fake.record(*states), timeout=120)

    assert not projected(COMPLETE), "an unknown CA was trusted"
    monkeypatch.setenv(NAMED_BY[0], str(stranger))
    assert not projected(COMPLETE), "another CA was trusted"
    warnings = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING and "w2s" in one.name]
    assert len(warnings) == 2
    for warning in warnings:
        assert warning.startswith(f"MLflow at {url} cannot be written (")
        assert "name that of its CA in MLFLOW_TRACKING_SERVER_CERT_PATH" in warning
        assert "The sweep loses nothing" in warning
    monkeypatch.delenv(NAMED_BY[0])
    for number, name in enumerate(NAMED_BY, 1):
        with monkeypatch.context() as environment:
            environment.setenv(name, str(ca))
            assert projected(*[COMPLETE] * number), name
    assert len(shown(f"sqlite:///{tmp_path}/served.db").of("trial")) == 2
