"""What fixes the shapes of a StyleGAN2 generator; the network and the readers of checkpoints both need it."""

from __future__ import annotations

from dataclasses import dataclass

from stylemixseg._util.checks import check_int, check_real


@dataclass(frozen=True)
class Architecture:
    """What fixes the shapes of a StyleGAN2 generator.

    Attributes:
        z_dim, w_dim: latent sizes, 512 in all official networks.
        mapping_layers: depth of the mapping network: 8, or 2 in ADA's `auto` configuration.
        channels: feature channels at 4, 8, ..., resolution px.
        conv_clamp: activations are clamped to +- this value (256 in networks trained in half precision), or None.
    """

    z_dim: int
    w_dim: int
    mapping_layers: int
    channels: tuple[int, ...]
    conv_clamp: float | None = None

    def __post_init__(self):
        for name in ("z_dim", "w_dim", "mapping_layers"):
            check_int(name, getattr(self, name), 1)
        if not isinstance(self.channels, tuple) or not 2 <= len(self.channels) <= 10:
            raise ValueError(f"channels must be a tuple, one number a resolution from 4 px on, got {self.channels!r}")
        for count in self.channels:
            check_int("channels", count, 1)
        if self.conv_clamp is not None:
            check_real("conv_clamp", self.conv_clamp, 1e-3, 1e6)

    @property
    def resolution(self) -> int:
        """Side of the image in pixels."""
        return 4 << (len(self.channels) - 1)

    @property
    def num_ws(self) -> int:
        """Number of modulated layers l; c runs over 0..num_ws."""
        return 2 * len(self.channels)
