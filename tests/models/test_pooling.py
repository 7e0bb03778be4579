import pytest
import torch

from w2s_ray.models.pooling import pool

STATES = torch.tensor([[[1.0, 10.0], [3.0, 30.0], [5.0, 50.0]]])


def padded(side: str, padding: float) -> tuple[torch.Tensor, torch.Tensor]:
    extra, ones = torch.full((1, 2, 2), padding), torch.ones(1, 3, dtype=torch.long)
    zeros = torch.zeros(1, 2, dtype=torch.long)
    if side == "right":
        return torch.cat([STATES, extra], dim=1), torch.cat([ones, zeros], dim=1)
    return torch.cat([extra, STATES], dim=1), torch.cat([zeros, ones], dim=1)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("padding", [0.0, 1e9, float("nan")])
def test_the_mean_is_over_the_real_tokens_whatever_lies_in_the_padding(side: str, padding: float) -> None:
    assert pool(*padded(side, padding), "mean").tolist() == [[3.0, 30.0]]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("padding", [0.0, 1e9, float("nan")])
def test_the_last_token_is_the_last_real_one_on_either_side(side: str, padding: float) -> None:
    assert pool(*padded(side, padding), "last").tolist() == [[5.0, 50.0]]


def test_an_unknown_pooling_is_named_in_the_error() -> None:
    with pytest.raises(ValueError, match="'max'"):
        pool(STATES, torch.ones(1, 3), "max")
