"""The table of all ops in the docs."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.testing.ops_table import ops_table


@pytest.mark.skipif(not hasattr(np, "unstack"), reason="NumPy has some of the functions since 2.1")
def test_the_table_in_the_docs_is_the_registry(request):
    page = request.config.rootpath / "docs" / "ops.md"
    assert page.read_text(encoding="utf-8") == ops_table(vars(tn)), (
        "python -m tinygrad_nn.testing.ops_table > docs/ops.md"
    )
