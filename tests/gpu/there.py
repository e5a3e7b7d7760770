"""Tensors that say they lie on cuda:0 (see ``stand_in``), and what torch does with them."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
MEMORY = 2**33
WAITS = {"aten::_linalg_check_errors", "aten::repeat_interleave.Tensor"}  # beyond what torch itself has a tag for
DEPENDS = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output}
INDEXED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index",
           "aten::_unsafe_index_put"}
COPIES = {"aten::_to_copy", "aten::copy_", "aten::copy"}
ALONE = {"aten::masked_fill", "aten::masked_fill_", "aten::fill_", "aten::fill"}  # take a number () of the CPU, as what is
PRODUCTS = {"aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm", "aten::mv", "aten::addmv", "aten::dot"}
CONVOLUTIONS = {"aten::convolution", "aten::convolution_backward"}


class There(Tensor):
    """A tensor on the device; ``held`` has its numbers."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor):
        return torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype, device=CUDA)

    def __init__(self, held: Tensor):
        self.held = held

    def __repr__(self) -> str:
        return f"There({self.held})"

    def __deepcopy__(self, memo: dict):
        made = There(self.held.clone())
        memo[id(self)] = made
        if getattr(self, "_is_param", False):
            made._is_param = True
        return made.requires_grad_(self.requires_grad)

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.held.untyped_storage()

    @property
    def data(self) -> There:
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        raise NotImplementedError("The stand-in cannot give a tensor other memory: copy_ into it under no_grad instead.")

    def tolist(self) -> list:
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} met a tensor of the device where there is none: in a thread that does not know of it")


class Device(TorchDispatchMode):
    """While it is entered, ``device="cuda"`` is there; ``strict`` makes what waits for it raise."""

    def __init__(self):
        super().__init__()
        self.strict, self.limit = False, MEMORY
        self.taken, self.most, self.sizes, self.held = 0, 0, {}, Counter()  # bytes, and by where they begin

    def begin(self) -> None:
        """For the rest of this process and thread, with what ``torch.cuda`` says of it."""
        self.__enter__()
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=...) makes its copy where a mode sees it
        torch.__future__.set_swap_module_params_on_conversion(True)  # to give a parameter other data would leave its class
        for name, said in self._said().items():
            setattr(torch.cuda, name, said)

    def _said(self) -> dict:
        def fraction(share: float) -> None:
            self.limit = share * MEMORY

        def waits(mode: str) -> None:
            self.strict = mode == "error"

        def forget(device=None) -> None:
            self.most = self.taken

        return {
            "_lazy_init": lambda: None, "is_available": lambda: True, "device_count": lambda: 1,
            "current_device": lambda: 0, "synchronize": lambda device=None: None, "empty_cache": lambda: None,
            "set_sync_debug_mode": waits, "set_per_process_memory_fraction": fraction, "reset_peak_memory_stats": forget,
            "memory_allocated": lambda device=None: self.taken, "memory_reserved": lambda device=None: self.taken,
            "max_memory_allocated": lambda device=None: self.most,
            "mem_get_info": lambda device=None: (int(self.limit) - self.taken, MEMORY),
            "get_rng_state": lambda device=None: torch.zeros(16, dtype=torch.uint8),
            "set_rng_state": lambda state, device=None: None,
            "get_device_properties": lambda device=None: SimpleNamespace(
                name="a stand-in", total_memory=MEMORY, major=9, minor=0),
        }

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given: list[Tensor] = []
        _mapped(given.append, Tensor, (*args, *kwargs.values()))
        there, to = any(isinstance(t, There) for t in given), kwargs.get("device")
        to = there if to is None else torch.device(to).type == "cuda"
        if not (there or to):
            return func(*args, **kwargs)
        self._judge(func, args, kwargs, given, there, to)
        found = self._done(func, args, kwargs)
        written = _written(func, args, kwargs)
        if written is not None:
            if torch.Tag.inplace_view in func.tags:
                _reshaped(func, args, kwargs)
            return written
        return _mapped(self._put, Tensor, found) if to else found

    def _judge(self, func, args, kwargs: dict, given: list[Tensor], there: bool, to: bool) -> None:
        """Raise what a GPU would."""
        name, generator = func._schema.name, kwargs.get("generator")
        if to and generator is not None and generator.device.type == "cpu":
            raise RuntimeError(f"Expected a 'cuda' device type for generator but found 'cpu' ({func})")
        here = [t for t in given if not isinstance(t, There)]
        crosses = there != to or bool(here)
        if name in COPIES:
            if crosses:
                self.wait(func)
            return
        if not there:
            return
        wrong = here
        if name in INDEXED and isinstance(args[0], There):
            self._indexed(func, args[1])
            wrong = [t for t in args[2:3] if isinstance(t, Tensor) and not isinstance(t, There) and t.ndim]
        elif torch.Tag.pointwise in func.tags or name in ALONE:
            wrong = [t for t in here if t.ndim or t is _written(func, args, kwargs)]
        if wrong:
            raise RuntimeError("Expected all tensors to be on the same device, but found at least two devices, cuda:0 and "
                               f"cpu! ({func} of {[(str(t.device), tuple(t.shape)) for t in given]})")
        if name not in INDEXED and (DEPENDS & set(func.tags) or name in WAITS or f"{name}.{func._overloadname}" in WAITS):
            self.wait(func)

    def _indexed(self, func, indices) -> None:
        if any(t is not None and (not isinstance(t, There) or t.dtype == torch.bool) for t in indices):
            self.wait(func)

    def wait(self, func) -> None:
        if self.strict:
            raise RuntimeError(f"called a synchronizing CUDA operation: {func}")

    def _done(self, func, args, kwargs: dict):
        name = func._schema.name
        if name == "aten::_efficientzerotensor":  # has no numbers at all, which a tensor that holds them cannot say
            func = torch.ops.aten.zeros.default
        args, kwargs = _mapped(_held, There, args), {key: _mapped(_held, There, value) for key, value in kwargs.items()}
        if kwargs.get("device") is not None:
            kwargs = kwargs | {"device": CPU}
        if name in PRODUCTS | CONVOLUTIONS and _rounds(name, args):
            args = _mapped(_ten_bits, Tensor, args)
        return func(*args, **kwargs)

    def _put(self, held: Tensor) -> There:
        """On the device, as much as there is memory for."""
        storage = held.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if key not in self.sizes and self.taken + size > self.limit:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes")
        if size:
            self.taken += size - self.sizes.get(key, 0)
            self.most = max(self.most, self.taken)
            self.sizes[key] = size
            self.held[key] += 1
            weakref.finalize(held, self._freed, key).atexit = False
        return There(held)

    def _freed(self, key: int) -> None:
        self.held[key] -= 1
        if not self.held[key]:
            del self.held[key]
            self.taken -= self.sizes.pop(key)


def _mapped(do: Callable, kind: type, value):
    """What an operation takes or gives, with ``do`` done to everything of a kind."""
    if isinstance(value, kind):
        return do(value)
    return type(value)([_mapped(do, kind, each) for each in value]) if isinstance(value, list | tuple) else value


def _held(t: There) -> Tensor:
    return t.held


@cache
def _writes(func) -> tuple[int, str] | None:
    """Which argument an operation writes to and gives back, None for one that does not."""
    returned = [r.alias_info for r in func._schema.returns]
    if not returned or returned[0] is None or not returned[0].is_write:
        return None
    given = enumerate(func._schema.arguments)
    return next((i, a.name) for i, a in given if a.alias_info is not None and a.alias_info.is_write)


def _written(func, args, kwargs: dict) -> Tensor | None:
    place = _writes(func)
    if place is None:
        return None
    return args[place[0]] if place[0] < len(args) else kwargs[place[1]]


def _reshaped(func, args, kwargs: dict) -> None:
    """Let a tensor whose numbers have another shape now say so."""
    before = torch._C._meta_in_tls_dispatch_include()
    torch._C._set_meta_in_tls_dispatch_include(True)
    try:
        with no_dispatch():
            func(*args, **kwargs)
    finally:
        torch._C._set_meta_in_tls_dispatch_include(before)


def _rounds(name: str, args) -> bool:
    """Whether factors of a product in float32 are rounded; raises where torch's defaults do that and nobody chose them."""
    products, convolutions = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    if name in CONVOLUTIONS and convolutions and not products and args[0].dtype == torch.float32:
        raise RuntimeError(f"{name} in float32 would be rounded to TF32, and nobody asked for that: use numbers(device)")
    return products if name in PRODUCTS else convolutions


def _ten_bits(t: Tensor) -> Tensor:
    """What TF32 makes of the factors of a product."""
    if t.dtype != torch.float32:
        return t
    return ((t.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)
