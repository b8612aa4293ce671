#!/usr/bin/env bash
# eval/gpu/run.sh BIN_DIR OUT_DIR [STEP...]: measures on the GPU of this machine what README.md says, in order of worth.
# BIN_DIR is what pack.sh has made; STEPs are names or patterns such as 'c_*' (all of them where none is named).
#
#   INFOSEG_GPU_SECONDS   time for all of it [540]
#   INFOSEG_GPU_ARCHIVE   file that OUT_DIR is packed into after each step, such as results.tar.gz [none]
#   INFOSEG_GPU_STEPS     training steps of a measurement [20]
#   INFOSEG_GPU_EPOCHS    epochs on CIFAR-10 [60]
#   INFOSEG_GPU_DEVICE    where our programs and PyTorch compute [cuda]
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ $# -lt 2 ]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
bins=$(cd "$1" && pwd) || exit 2
mkdir -p "$2" && out=$(cd "$2" && pwd) || exit 2
shift 2
wanted=("$@")
total=${INFOSEG_GPU_SECONDS:-540}
archive=$(realpath -m "${INFOSEG_GPU_ARCHIVE:-/dev/null}")
count=${INFOSEG_GPU_STEPS:-20}
epochs=${INFOSEG_GPU_EPOCHS:-60}
device=${INFOSEG_GPU_DEVICE:-cuda}
deadline=$((SECONDS + total))
work=$(mktemp -d)
sampler=''
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
export CARGO_MANIFEST_DIR=$root # the parity test reads its fixtures there

finish() {
    [ -n "$sampler" ] && kill "$sampler" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# --- What our programs need -------------------------------------------------------------------------------------------

decompress() {
    if command -v xz >/dev/null; then
        xz -dc --memlimit=max -- "$1"
    else
        python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$1"
    fi
}

unpack() {
    mkdir -p "$work/bin" "$HOME/.cache"
    local file name
    for file in "$bins"/*.xz; do
        name=$(basename "$file" .xz)
        case $name in
        cache.tar) decompress "$file" | tar -x -C "$HOME/.cache" ;;
        *.tar) decompress "$file" | tar -x -C "$work/bin" ;;
        *) decompress "$file" >"$work/bin/$name" ;;
        esac || echo "run.sh: cannot unpack $file" >&2
    done
    chmod +x "$work/bin"/* 2>/dev/null
    # Read from the folder that a program is started in.
    [ -e "$bins/cubecl.toml" ] && cp "$bins/cubecl.toml" "$work/"
    # For libraries that are loaded as the program runs, such as NVRTC.
    [ -d "$bins/lib" ] && export LD_LIBRARY_PATH=$bins/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    true
}

# libdevice.10.bc, from which the kernels' mathematical functions come, under $CUDA_PATH/nvvm/libdevice.
find_libdevice() {
    local file wheels
    for CUDA_PATH in "$bins" "${CUDA_PATH:-}" /usr/local/cuda /opt/cuda /usr/lib/cuda; do
        export CUDA_PATH
        [ -e "$CUDA_PATH/nvvm/libdevice/libdevice.10.bc" ] && return
    done
    wheels=$(python3 -c 'import site; print(*site.getsitepackages(), site.getusersitepackages(), sep="\n")')
    # shellcheck disable=SC2086 # a folder a line
    file=$(IFS=$'\n' && find /usr/local/cuda-* $wheels -name libdevice.10.bc 2>/dev/null | head -n 1)
    export CUDA_PATH=$work/cuda
    mkdir -p "$CUDA_PATH/nvvm/libdevice"
    if [ -n "$file" ]; then
        ln -s "$file" "$CUDA_PATH/nvvm/libdevice/libdevice.10.bc"
    else
        echo "run.sh: no libdevice.10.bc found; kernels that call exp and the like will not compile" >&2
    fi
}

# --- Steps ------------------------------------------------------------------------------------------------------------

is_wanted() {
    local pattern
    [ ${#wanted[@]} -eq 0 ] && return
    for pattern in "${wanted[@]}"; do
        # shellcheck disable=SC2053 # it is a pattern
        [[ $1 == $pattern ]] && return
    done
    return 1
}

note() { # STEP STATUS EXIT_STATUS START END
    printf '{"step": "%s", "status": "%s", "rc": %d, "started": %s, "ended": %s}\n' "$@" >>"$out/steps.jsonl"
}

pack_results() {
    [ "$archive" = /dev/null ] && return
    tar -C "$(dirname "$out")" -czf "$archive.part" "$(basename "$out")" && mv "$archive.part" "$archive"
}

# step NAME LEAST MOST TYPE COMMAND...: runs it for MOST of 540 seconds at most (in proportion, where there are more or
# fewer), if there are LEAST left. Its stdout is OUT_DIR/NAME.TYPE, its stderr OUT_DIR/NAME.log.
step() {
    local name=$1 least=$2 most=$3 type=$4 left start status=ok rc=0
    shift 4
    is_wanted "$name" || return 0
    left=$((deadline - SECONDS))
    start=$(date +%s.%N)
    if [ $left -lt "$least" ]; then
        note "$name" skipped 0 "$start" "$start"
        echo "$name: skipped, $left s left" >&2
        return
    fi
    most=$((most * total / 540))
    [ "$most" -lt "$least" ] && most=$least
    [ "$most" -gt $left ] && most=$left
    (cd "$work" && timeout -k 3 "$most" "$@" >"$out/$name.$type" 2>"$out/$name.log") || rc=$?
    [ -e "$work/runs/$name/metrics.jsonl" ] && cp "$work/runs/$name/metrics.jsonl" "$out/$name.metrics.jsonl"
    case $rc in 0) ;; 124 | 137) status="timed out" ;; *) status=failed ;; esac
    note "$name" "$status" $rc "$start" "$(date +%s.%N)"
    echo "$name: $status, $(date +%s.%N | awk -v s="$start" '{printf "%.1f", $1 - s}') s" >&2
    [ "${alone:-1}" = 0 ] || pack_results
}

# --- Our programs -----------------------------------------------------------------------------------------------------

config=$root/configs/cityscapes-r101-k2-1024x2048.toml
# torchvision's DeepLabV3 in the words of our configuration, and the cuts that pytorch.py has as well.
torchvision=(--set model.stem=torchvision --set model.decode_head=torchvision --set model.aspp_channels=256
    --set model.aux_channels=256)
cuts_2='local.cuts=["layer3.12"]'
cuts_4='local.cuts=["layer1.2", "layer3.6", "layer3.14"]'

modules() { # K: sets `cut` to the flags for so many modules
    case $1 in
    1) cut=(--local-k 1 --method e2e) ;;
    2) cut=(--local-k 2 --set "$cuts_2") ;;
    4) cut=(--local-k 4 --set "$cuts_4") ;;
    esac
}

ours() { # NAME LEAST MOST PRECISION K RESOLUTION BATCH STEPS FLAG...
    local name=$1 least=$2 most=$3 precision=$4 k=$5 resolution=$6 batch=$7 steps=$8 cut
    shift 8
    modules "$k"
    # What `segbench step` starts: by itself it keeps what a failed process had to say to its last line.
    step "$name" "$least" "$most" json "$work/bin/segbench" step-once --config "$config" --device "$device" \
        --resolution "$resolution" --batch-size "$batch" --precision "$precision" --bench-steps "$steps" \
        "${cut[@]}" "${torchvision[@]}" "$@"
}

theirs() { # NAME LEAST MOST PRECISION RUNS RESOLUTION BATCH STEPS
    step "$1" "$2" "$3" json python3 "$here/pytorch.py" --device "$device" --precision "$4" --local-k "$5" \
        --height "${6%x*}" --width "${6#*x}" --batch "$7" --steps "$8"
}

trains() { # NAME LEAST MOST STEPS FLAG...: DeepLabV3 on built-in scenes
    local name=$1 least=$2 most=$3 steps=$4 cut
    shift 4
    modules 2
    step "$name" "$least" "$most" txt "$work/bin/segtrain" --config "$config" --dataset synthetic --resolution 512x1024 \
        --batch-size 2 --steps "$steps" --out "$work/runs/$name" --set data.synthetic_resolution=512x1024 \
        --set 'data.synthetic_count=[40, 1]' --set train.log_every_steps=10 --set train.eval_every_steps=0 \
        --set train.save_every_steps=0 --set train.overlays=0 "${cut[@]}" "${torchvision[@]}" "$@"
}

two_devices() { # twice the same where there is one
    local gpus
    gpus=$(nvidia-smi -L 2>/dev/null | wc -l)
    if [ "$device" = cpu ] || [ "$gpus" -gt 1 ]; then echo "$device:0,$device:1"; else echo "$device:0,$device:0"; fi
}

classifies() { # NAME METHOD_FLAG...: ResNet-32 on CIFAR-10, scored five times on the way
    local name=$1 pictures steps
    shift
    pictures=$(($(cat "$work"/cifar/data_batch_*.bin | wc -c) / 3073))
    steps=$(((epochs * pictures + 512) / 1024))
    step "$name" 30 600 txt "$work/bin/segtrain" --dataset cifar10 --data-root "$work/cifar" --device "$device" \
        --batch-size 1024 --steps "$steps" --out "$work/runs/$name" --set data.workers=3 --set train.overlays=0 \
        --set "train.eval_every_steps=$((steps / 6 + 1))" --set train.save_every_steps=0 --set train.log_every_steps=5 "$@"
}

# Where BIN_DIR/data has CIFAR-10, as its publisher ships it or as cifar.py packs it.
find_cifar() {
    local data=$bins/data
    if [ -e "$data/cifar-10-batches-bin/test_batch.bin" ]; then
        ln -s "$data/cifar-10-batches-bin" "$work/cifar"
    elif [ -e "$data/test_batch.jpg" ]; then
        python3 "$here/cifar.py" unpack "$data" "$work/cifar"
    else
        return 1
    fi
}

# Small pictures leave a GPU idle: the times of these runs say nothing, their errors do.
side_by_side() {
    local names=(g_cifar_{e2e,greedy,dgl,infopro,contrast}) name runs=() alone=0
    for name in "${names[@]}"; do
        is_wanted "$name" && runs+=("$name")
    done
    [ ${#runs[@]} -eq 0 ] && return
    if ! find_cifar; then
        echo "g_cifar: no CIFAR-10 in $bins/data" >&2
        return
    fi
    local pids=()
    for name in "${runs[@]}"; do
        case $name in
        *_e2e) classifies "$name" --method e2e --local-k 1 ;;
        *_greedy) classifies "$name" --method greedy --local-k 8 ;;
        *_dgl) classifies "$name" --method dgl --local-k 8 ;;
        *_infopro) classifies "$name" --method infopro --task-loss softmax --local-k 8 ;;
        *_contrast) classifies "$name" --method infopro --task-loss contrast --local-k 8 ;;
        esac &
        pids+=($!)
    done
    wait "${pids[@]}"
    pack_results
}

describe() {
    cat <<'EOF' >"$work/describe.sh"
nvidia-smi --query-gpu=name,driver_version,memory.total,memory.used,clocks.sm,clocks.max.sm,clocks.mem,power.limit --format=csv
nvidia-smi
nvcc --version | tail -n 2
python3 -c 'import torch, torchvision; print("torch", torch.__version__, "torchvision", torchvision.__version__)'
grep -m 1 "model name" /proc/cpuinfo; echo "cores: $(nproc)"; free -m | sed -n 2p
ls -l "$1" ; echo "CUDA_PATH=$CUDA_PATH"; ls -l "$CUDA_PATH/nvvm/libdevice"
for program in "$1"/*; do ldd "$program" | grep "not found" | sed "s|^|$(basename "$program"): |"; done
"$1/segtrain" --version
EOF
    step a_device 20 40 txt bash "$work/describe.sh" "$work/bin"
}

all_steps() {
    local precision
    describe
    step b_parity 15 120 txt env BURN_DEVICE="${device%%:*}" "$work/bin/parity" parity::devices tiles_on_devices \
        --test-threads 1 --nocapture
    for precision in f32 bf16; do
        ours c_${precision}_k2 20 120 $precision 2 512x1024 2 "$count"
        theirs torch_c_$precision 15 90 $precision 1,2,4,1:checkpoint,1:channels-last,2:channels-last 512x1024 2 "$count"
    done
    for precision in f32 bf16; do
        ours c_${precision}_k1 15 70 $precision 1 512x1024 2 "$count"
        ours c_${precision}_k4 15 70 $precision 4 512x1024 2 "$count"
    done
    for precision in f32 bf16; do
        ours d_${precision}_b1_k2 15 70 $precision 2 1024x2048 1 $((count / 2))
        theirs torch_d_${precision}_b1 15 50 $precision 1,2,1:checkpoint 1024x2048 1 $((count / 2))
    done
    ours d_bf16_b4_k2 15 70 bf16 2 1024x2048 4 $((count / 2))
    theirs torch_d_bf16_b4 15 60 bf16 1,2,1:checkpoint 1024x2048 4 $((count / 2))
    step torch_e_predict 10 40 json python3 "$here/predict.py" --device "$device" --work "$work/predict"
    step e_eval 10 40 json "$work/bin/segbench" eval --config "$config" --device "$device" --resolution 1024x2048 \
        --rounds 8 "${torchvision[@]}"
    step e_predict 10 40 json python3 "$here/predict.py" --device "$device" --work "$work/predict" \
        --segpredict "$work/bin/segpredict"
    trains f_growth 30 90 200 --device "$device"
    trains f_async 20 50 60 --device "$device" --schedule async
    trains f_replicas 20 50 60 --devices "$(two_devices)" --replicas 2 --sync-bn
    side_by_side
    for precision in f32 bf16; do
        ours c_${precision}_k1_recompute 15 60 $precision 1 512x1024 2 "$count" --recompute
        ours d_${precision}_b1_k1 15 60 $precision 1 1024x2048 1 $((count / 2))
    done
    ours d_f32_b4_k2 15 70 f32 2 1024x2048 4 $((count / 2))
    theirs torch_d_f32_b4 15 60 f32 1,2 1024x2048 4 $((count / 2))
}

unpack
find_libdevice
python3 "$here/memory.py" "$out/memory.txt" 2>"$out/memory.log" &
sampler=$!
sleep 0.5 # what is taken before anything runs
all_steps
kill "$sampler" 2>/dev/null
sampler=''
python3 "$here/table.py" "$out" | tee "$out/summary.txt"
pack_results
