"""Ray's token: there, asked for, and hidden from others."""

from pathlib import Path

import pytest

from w2s_ray.doctor.access import token
from w2s_ray.doctor.request import Request


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder that others may enter, without a token."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    (home / ".ray").mkdir(parents=True)
    for folder in (home, home / ".ray"):
        folder.chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    return home


def test_ray_makes_a_token_here_but_a_cluster_has_its_own() -> None:
    assert token(Request())[0].state == "ok"
    (found,) = token(Request(is_cluster=True))
    assert (found.state, found.mend) == ("problem", "set RAY_AUTH_TOKEN to the cluster's, on every node")


def test_a_token_that_other_users_can_read_is_a_warning(home: Path) -> None:
    path = home / ".ray" / "auth_token"
    path.write_text("canary")
    path.chmod(0o644)
    (found,) = token(Request(is_cluster=True))
    assert (found.state, found.mend) == ("warning", f"chmod 600 {path}")
    home.chmod(0o700)
    assert token(Request(is_cluster=True))[0].state == "ok"


def test_a_ray_that_asks_for_no_token_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    (found,) = token(Request())
    assert found.state == "warning"
    assert "whoever reaches Ray's ports runs any code" in found.says


def test_a_token_of_the_environment_is_used_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "canary-token")
    (found,) = token(Request(is_cluster=True))
    assert (found.state, found.says) == ("ok", "from RAY_AUTH_TOKEN")
