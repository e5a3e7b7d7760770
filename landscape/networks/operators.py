"""The operators a torch.export program may use here: pure functions of tensors and numbers, resolved by name alone."""

from __future__ import annotations

import operator
from collections.abc import Callable

import torch

from landscape.errors import BadInput

# None of these reads or writes a file, prints, or looks a name up; overloads that write to an argument are left out.
_ATEN = (
    "linear conv1d conv2d conv3d convolution conv_transpose1d conv_transpose2d addmm mm bmm matmul baddbmm einsum mv dot "
    "outer batch_norm _native_batch_norm_legit_no_training layer_norm native_layer_norm group_norm native_group_norm "
    "instance_norm rms_norm relu relu_ relu6 leaky_relu leaky_relu_ elu elu_ selu selu_ celu gelu silu silu_ mish hardtanh "
    "hardtanh_ hardswish hardswish_ hardsigmoid sigmoid sigmoid_ tanh tanh_ softplus log_sigmoid prelu glu softmax "
    "log_softmax _softmax _log_softmax logsumexp dropout dropout_ feature_dropout alpha_dropout max_pool1d max_pool2d "
    "max_pool3d max_pool2d_with_indices avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
    "adaptive_avg_pool3d _adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d upsample_nearest2d "
    "upsample_bilinear2d pixel_shuffle view _unsafe_view reshape flatten unflatten squeeze unsqueeze transpose permute t "
    "expand expand_as repeat repeat_interleave cat concat stack split split_with_sizes chunk unbind select slice narrow "
    "index gather index_select masked_fill masked_fill_ where tril triu flip roll movedim contiguous clone to _to_copy "
    "type_as alias detach detach_ pad constant_pad_nd add add_ sub sub_ rsub mul mul_ div div_ neg pow sqrt rsqrt exp expm1 "
    "log log1p abs sign sin cos tan atan erf clamp clamp_ clamp_min clamp_max minimum maximum reciprocal floor ceil round "
    "square addcmul addcdiv sum mean amax amin max min var std var_mean prod cumsum norm linalg_vector_norm argmax argmin "
    "eq ne lt le gt ge logical_and logical_or logical_not bitwise_and bitwise_or bitwise_not any all arange zeros ones full "
    "zeros_like ones_like full_like new_zeros new_ones new_full scalar_tensor lift_fresh_copy embedding "
    "scaled_dot_product_attention one_hot numel "
)
ATEN = frozenset(_ATEN.split())
_SIZES = frozenset({"sym_size", "sym_numel", "sym_stride"})
_PYTHON = "add sub mul floordiv truediv mod pow neg pos eq ne lt le gt ge and_ or_ getitem"
_NUMBERS = frozenset(_PYTHON.split())
CHECKS = ("torch.ops.aten._assert", "torch.ops.aten.sym_constrain_range")  # only confirm what export assumed
TEXTS = frozenset({"none", "tanh", "floor", "trunc", "constant", "reflect", "replicate", "circular", "mean", "sum", "same",
                   "valid"})


def resolved(target: str) -> Callable | None:
    """The operator called ``target`` in a program; None for one that only checks assumptions. Raises BadInput for others."""
    if target.startswith(CHECKS):
        return None
    if target.startswith("torch.ops.aten."):
        name, _, overload = target.removeprefix("torch.ops.aten.").partition(".")
        packet = getattr(torch.ops.aten, name, None) if name in ATEN | _SIZES else None
        if packet is not None and overload in packet.overloads() and "out" not in overload.split("_"):
            return getattr(packet, overload)
    if target.startswith("_operator.") and target.removeprefix("_operator.") in _NUMBERS:
        return getattr(operator, target.removeprefix("_operator."))
    if target in ("torch.sym_max", "torch.sym_min", "torch.sym_int", "torch.sym_float", "torch.sym_not"):
        return getattr(torch, target.removeprefix("torch."))
    raise BadInput(f"The program uses {target[:80]!r}, which is not among the operators interpreted here (the "
                   "usual layers, activations, reshapes and arithmetic). Name your network as package.module:factory.")
