"""Loss Valleys: every point of a loss surface is a network you can open."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"
__version__ = "0.1.0"
