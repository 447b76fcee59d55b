"""ESeg: encoder, pyramid, decoder, fusion, head (section 3.1, Figure 3)."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from eseg.models.config import ModelConfig
from eseg.models.fold import fold
from eseg.models.layers import Normalize, resize_to


class ESeg(nn.Module):
    """A semantic segmentation network without atrous convolutions or high internal resolution.

    `create_model` builds the parts; this class connects them.

    Args:
        encoder: Part from the image to the maps P2..P5 (P3..P5 for Lite).
        pyramid: Part that appends the levels beyond P5.
        decoder: Part that mixes the levels and returns maps of one width.
        fusion: Part from those maps to one map at the finest level.
        head: Part from that map to logits.
        mean: Mean RGB of the backbone's training images, in [0, 1].
        std: Their standard deviation, in [0, 1].
        config: Architecture of the parts; a checkpoint rebuilds the network from it.

    Attributes:
        frozen_norms: Names of the batch norms that stay in evaluation mode; see `freeze_encoder`.
    """

    def __init__(
        self,
        *,
        encoder: nn.Module,
        pyramid: nn.Module,
        decoder: nn.Module,
        fusion: nn.Module,
        head: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        config: ModelConfig,
    ) -> None:
        super().__init__()
        self.normalize = Normalize(mean, std)
        self.encoder = encoder
        self.pyramid = pyramid
        self.decoder = decoder
        self.fusion = fusion
        self.head = head
        self.config = config
        self.frozen_norms: tuple[str, ...] = ()

    def train(self, mode: bool = True) -> ESeg:
        """Set the mode of all modules, except that `frozen_norms` stay in evaluation mode."""
        super().train(mode)
        for name in self.frozen_norms:
            self.get_submodule(name).eval()
        return self

    @property
    def stride(self) -> int:
        """Pixels of the image per cell of `logits`, 4 or 8 in the presets."""
        return 1 << self.config.min_level

    def logits(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes rows columns"]:
        """Compute class scores at the finest level's stride: `rows` is ceil(height / stride).

        Args:
            image: RGB in [0, 1] (the channels of the config), any size from 1x1. The network alone
                normalises it.
        """
        features = self.encoder(self.normalize(image))  # P2..P5
        features = self.pyramid(features)  # P2..P9
        features = self.decoder(features)  # P2..P9, of one width
        return self.head(self.fusion(features))

    def forward(
        self, image: Float[Tensor, "batch channels height width"], *, upsample: bool = True
    ) -> Float[Tensor, "batch classes rows columns"]:
        """Compute class scores at the size of the image: `logits`, bilinearly upsampled.

        Args:
            image: RGB in [0, 1], as for `logits`.
            upsample: If False, return `logits`, for a loss that upsamples them itself. Training
                uses this in place of `logits` because wrappers of a module, for several processes
                or compilation, wrap its call.
        """
        logits = self.logits(image)
        return resize_to(logits, image) if upsample else logits

    def fold(self) -> ESeg:
        """Return an evaluation copy whose learned constants are constants of its graph.

        Softmax and normalised fusion weights become numbers, and batch norms become part of the
        convolutions before them (section 3.1: "we can get rid of the softmax function"). The
        logits are the same up to float rounding. The copy is for inference only.
        """
        return fold(self)
