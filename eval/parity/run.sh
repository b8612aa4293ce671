#!/bin/sh
# Writes the fixtures anew with PyTorch and runs the Rust tests that compare with them and print the largest errors.
set -eu
cd "$(dirname "$0")"
[ -d .venv ] || python3 -m venv .venv
.venv/bin/pip install --quiet --requirement requirements.txt
.venv/bin/python generate.py
cargo test --release --lib parity -- --nocapture --test-threads=1
