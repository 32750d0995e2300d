"""How much there is of each part of the package, against what it may be: `python -m tests.support.budget`.

A budget is raised in the commit that needs it, with the reason beside it.
"""

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "tinygrad_nn"

LINES = {
    # 1,700 was meant. The options of op, kernel and composite are written out with their types (130 lines more than
    # as **options) and looked at when an op is declared (30), the hooks of watchers are typed (50), a walk over
    # containers serves everyone (30), traced code has leaves of its own (30), and grad and its kin refuse what is
    # no function (20). Functions of NumPy that lose no gradient are listed by name (25); a call of an op on arrays,
    # as rules make it, has a short way (10). Signatures of ufuncs, which NumPy tells since 2.4 (15). Warnings point
    # to the user's line (10), debug() tells of numbers that leave the graph (20). Functions of modules that may not
    # be loaded are found by name, and keywords without a rule go to a composite (50). t.at and the lines to write
    # instead of writing take 70. Derivatives of functions of containers and modules, with their types (320). What
    # functions of NumPy in C take, which it does not always tell (12). Aliases say what trees, masks and operands
    # of composites are (25), an argument is chosen once (10).
    # The array API's names (125).
    "primitives engine": 2895,
    # 1,700 was meant. Signatures of kernels and composites say types, for which a third of them need a line each;
    # and what was found from outside is mended here: zero cotangents at infinities and NaN, in inverses of matrices
    # too, lengths of zero in every order, counts and sums that float16 does not have, scattered sums in double
    # precision (110), calls that NumPy takes or refuses (35). Decompositions, which were not there, are 290, the
    # second derivative of det where a matrix is singular 30. Ninety functions that peers have of NumPy, and where=,
    # initial=, dtype= and method=, make 900, ten lines each with samples. Special functions to the last places are
    # 230. What networks need: random ops (50), normalisation over batches and groups (220) and along the last axis
    # (70), running extremes (60), resizing (130), embeddings and one-hot rows (50), attention (110), GELU in
    # PyTorch's words (30), convolutions (440), windows and pools (350), recurrent networks (340, three walks
    # forward and three back). Types of what was Any (35). Gradients of softmax and of normalised rows as ops, and
    # that of gelu by tanh (60). Pools fill what is given (5).
    "ops": 5520,
    # 500 was meant. Random generators that a function can reach are found and put back (95). Calls that are run
    # again instead of saving (130). Times of parts (50).
    "graph": 800,
    # 1,900 was meant. What a step read is guarded (100), modules among its arguments too (10), machine code on disk
    # is looked at before it runs (30), and replays tell a profiler what each line does (25, and the profiler 180).
    # Networks: what is written into given memory with NumPy alone, and compiled code, for ops that see and read.
    "compiler": 5250,
    # 1,300 was meant. The work of a layout is bounded, a notebook is shown why there is no picture (40), and rules
    # are told in the names and numbers of the user (50). Shares of the time (65). Text without graphviz (5).
    "viz": 1450,
    # 700 was meant. Models are printed however deep they are nested, frozen parameters stay parameters (10).
    # Layers: Dropout (20), Identity and Residual (20), BatchNorm and GroupNorm (80), LayerNorm and RMSNorm (50),
    # Embedding (30), MultiheadAttention (80), those over one to three axes (270), recurrent ones (150). Losses take
    # sequences and weights of classes and rows (150). Copies with other parameters (60). How a model is built, told and
    # built again, a hostile file among what it is told by (235).
    "nn": 1895,
    # Meetings in which failures are told (100), the message of a step (120), ranks of threads (80), what is asked of a
    # communicator and the end of all ranks (50).
    "parallel": 420,
    # 350 was meant. Memory that cannot be written or has another dtype is looked at, rates are saved, schedules are
    # functions that can be pickled. Groups and what they are not (90), three more optimizers (170). Gradients of
    # all ranks (140), and that they are not clipped before (15). Blocks of large parameters, and one scratch (35).
    "optim": 905,
    # 600 was meant. Texts, and the sequences in them, are 120. Rows are held out (35), and shared out among
    # ranks (85). Arrays on a disk, of which rows are read, and batches by name (65).
    "data": 925,
    # 700 was meant. Several outputs and targets, and looking at validation data, metrics' names, callbacks' events
    # and saved states before training. Weights of rows, metrics by name, four of them, shares for validation (130),
    # averages of weights (90), steps that are replayed (20). Several ranks: what a training asks of them and the
    # answers of one process (60), those of many (180), their step with what it says of loss and metrics (100).
    # Batches by name (45).
    "train": 1475,
    # 2,200 was meant. Random ops draw the same in each run of a check (10), modules may take integers.
    "testing": 2240,
    # 300 was meant. How images lie is followed through layers, or through an example, up to those that know each
    # feature (90). Files of Keras (135), and how its layers lie (125).
    "interop": 650,
    # Two hundred ops in another library's words (810), one line or some each, and the file (350).
    "export": 1230,
    # 850 was meant. What comes from a file is looked at entry by entry, random generators included, whose positions
    # NumPy does not check. Keras's events are among the hints. Locks that a fork waits for (20). Whether a folder
    # is the user's own is looked at before machine code in it is run (30); Ctrl-C may come while a block is entered
    # or left (30); names are made printable in one place (10); boundaries say how sure a model is (10). What others
    # call layers, metrics and optimizers, and files of PyTorch (20). Settings that are numbers (25). Random numbers
    # of ranks (10). Files that bring their model (40).
    "errors context hints files states settings checkpoint plot": 1210,
}
"""Lines of code: neither blank, nor a comment, nor part of a docstring."""

ANY = 690
"""Uses of `Any` in the whole package. 450 was meant; keywords of ninety of NumPy's functions are 90 of them, what ranks
give each other and what batches consist of 90, what h5py opens 5. What has a meaning has a name
instead: `Tree`, `ArrayOrTensor`, `Mask`, `Operands`, `Params`, `Function`."""

IGNORES = 20
"""Lines that a type checker is told to ignore, each with its reason."""

IGNORED = re.compile(r"# (?:type|pyright): ignore.*")
"""The rest of the line too: one that names both checkers is one line."""


def part_of(path):
    """Return the part that a file of the package belongs to; None for the public face."""
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return next((part for part in LINES if room in part.split()), None)


def code_lines(path):
    """Count the lines of code of a file."""
    source = path.read_text(encoding="utf-8")
    prose = set()
    for node in ast.walk(ast.parse(source)):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node) is not None:
            prose.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and k not in prose for k, line in lines
    )


def measure():
    """Return code lines, uses of Any and ignored lines of every part; of stubs, which run nothing, the last two."""
    table = {part: [0, 0, 0] for part in LINES}
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi")]):
        part = part_of(path)
        if part is not None:
            text = path.read_text(encoding="utf-8")
            lines = code_lines(path) if path.suffix == ".py" else 0
            counts = lines, len(re.findall(r"\bAny\b", text)), len(IGNORED.findall(text))
            table[part] = [a + b for a, b in zip(table[part], counts, strict=True)]
    return table


def rows():
    """Yield the table as text."""
    yield f"{'part':<52} {'lines':>6} {'budget':>6} {'Any':>5} {'ignored':>7}"
    table = measure()
    for part, (lines, uses, ignored) in table.items():
        yield f"{part:<52} {lines:>6,} {LINES[part]:>6,} {uses:>5,} {ignored:>7}"
    totals = [sum(column) for column in zip(*table.values(), strict=True)]
    yield f"{'all':<52} {totals[0]:>6,} {'':>6} {totals[1]:>5,} {totals[2]:>7}"
    yield f"{'at most':<52} {'':>6} {'':>6} {ANY:>5,} {IGNORES:>7}"


if __name__ == "__main__":
    print("\n".join(rows()))
