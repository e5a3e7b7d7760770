"""The workload of ``landscape bench gpu``: skipped without a GPU, and what it would run there runs."""

import pytest
import torch

from bench import gpu


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_row_says_so():
    (row,) = gpu.rows()
    assert "nothing was measured" in row.note
    assert row.ratio is None
    assert row.json()["method"] == "skipped"


def test_its_code_runs():
    tiny = gpu.Size(examples=60, side=64, cells=3, widths=(16, 8), channels=(4, 4), networks=4, epochs=1, chains=4, steps=2,
                    vectors=6, rounds=1)
    rows = {(row.workload, row.method): row for row in gpu.rows("cpu", tiny)}
    grids = [row for (name, _), row in rows.items() if "grid" in name]
    assert [row.method for row in grids] == ["float32", "tf32", "bfloat16"] * 2
    for row in grids:
        assert "GFLOP/s" in row.note
        assert row.max_rel_error < (0.05 if row.method == "bfloat16" else 1e-5)
        assert row.met in (True, None)
    assert all(row.ratio > 0 for row in rows.values())
    hessians = [row for (name, _), row in rows.items() if "hessian" in name]
    assert [row.max_rel_error < 1e-4 for row in hessians] == [True, True]
    lower = {how: row for (name, how), row in rows.items() if "hmc" in name and how != "all at once"}
    assert lower["tf32"].max_rel_error < 1e-4 < lower["bfloat16"].max_rel_error < 0.1
    assert "log density is off by" in lower["bfloat16"].note
    lower = {how: row for (name, how), row in rows.items() if "training" in name and how != "all at once"}
    assert lower["tf32"].max_rel_error == 0 < lower["bfloat16"].max_rel_error < 0.1
    assert "Networks trained in bfloat16" in lower["bfloat16"].note
    assert len(rows) == 14
