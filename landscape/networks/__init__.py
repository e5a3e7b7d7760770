"""Networks as functions of a flat weight vector."""

from landscape.networks.architectures import build
from landscape.networks.net import Net

__all__ = ["Net", "build"]
