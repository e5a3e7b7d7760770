"""A writer whose every transaction writes one number into all rows of a table, through SQLite's log; run as a program.

``python rewriting.py HOME [seen]``: ``seen`` holds the writer lock, as a writer of this machine does; without, it is one of
another machine, whose locks are not seen.
"""

import sqlite3
import sys
import time
from pathlib import Path

from landscape.runs.home import Lock
from landscape.runs.schema import FILE

ROWS, WIDTH = 60, 9000  # each row has pages of its own


def main(home: Path, seen: bool) -> None:
    lock = Lock.take(home / "writer.lock", {"kind": "process"}) if seen else None
    number = 0
    while True:
        db = sqlite3.connect(home / FILE, isolation_level=None)
        for i in range(30):  # then it closes the file: the log goes into it and away, and begins anew
            number += 1
            body = str(number).ljust(WIDTH)
            db.execute("BEGIN IMMEDIATE")
            for row in range(ROWS):
                db.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (f"row {row}", body))
            db.execute("COMMIT")
            if i % 10 == 9:
                db.execute("PRAGMA wal_checkpoint(RESTART)")
            time.sleep(0.004)
        db.close()
        time.sleep(0.01)
        print(number, lock is not None, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] == ["seen"])
