#!/usr/bin/env bash
# Two machines in one: a worker in a network namespace of its own, a cable between, training, and then the cable is cut.
# As root, on Linux: eval/remote/namespaces.sh [FOLDER OF THE BINARIES, BUILT WITH --features remote]
set -euo pipefail
bin=$(realpath "${1:-target/release}")
work=$(mktemp -d)
cd "$work"
cleanup() {
    pkill -f "segworker --listen 10.77.0.2" || true
    ip netns del infoseg 2>/dev/null || true
    ip link del infoseg0 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

ip netns add infoseg
ip link add infoseg0 type veth peer name infoseg1
ip link set infoseg1 netns infoseg
ip addr add 10.77.0.1/24 dev infoseg0
ip link set infoseg0 up
ip netns exec infoseg ip addr add 10.77.0.2/24 dev infoseg1
ip netns exec infoseg ip link set infoseg1 up
ip netns exec infoseg ip link set lo up

head -c 32 /dev/urandom | base64 >token
ip netns exec infoseg "$bin/segworker" --listen 10.77.0.2:7700 --device cpu --token-file token &
sleep 2
small=(--resolution 64x128 --batch-size 2 --set model.width=0.25 --set data.synthetic_resolution=64x128
    --set 'data.synthetic_count=[40, 4]' --set train.log_every_steps=1)
there=(--devices cpu,remote://10.77.0.2:7700 --token-file token)

"$bin/segtrain" "${small[@]}" --device cpu --steps 5 --out here >/dev/null 2>&1
"$bin/segtrain" "${small[@]}" "${there[@]}" --steps 5 --out there >/dev/null 2>&1
python3 - <<'P'
import json
def losses(run):
    lines = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
    return [module["total"] for line in lines if "losses" in line for module in line["losses"]]
here, there = losses("here"), losses("there")
print("largest difference of", len(here), "losses:", max(abs(a - b) for a, b in zip(here, there)))
P

"$bin/segtrain" "${small[@]}" "${there[@]}" --steps 100000 --set train.save_every_steps=2 --out run >/dev/null 2>err &
trainer=$!
until [ -d run/checkpoints/step-000004 ]; do sleep 0.1; done
ip netns exec infoseg ip link set infoseg1 down
cut=$(date +%s.%N)
code=0
wait "$trainer" || code=$?
echo "exit code $code after $(echo "$(date +%s.%N) - $cut" | bc) seconds:"
tail -n 1 err
ip netns exec infoseg ip link set infoseg1 up
pkill -f "segworker --listen 10.77.0.2" || true
last=$(ls run/checkpoints | tail -n 1 | sed 's/step-0*//')
"$bin/segtrain" --resume run --steps $((last + 2)) --device cpu >/dev/null 2>&1 && echo "went on from step $last without the worker"
