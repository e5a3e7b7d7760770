"""torch.export programs (.pt2) as modules, interpreted here instead of loaded by torch.

``torch.export.load`` can run code that stands in the file: it unpickles sample inputs, constants and some weights without
restriction, evaluates the texts of its symbolic shapes, looks operators up in all of torch, and compiles Python source from
names and guards. Here only the list of operators in the file's JSON is followed, with those of ``operators.py``; pickles,
expressions and guards are never touched.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from landscape.errors import BadInput
from landscape.networks import zipped
from landscape.networks.interpreter import DTYPES, Program, steps_of
from landscape.networks.roots import opened

_OLD = "serialized_exported_program.json"


def is_program(archive: zipfile.ZipFile) -> bool:
    """Whether a zip file was written by torch.export.save."""
    root = zipped.root_of(archive)
    return any(name == _OLD or name.startswith((f"{root}models/", f"{root}{_OLD}")) for name in archive.namelist())


def load(path: Path) -> Program:
    """The module in a .pt2 file. Raises BadInput for operators, values or pickled parts that are not read here."""
    with opened(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        with zipped.directory(path.name, file, size) as archive:
            if not is_program(archive):
                raise BadInput(f"{path.name} is no program of torch.export. Write one: torch.export.save(torch.export."
                               "export(model.eval(), (example,)), 'model.pt2').")
            try:
                return _program(path.name, archive)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError, StopIteration) as error:
                if isinstance(error, BadInput):
                    raise
                raise BadInput(f"{path.name} is not a program this version reads ({type(error).__name__}: {error}). Export "
                               f"it again with torch {torch.__version__}.") from None


def tensors(name: str, archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name; tied ones are one tensor."""
    return _payload(name, archive, "weights")


def _program(name: str, archive: zipfile.ZipFile) -> Program:
    model, root = _model(name, archive), zipped.root_of(archive)
    graph, signature = model["graph_module"]["graph"], model["graph_module"]["signature"]
    weights, constants = tensors(name, archive), {}
    if f"{root}data/constants/{_model_name(name, archive)}_constants_config.json" in archive.namelist():
        constants = _payload(name, archive, "constants")
    bound, inputs, kinds = _inputs(name, signature["input_specs"])
    results = [spec["user_output"] for spec in signature["output_specs"] if "user_output" in spec]
    outputs = [result["arg"]["as_tensor"]["name"] for result in results]
    if len(inputs) != 1 or len(outputs) != 1:
        raise BadInput(f"{name} takes {len(inputs)} inputs and returns {len(outputs)} values; expected one tensor "
                       "each. Export a module that does.")
    sizes = tuple(size.get("as_int") for size in graph["tensor_values"][inputs[0]]["sizes"])
    steps = steps_of(graph["nodes"], bound, inputs, outputs[0])
    program = Program(bound, steps, inputs[0], sizes, outputs[0])
    made: dict[int, Tensor] = {}
    for target, kind in kinds.items():
        value = weights.get(target, constants.get(target))
        if value is None:
            raise BadInput(f"{name} lacks the values of {target!r}: the file is damaged. Export it again.")
        if kind == "parameter":
            value = made.setdefault(id(value), nn.Parameter(value, value.is_floating_point()))
        _register(program, target, value, kind)
    return program.eval()


def _inputs(name: str, specs: list[dict]) -> tuple[dict[str, str], list[str], dict[str, str]]:
    """{name in the graph: parameter or buffer}, names of the examples, {parameter or buffer: its kind}."""
    bound, inputs, kinds = {}, [], {}
    for spec in specs:
        kind, value = next(iter(spec.items()))
        if kind == "user_input":
            inputs.append(value["arg"]["as_tensor"]["name"])
        elif kind in ("parameter", "buffer", "tensor_constant"):
            target = str(value[f"{kind}_name"])
            bound[str(value["arg"]["name"])] = target
            kinds[target] = "buffer" if kind == "buffer" and value.get("persistent", True) else (
                kind if kind == "parameter" else "constant")
        else:
            raise BadInput(f"{name} takes an input of the kind {kind!r}; expected parameters, buffers and one tensor. "
                           "Export a module that takes one tensor.")
    return bound, inputs, kinds


def _register(program: nn.Module, name: str, value: Tensor, kind: str) -> None:
    *path, last = name.split(".")
    here = program
    for part in path:
        if part not in here._modules:
            here.add_module(part, nn.Module())
        here = here._modules[part]
    if kind == "parameter":
        here.register_parameter(last, value)
    else:
        here.register_buffer(last, value, persistent=kind == "buffer")


def _model_name(name: str, archive: zipfile.ZipFile) -> str:
    root = zipped.root_of(archive)
    models = [inner for inner in archive.namelist() if inner.startswith(f"{root}models/") and inner.endswith(".json")]
    if len(models) != 1:
        raise BadInput(f"{name} holds {len(models)} programs in the layout that is read here, expected one. Export it again "
                       f"with torch {torch.__version__}: torch.export.save(program, 'model.pt2').")
    return models[0].removeprefix(f"{root}models/").removesuffix(".json")


def _model(name: str, archive: zipfile.ZipFile) -> dict:
    inner = f"{zipped.root_of(archive)}models/{_model_name(name, archive)}.json"
    return _json(name, zipped.member(name, archive, inner))


def _json(name: str, data: bytes) -> dict:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise BadInput(f"{name}: a part that should be JSON is not. The file is damaged; export it again.") from None


def _payload(name: str, archive: zipfile.ZipFile, kind: str) -> dict[str, Tensor]:
    """Weights or constants by name; entries that share a part and a shape are one tensor."""
    folder = f"{zipped.root_of(archive)}data/{kind}/"
    config = _json(name, zipped.member(name, archive, f"{folder}{_model_name(name, archive)}_{kind}_config.json"))["config"]
    found: dict[str, Tensor] = {}
    made: dict[str, Tensor] = {}
    for key, entry in config.items():
        if entry["use_pickle"] or entry.get("tensor_meta") is None:
            raise BadInput(f"{name}: {key} is stored as a pickle, which can run code and is never loaded. Export a module "
                           "with plain tensors.")
        meta = entry["tensor_meta"]
        identity = f"{entry['path_name']} {meta}"
        if identity not in made:
            dtype = DTYPES.get(meta["dtype"])
            if dtype is None:
                raise BadInput(f"{name}: {key} has a number format (code {meta['dtype']}) that is not read here. Export it "
                               "in float32, float16 or bfloat16.")
            storage = zipped.numbers(zipped.member(name, archive, f"{folder}{entry['path_name']}"), dtype)
            shape, stride = ([int(n["as_int"]) for n in meta[axis]] for axis in ("sizes", "strides"))
            made[identity] = zipped.strided(f"{name}, {key}", storage, shape, stride, int(meta["storage_offset"]["as_int"]))
        found[key] = made[identity]
    return found
