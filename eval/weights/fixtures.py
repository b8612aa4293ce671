"""Writes the small PyTorch files that the tests of the checkpoint reader read.

    python eval/weights/fixtures.py            # needs torch; writes tests/fixtures/*.pth

`malicious.pth` would create the file named in it, if anything ran what its pickle asks for.
"""

import os
import pickle
import zipfile
from pathlib import Path

import torch

OUT = Path(__file__).resolve().parents[2] / "tests" / "fixtures"


def state_dict():
    return {
        "conv1.weight": torch.arange(6, dtype=torch.float32).reshape(1, 2, 3, 1) / 2,
        "bn1.weight": torch.tensor([1.5, -2.0], dtype=torch.float16),
        "bn1.bias": torch.tensor([0.25, 3.0], dtype=torch.bfloat16),
        "bn1.running_var": torch.tensor([0.1], dtype=torch.float64),
        "bn1.num_batches_tracked": torch.tensor(7),
    }


class Evil:
    def __reduce__(self):
        return os.system, ("touch infoseg-was-here",)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    torch.save(state_dict(), OUT / "zip.pth")
    torch.save(state_dict(), OUT / "legacy.pth", _use_new_zipfile_serialization=False)
    training = {"state_dict": {f"module.{k}": v for k, v in state_dict().items()}, "epoch": 3,
                "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}}}
    torch.save(training, OUT / "training.pth")
    with zipfile.ZipFile(OUT / "malicious.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"conv1.weight": Evil()}, protocol=2))
        archive.writestr("archive/version", "3\n")
    (OUT / "malicious.pkl.pth").write_bytes(pickle.dumps(Evil(), protocol=2))
    for path in sorted(OUT.iterdir()):
        print(path.stat().st_size, path.name)


if __name__ == "__main__":
    main()
