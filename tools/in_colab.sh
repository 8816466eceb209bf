#!/usr/bin/env bash
# In Colab's image: install the course as a notebook's first cell does, and run every notebook.
# The course must never change the torch that Colab brings.
set -euo pipefail
cd "$(dirname "$0")/.."

torch_version() { python3 -c 'from importlib.metadata import version; print(version("torch"))'; }

before=$(torch_version)
python3 -m pip install -q ".[metrics,music,train]" nbval
after=$(torch_version)
if [ "$before" != "$after" ]; then
  echo "installing the course changed torch from $before to $after" >&2
  exit 1
fi

# notebooks away from the source tree, so that they find the installed package and its data
folder=$(mktemp -d)
cp notebooks/*.ipynb "$folder"
cd "$folder"
UNMIX_BUDGET=smoke python3 -m pytest -q --nbval-lax --nbval-cell-timeout=300 -p no:cacheprovider .
