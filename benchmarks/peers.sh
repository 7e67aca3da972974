#!/bin/sh
# Installs the gateways that overhead.py and streaming.py compare with into FOLDER (about 900 MB, some minutes).
# The scripts do the same on their own when given --peers FOLDER; this is for doing it beforehand.
#
#     benchmarks/peers.sh FOLDER
set -eu
cd "$(dirname "$0")"
exec "${PYTHON:-../.venv/bin/python}" -c '
import sys
from pathlib import Path
from harness.peers import install
wrong = install(Path(sys.argv[1]))
for name, why in wrong.items():
    print(f"MISSING {name}: {why}")
sys.exit(bool(wrong))
' "${1:?usage: benchmarks/peers.sh FOLDER}"
