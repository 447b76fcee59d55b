"""Weighted sums of feature maps: softmax weights in the fusion, fast normalised in the BiFPN."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eseg.models.layers import resize_to


class ConstantSum(nn.Module):
    """A weighted sum of maps of one shape by constants, the folded form of a learned sum."""

    def __init__(self, coefficients: Sequence[float]) -> None:
        super().__init__()
        self.coefficients = tuple(coefficients)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return the sum over i of `coefficients[i] * features[i]`."""
        return _weighted_sum(self.coefficients, features)

    def extra_repr(self) -> str:
        """Show the coefficients when the module is printed."""
        return ", ".join(f"{value:.4f}" for value in self.coefficients)


class LearnedSum(nn.Module, ABC):
    """A weighted sum of maps of one shape, by one learned scalar per map, initialised to 1."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(inputs))

    @abstractmethod
    def coefficients(self) -> Float[Tensor, " inputs"]:
        """Compute the factors of the maps from the scalars."""

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return the sum over i of `coefficients()[i] * features[i]`."""
        return _weighted_sum(self.coefficients().unbind(), features)

    def fold(self) -> ConstantSum:
        """Return the same sum with its current coefficients as constants (section 3.1)."""
        return ConstantSum(self.coefficients().detach().tolist())


class SoftmaxSum(LearnedSum):
    """Coefficients are the softmax of the scalars (section 3.1).

    Deviation: the paper calls the scalars non-negative. Softmax ignores a common offset, so that
    the constraint would not change what it can express; they stay unconstrained.
    """

    def coefficients(self) -> Float[Tensor, " inputs"]:
        """Return the softmax over the inputs: positive, summing to one."""
        return self.weight.softmax(dim=0)


class FastNormalizedSum(LearnedSum):
    """Coefficients are relu(w) / (sum of relu(w) + 1e-4): EfficientDet's fast normalised fusion."""

    def coefficients(self) -> Float[Tensor, " inputs"]:
        """Return non-negative factors that sum to just under one."""
        weight = self.weight.relu()  # (inputs,)
        return weight / (weight.sum() + 1e-4)


def _weighted_sum(
    coefficients: Sequence[float] | Sequence[Tensor], features: list[Tensor]
) -> Tensor:
    total = features[0] * coefficients[0]
    for coefficient, feature in zip(coefficients[1:], features[1:], strict=True):
        total = total + feature * coefficient
    return total


class SoftmaxFusion(nn.Module):
    """Softmax-weighted sum of all levels, upsampled to the finest one (section 3.1).

    Args:
        levels: Number of maps.
        slope: Difference between the initial scalar of each level and that of the next coarser
            one; with 0 all start at 1, as in the paper.
    """

    def __init__(self, levels: int, slope: float = 0.0) -> None:
        super().__init__()
        self.weighted_sum = SoftmaxSum(levels)
        with torch.no_grad():
            self.weighted_sum.weight.sub_(slope * torch.arange(levels))

    def forward(
        self, features: list[Float[Tensor, "batch channels _ _"]]
    ) -> Float[Tensor, "batch channels height width"]:
        """Fuse maps, fine to coarse and of one width, into one map of the finest one's size."""
        finest = features[0]
        return self.weighted_sum([finest, *(resize_to(x, finest) for x in features[1:])])
