"""Two stores hold the same run: every result and every weight, of it and of what it was made from, bit for bit."""

from __future__ import annotations

import json

from landscape.results import pack
from landscape.runs import Library
from landscape.runs.records import plain


def account(library: Library, key: str) -> dict[str, object]:
    """All that was saved, by name. What the clock says is left out: seconds are not part of a result."""
    found = {}
    for one in library.lineage(key):
        assert library.run(one).status == "done", library.run(one).message
        for name in library.names(one):
            meta, arrays = pack(library.result(one, name))
            numbers = {path: (a.dtype, a.shape, a.tobytes()) for path, a in arrays.items()}
            found[f"{one}: {name}"] = json.dumps(_timeless(plain(meta)), sort_keys=True), numbers
        for name in library.weight_names(one):
            found[f"{one}: weights {name}"] = library.weights_file(one, name)
    return found


def assert_same(library: Library, reference: Library, key: str) -> None:
    found, wanted = account(library, key), account(reference, key)
    assert wanted
    assert found.keys() == wanted.keys(), found.keys() ^ wanted.keys()
    other = {name: _difference(found[name], wanted[name]) for name in wanted if found[name] != wanted[name]}
    assert not other, other


def _difference(found, wanted) -> str:
    """A part of the text of two results that differ, or that their numbers do."""
    if isinstance(found, bytes) or found[0] == wanted[0]:
        return "other numbers"
    at = next((i for i, (a, b) in enumerate(zip(found[0], wanted[0], strict=False)) if a != b), 0)
    return f"...{found[0][max(0, at - 60):at + 60]}... not ...{wanted[0][max(0, at - 60):at + 60]}..."


def _timeless(value):
    if isinstance(value, dict):
        return {name: _timeless(each) for name, each in value.items() if "seconds" not in name}
    return [_timeless(each) for each in value] if isinstance(value, list) else value
