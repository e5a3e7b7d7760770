"""Are the dependencies what they were? ``make audit`` compares the SHA-256 of every file that pip would install with
``.ci/hashes.txt``, and asks pip-audit for known holes where its data can be reached. ``--write`` adds what is new.

A file that is listed must have the hash it had; one that is not listed (another platform) is named. Exit status 1 if a hash
differs or a hole is known.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

HERE = Path(__file__).parent
HASHES, PINS = HERE / "hashes.txt", HERE.parent / "constraints.txt"


def offered() -> dict[str, str]:
    """{file name: SHA-256} of what the registry offers this machine for the pinned versions; empty if it does not answer.

    A local build (a version with a +) is nobody else's file, and is left out.
    """
    asked = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet",
             "--report", "-", "-r", str(PINS)]
    done = subprocess.run(asked, check=False, capture_output=True, text=True)
    if done.returncode:
        print(f"The registry does not answer, so nothing was compared:\n{done.stderr.strip()[-500:]}", file=sys.stderr)
        return {}
    found = {}
    for one in json.loads(done.stdout)["install"]:
        name = unquote(urlsplit(one["download_info"]["url"]).path.rsplit("/", 1)[-1])
        if "+" in name:
            continue
        found[name] = one["download_info"]["archive_info"]["hashes"]["sha256"]
    return found


def known() -> dict[str, str]:
    lines = HASHES.read_text().splitlines() if HASHES.exists() else []
    return dict(line.split() for line in lines if line and not line.startswith("#"))


def holes() -> tuple[bool, str]:
    """(whether a hole is known, what pip-audit says); its data may be out of reach."""
    done = subprocess.run([sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "-f", "json", "-r", str(PINS)],
                          capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return False, "pip-audit is not installed, or its data cannot be reached: known holes were not looked up."
    audited = [one for one in found if "skip_reason" not in one]
    if not audited:
        return False, "pip-audit's data cannot be reached: known holes were not looked up."
    bad = [f"{one['name']} {one['version']}: {', '.join(hole['id'] for hole in one['vulns'])}"
           for one in audited if one["vulns"]]
    return bool(bad), "\n".join(bad) or f"pip-audit knows no hole in {len(audited)} of {len(found)} packages."


def main() -> int:
    found, pinned = offered(), known()
    if "--write" in sys.argv:
        lines = [f"{name} {sha}" for name, sha in sorted((found | pinned).items())]
        first = "# SHA-256 of the files of constraints.txt, as first installed; see audit.py."
        HASHES.write_text("\n".join([first, *lines, ""]))
        pinned = known()
    differ = [name for name, sha in found.items() if pinned.get(name, sha) != sha]
    new = [name for name in found if name not in pinned]
    bad, said = holes()
    print(f"{len(found) - len(new) - len(differ)} of {len(found)} files have the hash they had.")
    print(*[f"DIFFERS: {name}" for name in differ], *[f"not listed: {name}" for name in new], said, sep="\n")
    return int(bool(differ) or bad)


if __name__ == "__main__":
    sys.exit(main())
