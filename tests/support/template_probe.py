"""A module that a test of the template runs in place of a trainer; the first argument names its behaviour."""

import os
import sys
import tempfile
import time
from pathlib import Path

behaviour, *rest = sys.argv[1:]
if behaviour == "report":
    facts = {"folder": str(Path.cwd()), "temporary": tempfile.gettempdir(), "variable": os.environ["PROBE"]}
    sys.stderr.write(f"{facts} {'torch' in sys.modules} {rest}")
elif behaviour == "fail":
    raise ValueError("a bug")
elif behaviour == "exit":
    sys.exit(75)
else:
    print("{}", flush=True)  # noqa: T201  # a report
    time.sleep(60)
