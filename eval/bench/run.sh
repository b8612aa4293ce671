#!/usr/bin/env bash
# Builds the program, then times and weighs it beside PyTorch; writes compare.md and data.txt beside this file.
# Arguments go to compare.py: eval/bench/run.sh --resolution 1024x2048 --batch-size 1
# On a GPU: FEATURES=cuda eval/bench/run.sh --device cuda --precision bf16
set -euo pipefail
cd "$(dirname "$0")"
# Outside the repository: PyTorch is larger than everything else together.
environment=${BENCH_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/infoseg/bench-venv}
[ -d "$environment" ] || python3 -m venv "$environment"
"$environment/bin/pip" install --quiet --requirement requirements.txt
cargo build --release --bin segbench --bin segdata ${FEATURES:+--features "$FEATURES"}
built=${CARGO_TARGET_DIR:-../../target}/release
{
    "$environment/bin/python" -B data.py --segdata "$built/segdata"
    "$environment/bin/python" -B data.py --segdata "$built/segdata" --window
} | tee data.txt
"$environment/bin/python" -B compare.py --segbench "$built/segbench" --out compare.md "$@"
