"""librtjit's kernels as PyTorch operators: they trace, compile and are captured as PyTorch's own.

    import rtjit.torch
    rtjit.torch.replace_experts(model)  # a gpt-oss of Hugging Face's transformers
"""

from .gpt_oss import experts_from_checkpoint, replace_experts
from .moe import Mxfp4Experts
from .mxfp4 import dequantize_mxfp4, quantize_mxfp4
from .op import Operator

__all__ = [
    "Mxfp4Experts",
    "Operator",
    "dequantize_mxfp4",
    "experts_from_checkpoint",
    "quantize_mxfp4",
    "replace_experts",
]
