#!/usr/bin/env bash
# graphiti-core 0.31.2 beside openai 3.57.0, Python 3.11: a fresh install of graphiti-core cannot be imported.
#
# Expected: `pip install graphiti-core` brings what `import graphiti_core` needs.
#
# Seen: ModuleNotFoundError: No module named 'httpx'. graphiti-core imports httpx without requiring it; it used to come with
# openai. Version 3 of openai requires httpx2 instead, and graphiti-core's own requirement (openai>=1.91) takes version 3.
# With openai 2.54.0 the same graphiti-core can be imported, since that one requires httpx.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
pip() { "$work/venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
imports() { "$work/venv/bin/python" -W ignore -c "import graphiti_core" 2>"$work/said"; }

pip install graphiti-core==0.31.2 openai==3.57.0
if imports; then echo "changed: it can be imported beside openai 3.57.0"; exit 1; fi
tail -n 1 "$work/said"
grep -q "No module named 'httpx'" "$work/said"
pip install openai==2.54.0
imports || { tail -n 1 "$work/said"; echo "changed: it can't be imported beside openai 2.54.0 either"; exit 1; }
echo "beside openai 2.54.0 it can be imported"
echo "as described"
