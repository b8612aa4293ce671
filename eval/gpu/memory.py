"""Writes how much of the first GPU's memory is taken, as its driver says, every 20 ms: `seconds bytes` lines, until ended.

    python3 memory.py FILE
"""

import ctypes
import subprocess
import sys
import time


class Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


def through_nvml():
    """A function that returns bytes, and seconds to wait between two calls."""
    nvml, gpu = ctypes.CDLL("libnvidia-ml.so.1"), ctypes.c_void_p()
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(gpu)):
        raise OSError("NVML does not answer")
    memory = Memory()

    def used():
        if nvml.nvmlDeviceGetMemoryInfo(gpu, ctypes.byref(memory)):
            raise OSError("NVML does not tell how much memory is in use")
        return memory.used

    used()
    return used, 0.02


def through_nvidia_smi():
    line = ["nvidia-smi", "-i", "0", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]

    def used():
        return int(subprocess.run(line, capture_output=True, text=True, check=True).stdout) * 2**20

    used()
    return used, 0.1


def main():
    try:
        used, pause = through_nvml()
    except (OSError, AttributeError) as problem:
        print(f"memory.py: {problem}; asking nvidia-smi instead", file=sys.stderr)
        used, pause = through_nvidia_smi()
    with open(sys.argv[1], "a", buffering=1) as file:
        while True:
            bytes = used()
            file.write(f"{time.time():.3f} {bytes}\n")
            time.sleep(pause)


if __name__ == "__main__":
    main()
