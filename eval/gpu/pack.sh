#!/usr/bin/env bash
# eval/gpu/pack.sh TARGET_DIR OUT_DIR [CIFAR_DIR]: packs what run.sh needs on a machine with a GPU and nothing of ours.
# TARGET_DIR is cargo's, after `cargo build --release --features cuda` and `cargo test --release --features cuda --lib
# --no-run`; CIFAR_DIR is cifar-10-batches-bin, and is left out where it is not named.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 2 ]; then
    sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
release=$(cd "$1" && { cd release 2>/dev/null || true; } && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
cifar=${3:-}
most=60 # MiB
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The library's own tests: the newest program of that name.
newest_test() {
    local file newest=''
    for file in "$release"/deps/infoseg-*; do
        case $file in *.d | *.rlib | *.rmeta | *.so) continue ;; esac
        [ -x "$file" ] && { [ -z "$newest" ] || [ "$file" -nt "$newest" ]; } && newest=$file
    done
    [ -n "$newest" ] || { echo "pack.sh: no test program in $release/deps" >&2 && exit 1; }
    echo "$newest"
}

# Programs share most of their code: one archive, and a dictionary as large as all of them, store it once.
pack_programs() {
    local name bytes
    for name in segtrain segbench segpredict; do
        strip -o "$work/$name" "$release/$name"
    done
    strip -o "$work/parity" "$(newest_test)"
    ls -l "$work"
    bytes=$(cat "$work"/* | wc -c)
    local dict=$(((bytes >> 20) + 1))
    [ $dict -gt 512 ] && dict=512
    tar -C "$work" --sort=name --owner=0 --group=0 -c . |
        xz -T1 --lzma2=preset=9e,dict=${dict}MiB >"$out/binaries.tar.xz"
}

pack_libdevice() {
    local file=${CUDA_PATH:-}/nvvm/libdevice/libdevice.10.bc
    if [ -e "$file" ]; then
        mkdir -p "$out/nvvm/libdevice"
        cp "$file" "$out/nvvm/libdevice/"
    else
        echo "pack.sh: no $file; run.sh will look for one where it runs" >&2
    fi
}

pack_programs
pack_libdevice
[ -n "$cifar" ] && python3 "$here/cifar.py" pack "$cifar" "$out/data"
find "$out" -type f -exec ls -l {} +
bytes=$(find "$out" -type f -exec cat {} + | wc -c)
echo "$((bytes >> 10)) KiB in all; $((most << 10)) are allowed"
[ "$bytes" -lt $((most << 20)) ]
