"""Stands for torch: importing it leaves a trace of the process that did."""

import os
from pathlib import Path

with Path(os.environ["PRELOADED"]).open("a") as file:
    file.write(f"{os.getpid()}\n")
