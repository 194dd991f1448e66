"""Half precision where it pays.

    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_pays()): ...

A processor without bfloat16 of its own (AVX-512 BF16, AMX) plays it, seven times slower than float32.
"""

import torch


def bfloat16_pays(device: str = "cpu") -> bool:
    """Whether a device ("cpu", "cuda") computes in bfloat16 rather than plays it."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
