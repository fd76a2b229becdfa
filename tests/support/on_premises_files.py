"""The files of terraform/on-premises/ that several modules of tests read."""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[2] / "terraform" / "on-premises"
UNITS: Final = FOLDER / "systemd"
RULES: Final = FOLDER / "metrics" / "rules.yaml"
