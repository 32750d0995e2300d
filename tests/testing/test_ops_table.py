"""The table of all ops in the docs."""

import tinygrad_nn as tn
from tests.support import needs
from tinygrad_nn.testing.ops_table import ops_table


@needs.numpy_2_1
def test_the_table_in_the_docs_is_the_registry(request):
    page = request.config.rootpath / "docs" / "ops.md"
    assert page.read_text(encoding="utf-8") == ops_table(vars(tn)), (
        "python -m tinygrad_nn.testing.ops_table > docs/ops.md"
    )
