"""What run.sh has left in a folder: prints a summary, and writes Markdown tables to OUT_DIR/table.md.

    python3 table.py OUT_DIR        # an empty folder will do: every cell is "not run yet"
"""

import json
import re
import statistics
import sys
from pathlib import Path

MIB = 2**20
NOT_RUN = "not run yet"
# Size, batch, K, what else; step of ours; step of PyTorch's, and the options of its run.
ROWS = [("512×1024", 2, k, "", "c_{}_k%d" % k, "torch_c_{}", []) for k in (1, 2, 4)]
ROWS.insert(1, ("512×1024", 2, 1, "recomputed", "c_{}_k1_recompute", "torch_c_{}", ["checkpoint"]))
ROWS += [("1024×2048", 1, k, "", "d_{}_b1_k%d" % k, "torch_d_{}_b1", []) for k in (1, 2)]
ROWS += [("1024×2048", 4, 2, "", "d_{}_b4_k2", "torch_d_{}_b4", [])]
GROWTH = [("f_growth", "`sequential`"), ("f_async", "`--schedule async`"), ("f_replicas", "`--replicas 2`")]
CIFAR = [("e2e", "end-to-end", 1), ("greedy", "greedy", 8), ("dgl", "DGL", 8)]
CIFAR += [("infopro", "InfoPro (softmax)", 8), ("contrast", "InfoPro (contrast)", 8)]


def json_lines(path):
    """All that can be read; a step that was ended may have left half a line."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            pass
    return [record for record in found if isinstance(record, dict)]


class Results:
    def __init__(self, folder):
        self.folder = folder
        self.steps = {step["step"]: step for step in json_lines(folder / "steps.jsonl")}  # the last of a name
        memory = folder / "memory.txt"
        lines = [line.split() for line in memory.read_text().splitlines()] if memory.exists() else []
        self.memory = [(float(line[0]), int(line[1])) for line in lines if len(line) == 2]

    def record(self, step, k=None, options=None):
        """What a step has printed, of PyTorch that of one run; with `missing` where there is nothing."""
        for record in reversed(json_lines(self.folder / f"{step}.json")):
            if options is None or (record.get("k"), record.get("options")) == (k, options):
                missing = {"missing": record["error"]} if "error" in record else {}
                return {"started": 0, "ended": 0} | self.steps.get(step, {}) | record | missing
        status = self.steps.get(step, {}).get("status", NOT_RUN)
        return {"missing": status if status != "ok" else "no figure"}

    def taken(self, start, end):
        """Seconds and bytes of the device between two times, less what was taken at its emptiest in ten minutes."""
        before = [used for time, used in self.memory if start - 600 <= time <= end]
        return [(time, used - min(before)) for time, used in self.memory if start <= time <= end]

    def driver(self, record):
        """Most bytes that the driver gave, and what it had given towards the end."""
        taken = [used for _, used in self.taken(record.get("started", 0), record.get("ended", 0))]
        alive = [used for used in taken if used > 64 * MIB]
        if not alive:
            return None, None
        return max(alive), statistics.median(alive[-50:-10] or alive)


def settled(record):
    """Median of the second half of the steps: tuning is over."""
    seconds = record.get("seconds")
    return statistics.median(seconds[len(seconds) // 2 :]) if seconds else None


def first(record):
    return (record.get("seconds") or [None])[0]


def show(value, record, form):
    if value is None:
        return record.get("missing", "–")
    return form(value)


def mib(value):
    return f"{value / MIB:,.0f}"


def seconds(value):
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def ratio(a, b):
    return f"{a / b:.2f} ×" if a and b else None


def markdown(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def pairs(results):
    """Every row: its names, our record, PyTorch's, PyTorch's in channels-last, PyTorch's end to end."""
    for precision in ("f32", "bf16"):
        for size, batch, k, more, ours, theirs, options in ROWS:
            step = theirs.format(precision)
            run = lambda k, options: results.record(step, k, sorted(options))
            names = [size, str(batch), precision, f"{k}{', ' + more if more else ''}"]
            last = run(k, ["channels-last", *options]) if not options else {}
            yield names, results.record(ours.format(precision)), run(k, options), last, run(1, [])


def none_of(a, b):
    """Why there is no ratio."""
    return a.get("missing") or b.get("missing") or "–"


def time_table(results):
    heads = ["size", "batch", "", "K", "time, of PyTorch's", "of its channels-last", "ours s/step", "PyTorch s/step"]
    heads += ["channels-last s/step", "our first step s", "PyTorch's"]
    rows = []
    for names, ours, theirs, last, _ in pairs(results):
        row = [ratio(settled(ours), settled(theirs)) or none_of(ours, theirs)]
        row += [ratio(settled(ours), settled(last)) or none_of(ours, last)]
        row += [show(settled(record), record, seconds) for record in (ours, theirs, last)]
        row += [show(first(record), record, seconds) for record in (ours, theirs)]
        rows.append(names + row)
    return markdown(heads, rows)


def memory_table(results):
    heads = ["size", "batch", "", "K", "memory, of PyTorch's end to end", "of the same K", "ours MiB", "settled"]
    heads += ["by our own account", "PyTorch MiB", "settled", "reserved", "allocated"]
    rows = []
    for names, ours, theirs, _, whole in pairs(results):
        (a, a_settled), (b, b_settled), (_, end_to_end) = (results.driver(record) for record in (ours, theirs, whole))
        row = [ratio(a_settled, end_to_end) or none_of(ours, whole)]
        row += [ratio(a_settled, b_settled) or none_of(ours, theirs)]
        row += [show(value, ours, mib) for value in (a, a_settled, ours.get("peak_bytes"))]
        row += [show(value, theirs, mib) for value in (b, b_settled)]
        row += [show(theirs.get(key), theirs, mib) for key in ("max_reserved_bytes", "max_allocated_bytes")]
        rows.append(names + row)
    return markdown(heads, rows)


def prediction_table(results):
    theirs, network, ours = (results.record(step) for step in ("torch_e_predict", "e_eval", "e_predict"))
    a, b = network.get("predict_seconds"), theirs.get("predict_seconds")
    c, d = ours.get("picture_seconds"), theirs.get("picture_seconds")
    rows = [["network, picture to classes", ratio(a, b) or none_of(network, theirs)]]
    rows[0] += [show(a, network, seconds), show(b, theirs, seconds)]
    rows[0] += [show(results.driver(record)[0], record, mib) for record in (network, theirs)]
    rows += [["PNG to PNG", ratio(c, d) or none_of(ours, theirs), show(c, ours, seconds), show(d, theirs, seconds)]]
    rows[1] += [show(results.driver(record)[0], record, mib) for record in (ours, theirs)]
    same = show(ours.get("same_classes"), ours, lambda share: f"{100 * share:.2f} %")
    heads = ["", "time, of PyTorch's", "ours s", "PyTorch s", "ours MiB", "PyTorch MiB"]
    return markdown(heads, rows) + f"\n\nPixels to which both give the same class: {same}."


def growth_table(results):
    heads = ["200 steps (60 of the last two)", "s/step", "MiB of the driver at step 20", "at the last", "by our own account at step 20"]
    heads += ["at the last"]
    rows = []
    for step, title in GROWTH:
        lines = [line for line in json_lines(results.folder / f"{step}.metrics.jsonl") if "losses" in line]
        if not lines:
            rows.append([title] + [results.record(step)["missing"]] * 5)
            continue
        early = next((line for line in lines if line["step"] >= 20), lines[-1])
        late, run = lines[-1], results.steps.get(step, {"started": 0})
        steps = late["step"] - early["step"]
        row = [seconds((late["seconds"] - early["seconds"]) / steps) if steps else "–"]
        for line in (early, late):
            at = run["started"] + line["seconds"]
            taken = [used for _, used in results.taken(at, at + 1)]
            row.append(mib(max(taken)) if taken else "–")
        row += [show(line.get("peak_memory_bytes"), {}, mib) for line in (early, late)]
        rows.append([title + ("" if run.get("status") == "ok" else f" ({run.get('status')})"), *row])
    return markdown(heads, rows)


def cifar_table(results):
    scores = {}
    for name, *_ in CIFAR:
        lines = json_lines(results.folder / f"g_cifar_{name}.metrics.jsonl")
        scores[name] = {line["step"]: line["top1"] for line in lines if line.get("top1") is not None}
    common = set.intersection(*(set(found) for found in scores.values()))
    at = max(common, default=None)
    heads = ["", "K", f"test error after {at} steps" if at else "test error", "last test error"]
    rows = []
    for name, title, k in CIFAR:
        missing = results.record(f"g_cifar_{name}")["missing"]
        last = max(scores[name], default=None)
        shown = [f"{100 * scores[name][step]:.2f} %" if step else missing for step in (at, last)]
        shown[1] += f" (step {last})" if last else ""
        rows.append([title, str(k), *shown])
    return markdown(heads, rows)


def parity_tables(results):
    path = results.folder / "b_parity.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if line.startswith("|") or line.endswith(" against flex")]
    text = "\n".join(f"\n{line}\n" if not line.startswith("|") else line for line in kept)
    status = results.steps.get("b_parity", {}).get("status", NOT_RUN)
    return f"Parity test: {status}.\n{text}"


def status_table(results):
    rows = []
    for name, step in results.steps.items():
        last = ""
        if step["status"] not in ("ok", "skipped"):
            log = results.folder / f"{name}.log"
            said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
            last = re.sub(r"[|\s]+", " ", said[-1])[:160] if said else ""
        rows.append([name, step["status"], f"{step['ended'] - step['started']:.0f}", last])
    return markdown(["step", "", "s", "last words"], rows)


def tables(results):
    device = results.folder / "a_device.txt"
    text = device.read_text().splitlines() if device.exists() else []
    parts = [("Device", text[1] if len(text) > 1 else NOT_RUN), ("Numbers", parity_tables(results))]
    parts += [("Training steps: time", time_table(results)), ("Training steps: memory", memory_table(results))]
    parts += [("Whole pictures of 1024×2048 predicted", prediction_table(results)), ("Growth", growth_table(results))]
    parts += [("ResNet-32 on CIFAR-10", cifar_table(results))]
    return "\n".join(f"### {title}\n\n{part}\n" for title, part in parts)


def aligned(table):
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines() if "---" not in line]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def summary(results):
    """What has run, and of training steps the figures that targets are set for."""
    rows = []
    for names, ours, theirs, last, whole in pairs(results):
        if ours.get("missing") == theirs.get("missing") == NOT_RUN:
            continue
        (_, a), (_, b) = results.driver(ours), results.driver(whole)
        row = [ratio(settled(ours), settled(theirs)), ratio(settled(ours), settled(last)), ratio(a, b)]
        row = [cell or "-" for cell in row]
        row += [show(settled(record), record, seconds) for record in (ours, theirs)]
        row += [show(first(ours), ours, seconds), show(a, ours, mib), show(ours.get("peak_bytes"), ours, mib)]
        rows.append([*names, *row, show(b, whole, mib)])
    heads = ["size", "batch", "", "K", "time", "/ch.last", "memory", "s/step", "PyTorch", "first s", "MiB", "says"]
    parts = [status_table(results), markdown([*heads, "PyTorch K=1"], rows)]
    others = [table(results) for table in (prediction_table, growth_table, cifar_table)]
    ran = lambda line: line.count(NOT_RUN) < 2
    parts += ["\n".join(filter(ran, other.splitlines())) for other in others]
    parts = [[line for line in part.splitlines() if line.startswith("|")] for part in parts]
    return "\n\n".join(aligned("\n".join(part)) for part in parts if len(part) > 2)  # heads, dashes, rows


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    results = Results(Path(sys.argv[1]))
    (results.folder / "table.md").write_text(tables(results))
    print(summary(results))


if __name__ == "__main__":
    main()
