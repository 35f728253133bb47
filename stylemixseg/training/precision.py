"""Where bfloat16 makes training faster."""

from __future__ import annotations

import re
from pathlib import Path

import torch

_CPUINFO = Path("/proc/cpuinfo")


def has_fast_bfloat16(device: str | torch.device) -> bool:
    """Whether the device multiplies bfloat16 numbers in hardware, which is faster than float32 there.

    Everywhere else PyTorch converts the numbers back and forth, and bfloat16 costs time and digits for nothing. It has
    the range of float32, so losses need no scaling. For a CPU the answer comes from what Linux says of it (AVX-512 BF16
    or AMX on x86, BF16 on Arm); where there is no such list, it is no.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not _CPUINFO.exists():
        return False
    features = re.findall(r"^(?:flags|Features)\s*:(.*)$", _CPUINFO.read_text(), re.MULTILINE)
    return any({"avx512_bf16", "amx_bf16", "bf16"} & set(line.split()) for line in features)
