"""How large a transformer is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dimensions:
    """The size of a transformer: its layers, the width of their states, and all parameters."""

    layers: int
    width: int
    parameters: int

    def layers_at(self, depth: int | None) -> int:
        """Returns how many are left after a cut; None cuts nothing."""
        return self.layers if depth is None else min(depth, self.layers)

    def parameters_at(self, depth: int | None) -> int:
        """Returns about how many are left after a cut: a layer has 12 width^2, but for biases and norms."""
        cut_off = self.layers - self.layers_at(depth)
        return max(self.parameters - cut_off * 12 * self.width**2, self.width)
