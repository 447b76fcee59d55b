"""Training losses: callables from a network's logits, at any resolution, and a mask to a scalar."""

from eseg.losses.loss_config import LOSSES, Loss, LossConfig, build_loss
from eseg.losses.upsampled import sum_over_pixels

__all__ = ["LOSSES", "Loss", "LossConfig", "build_loss", "sum_over_pixels"]
