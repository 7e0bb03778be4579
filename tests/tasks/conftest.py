import pytest

from w2s_ray.assets import fetch


@pytest.fixture(scope="session")
def movie_reviews(tmp_path_factory):
    """The real data set, in a cache of the test session's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("W2S_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield fetch("movie-reviews") / "movie_reviews.txt"
