"""A torch.export program as a module that calls one operator after another: nothing is compiled or evaluated."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from landscape.errors import BadInput
from landscape.networks import operators
from landscape.networks.matching import COUNTER

DTYPES = {1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
          8: torch.float64, 12: torch.bool, 13: torch.bfloat16}
_MEMORY = {1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d, 4: torch.preserve_format}


class Step(NamedTuple):
    """One operator: arguments by name, each a (kind, value) of the file; the names its results get; names used up."""

    target: str
    arguments: tuple[tuple[str, str, Any], ...]
    results: tuple[Any, ...]
    done: tuple[str, ...]


class Program(nn.Module):
    """A program with its parameters and buffers under their own names; one tensor in, one tensor out.

    Its BatchNorm and dropout operators follow this module's mode, whatever the mode at the export; the operators that
    ``run_decompositions`` makes of them stay as they were exported.
    """

    def __init__(self, bound: dict[str, str], steps: tuple[Step, ...], example: str, sizes: tuple, output: str):
        super().__init__()
        self._bound, self._steps, self._example, self._sizes, self._output = bound, steps, example, sizes, output

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of the program for a batch x. Raises BadInput for a shape it was not exported for."""
        if x.ndim != len(self._sizes) or any(n is not None and n != m for n, m in zip(self._sizes, x.shape, strict=True)):
            shape = ", ".join("any" if n is None else str(n) for n in self._sizes)
            raise BadInput(f"The program was exported for inputs of shape ({shape}), found {tuple(x.shape)}. Export it with "
                           "dynamic_shapes=({0: torch.export.Dim('batch')},) and the shape of the data.")
        values = {name: _attribute(self, target) for name, target in self._bound.items()}
        values[self._example] = x
        for step in self._steps:
            results = _called(step, values, x, self.training, self._bound)
            _bind(step.results, results, values)
            for name in step.done:
                values.pop(name, None)
        return values[self._output]


def steps_of(nodes: list[dict], bound: dict[str, str], inputs: list[str], output: str) -> tuple[Step, ...]:
    """The nodes with operators checked; in place on an input or a weight is refused, but for BatchNorm's counter."""
    steps: list[Step] = []
    last: dict[str, int] = {}
    for node in nodes:
        operator = operators.resolved(node["target"])
        arguments = tuple((str(a["name"]), *next(iter(a["arg"].items()))) for a in node["inputs"])
        if operator is None:
            continue
        first = arguments[0][2].get("name") if arguments and arguments[0][1] == "as_tensor" else None
        in_place = node["target"].startswith("torch.ops.aten.") and node["target"].split(".")[3].endswith("_")
        if in_place and (first in inputs or (first in bound and not bound[first].endswith(COUNTER))):
            raise BadInput(f"The program changes its input or weights in place ({node['target']} on {first!r}). Export a "
                           "module that does not.")
        for _, kind, value in arguments:
            _check_kind(kind, value)
            last |= dict.fromkeys(_names(value), len(steps))
        steps.append(Step(node["target"], arguments, tuple(node["outputs"]), ()))
    done: dict[int, list[str]] = {}
    for used, i in last.items():
        if used != output and used not in bound:
            done.setdefault(i, []).append(used)
    return tuple(step._replace(done=tuple(done.get(i, ()))) for i, step in enumerate(steps))


def _called(step: Step, values: dict[str, Any], x: Tensor, training: bool, bound: dict[str, str]) -> Any:
    function = operators.resolved(step.target)
    given = {name: _value(kind, value, values, x) for name, kind, value in step.arguments}
    if not step.target.startswith("torch.ops."):
        return function(*given.values())
    if step.target == "torch.ops.aten.add_.Tensor" and step.arguments[0][2].get("name") in bound and not training:
        return given["self"]
    for name in ("training", "train"):
        if name in given and (step.target.split(".")[3] != "batch_norm" or given.get("running_mean") is not None):
            given[name] = training
    return function(**given)


def _check_kind(kind: str, value: Any) -> None:
    if kind not in _READ or (kind == "as_string" and value not in operators.TEXTS and not _is_einsum(value)):
        raise BadInput(f"The program has an argument of the kind {kind!r} ({str(value)[:60]}), which is not read here. Name "
                       "the network as package.module:factory instead.")


def _is_einsum(value: Any) -> bool:
    return isinstance(value, str) and "->" in value and all(c.isalpha() or c in ",->. " for c in value)


def _value(kind: str, value: Any, values: dict[str, Any], x: Tensor) -> Any:
    return x.device if kind == "as_device" else _READ[kind](value, values)


def _number(value: dict, values: dict[str, Any]) -> Any:
    return values[value["as_name"]] if "as_name" in value else next(iter(value.values()))


def _maybe(value: dict, values: dict[str, Any]) -> Tensor | None:
    return values[value["as_tensor"]["name"]] if "as_tensor" in value else None


_READ = {
    "as_none": lambda v, _: None, "as_bool": lambda v, _: bool(v), "as_int": lambda v, _: int(v),
    "as_string": lambda v, _: v, "as_float": lambda v, _: float(v), "as_device": None,
    "as_ints": lambda v, _: [int(i) for i in v],
    "as_floats": lambda v, _: [float(i) for i in v], "as_bools": lambda v, _: [bool(i) for i in v],
    "as_tensor": lambda v, values: values[v["name"]], "as_tensors": lambda v, values: [values[i["name"]] for i in v],
    "as_optional_tensor": _maybe, "as_optional_tensors": lambda v, values: [_maybe(i, values) for i in v],
    "as_sym_int": _number, "as_sym_float": _number, "as_sym_bool": _number,
    "as_sym_ints": lambda v, values: [_number(i, values) for i in v],
    "as_scalar_type": lambda v, _: DTYPES[v], "as_memory_format": lambda v, _: _MEMORY[v],
    "as_layout": lambda v, _: torch.strided,
}


def _names(value: Any) -> list[str]:
    """Names of the graph's values that an argument uses."""
    parts = [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, dict)]
    found = [part.get("name") or part.get("as_name") or (part.get("as_tensor") or {}).get("name") for part in parts]
    return [name for name in found if name]


def _bind(outputs: tuple[dict, ...], results: Any, values: dict[str, Any]) -> None:
    names = []
    for output in outputs:
        kind, value = next(iter(output.items()))
        names.append([v["name"] for v in value] if kind == "as_tensors" else value if kind == "as_none" else
                     value.get("name") or value.get("as_name"))
    if len(names) == 1:
        results = [results]
    for name, result in zip(names, results, strict=False):
        if isinstance(name, list):
            values.update(zip(name, result, strict=True))
        elif isinstance(name, str):
            values[name] = result


def _attribute(program: nn.Module, name: str) -> Tensor:
    *path, last = name.split(".")
    for part in path:
        program = program._modules[part]
    return program._parameters[last] if last in program._parameters else program._buffers[last]
