#!/usr/bin/env bash
# Compares and times; writes compare.txt and throughput.txt beside this file.
set -euo pipefail
cd "$(dirname "$0")"
environment=../../target/official-venv
[ -d "$environment" ] || python3 -m venv "$environment"
"$environment/bin/pip" install --quiet --requirement requirements.txt
cargo build --release --bin segeval --bin segdata
"$environment/bin/python" -B compare.py | tee compare.txt
"$environment/bin/python" -B throughput.py --rounds 5 | tee throughput.txt
