"""Prints every lower bound of pyproject.toml as a pin, so that CI installs them together and runs the tests on them.

All but torch's: its older builds bring gigabytes of CUDA with them, so the one of constraints.txt is taken.
"""

import re
from pathlib import Path

from pip._vendor import tomli

project = tomli.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
    name, bound = re.fullmatch(r"([\w.-]+)(?:\[.*\])?(?:>=([\w.]+))?", requirement).groups()
    if bound and name != "torch":
        print(f"{name}=={bound}")
pins = Path("constraints.txt").read_text(encoding="utf-8").splitlines()
print(next(pin for pin in pins if pin.startswith("torch==")))
