#!/usr/bin/env bash
# Fuzzes every target, or those that are named, for so many seconds each:
#
#     fuzz/run.sh 600                   # as in eval/robustness.md: nightly Rust, AddressSanitizer, as many at once as cores
#     fuzz/run.sh 600 picture weights
#     fuzz/run.sh --smoke 10            # as CI does: any Rust, no sanitizer, quickly built
#
# Needs cargo-fuzz (cargo install cargo-fuzz). What is found is in fuzz/artifacts/TARGET, and the exit status is 1.
set -euo pipefail
cd "$(dirname "$0")/.."

build=(cargo +nightly fuzz build) kind=release
if [[ ${1:-} == --smoke ]]; then
    build=(cargo fuzz build --dev --sanitizer none) kind=debug
    shift
fi
seconds=${1:?how many seconds each}
shift
mapfile -t targets < <(if (($#)); then printf '%s\n' "$@"; else cargo fuzz list; fi)

"${build[@]}"
target=${CARGO_TARGET_DIR:-fuzz/target}
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT

one() {
    local name=$1 limit=1024
    # A picture may have 16384 pixels a side: decoded, in 16 bits and four colours, 2 GiB, and 0.8 GiB as the program holds it.
    case $name in
    picture) limit=4096 ;;
    label) limit=2048 ;;
    esac
    local seeds=fuzz/seeds/$name
    [[ $name == config ]] && seeds=configs
    mkdir -p "fuzz/corpus/$name" "fuzz/artifacts/$name"
    TMPDIR=$log "$target/$(uname -m)-unknown-linux-gnu/$kind/$name" "fuzz/corpus/$name" "$seeds" -max_total_time="$seconds" -rss_limit_mb="$limit" \
        -malloc_limit_mb="$limit" -timeout=30 -max_len=131072 -print_final_stats=1 -verbosity=1 \
        -artifact_prefix="fuzz/artifacts/$name/" >"$log/$name" 2>&1 || echo "$name" >>"$log/failed"
    local stat='s/stat::number_of_executed_units: *//p'
    printf '%-12s %12s inputs  %6s edges  %5s MB at most  %s\n' "$name" "$(sed -n "$stat" "$log/$name")" \
        "$(grep -o 'cov: [0-9]*' "$log/$name" | tail -1 | cut -c6-)" \
        "$(sed -n 's/stat::peak_rss_mb: *//p' "$log/$name")" \
        "$(grep -m1 -E 'ERROR: libFuzzer|ERROR: AddressSanitizer|panicked at' "$log/$name" || echo 'nothing found')"
}
export -f one
export log target kind seconds
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'set -euo pipefail; one {}'
if [[ -e $log/failed ]]; then
    while read -r name; do tail -n 60 "$log/$name" >&2; done <"$log/failed"
    exit 1
fi
