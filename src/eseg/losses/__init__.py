"""The training loss: cross-entropy over the pixels the network still gets wrong."""

from eseg.losses.ohem import LossConfig, ohem_cross_entropy
from eseg.losses.upsampled import upsampled_ohem_cross_entropy

__all__ = ["LossConfig", "ohem_cross_entropy", "upsampled_ohem_cross_entropy"]
