"""How much there is of each part of the package, against what it may be: `python -m tests.support.budget`.

A budget is raised in the commit that needs it, with the reason beside it.
"""

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "tinygrad_nn"

LINES = {
    # 1,700 was meant. Derivatives of functions of containers and modules, with their types, are 320. Options of op,
    # kernel and composite are written out with their types (130 more than as **options) and looked at when an op is
    # declared (30); the hooks of watchers are typed (50), aliases say what trees, masks and operands are (25). The
    # names of the array API are 125, functions of NumPy that lose no gradient 25, signatures that NumPy does not
    # always tell 30, calls of ops on arrays, as rules make them, 10. A walk over containers serves everyone (40),
    # traced code has leaves of its own (30). What errors and warnings say: t.at and the lines to write instead of
    # writing (70), what is no function (20), numbers that leave the graph (20), the line of the user (10), also of
    # what NumPy warns of, and why a result has no gradient (40). Rules have formulas beside them (10), and lines of the
    # user are recorded (45). Inputs that are no rows are told how to become rows (15).
    # A gradient that a step has used already is known by its leaf, and text that is given to ops has a hint (20).
    "primitives engine": 3030,
    # 1,700 was meant, without a third of the ops. Ninety functions that peers have of NumPy, and where=, initial=,
    # dtype= and method=, make 900, ten lines each with samples; decompositions 290, the second derivative of det
    # where a matrix is singular 30, special functions to the last places 230. For networks: convolutions (440),
    # windows and pools (355), recurrent networks (340, three walks forward and three back), normalisation over
    # batches and groups (220) and along the last axis (70), resizing (130), attention (110), running extremes (60),
    # gradients of softmax, of normalised rows and of GELU as ops (60), random ops (50), embeddings and one-hot rows
    # (50), GELU in PyTorch's words (30). Signatures say types, for which a third of them need a line each (35 came
    # late). Found from outside: zero cotangents at infinities and NaN, lengths of zero in every order, counts and
    # sums that float16 does not have, scattered sums in double precision (110), calls that NumPy takes or refuses
    # (35).
    # What rules say to readers, where their source is no formula (50). Scalars of scalars, as of NumPy's ufuncs (5).
    "ops": 5580,
    # 500 was meant. Random generators that a function can reach are found and put back (95), calls are run again
    # instead of saved (130), parts are timed (50), values know the line of the user (20).
    "graph": 825,
    # 1,900 was meant. For networks, besides: convolutions, products, tiles (620), windows (240), columns (250), rows
    # (280), recurrent walks, with NumPy and compiled (650), threads (280), waiting and cache (170). For everyone:
    # what a step read is guarded, modules among its arguments too (110), ops write into given memory with NumPy alone
    # (190), a profiler (280) is told what each line of a replay does (25). Small products are written in LLVM's
    # instructions, and Numba's passes chosen, so that there is less to compile (5).
    "compiler": 5290,
    # 1,300 was meant. The work of a layout is bounded, a notebook is shown why there is no picture (40), rules
    # are told in the names and numbers of the user (50), shares of the time are drawn (65). Rules are mathematics: read
    # from their source (140), written with signs and words in two languages (190), computed entry by entry (230), and
    # told (230). Values are called as the user's variables are (65), and have the user's line beside them (75).
    # Long pictures in rows (220), PNG and PDF of our own SVG (25), modules that open and close in the page (120), small
    # pictures of arrays (85).
    # The view of neurons (1,220): a graph as layers (235), their derivatives (95), what is shown of them and where
    # (165), as SVG and images (230), painted step by step (75), a page with its numbers (170), options (115), and
    # sentences in two languages (145). Small graphs as programs for the page's script, to try other numbers (150).
    # What all pages are, and PNG files in them, those of films too (75).
    # Pictures, their page and statistics in two languages (170), and values in words that are kept as numbers (60).
    "viz": 4610,
    # 700 was meant. Layers: those over one to three axes (270), recurrent ones (150), BatchNorm and GroupNorm (80),
    # MultiheadAttention (80), LayerNorm and RMSNorm (50), Embedding (30), Dropout (20), Identity and Residual (20).
    # Losses take sequences and weights of classes and rows (150). Copies have other parameters (60), models are
    # printed however deep they are nested, frozen parameters stay parameters (10). How a model is
    # built, told and built again, a hostile file among what it is told by (235). What losses are given is looked at in
    # a file of its own, with its imports (20), and wrong calls are answered (10). An array does not take the place of
    # a parameter (10). Inputs in another form, images, rows, symbols, are told what to write (35), and dtypes
    # that parameters cannot have (10).
    # Functions are shown as rows (20), files have imports of their own (15).
    "nn": 2080,
    # Meetings in which failures are told (100), the message of a step (100), what a network costs, and the command
    # that tells (120), ranks of threads (75), what is asked of a communicator and the end of all ranks (50).
    "parallel": 450,
    # 350 was meant. Three more optimizers (170), groups and what they are not (90), gradients of all ranks (145), and
    # that they are not clipped before (15), blocks of large parameters, and one scratch (35). Memory that cannot be
    # written or has another dtype is looked at, rates are saved, schedules are functions that can be pickled, and
    # optimizers and schedules show their settings (10).
    # A gradient that was never cleared is named (15); a model to be clipped, states that are none (10).
    "optim": 945,
    # 600 was meant. Texts, and the sequences in them, are 120. Rows are held out (35), and shared out among
    # ranks (90). Arrays on a disk, of which rows are read, and batches by name (65). A sample to look at (10),
    # and batches show their arrays (10). Several arrays in one tuple are refused with the call to write (10).
    "data": 975,
    # 700 was meant. Several outputs and targets, and looking at validation data, metrics' names, callbacks' events
    # and saved states before training. Weights of rows, metrics by name, four of them, shares for validation (130),
    # averages of weights (90), steps that are replayed (20). Several ranks: what a training asks of them and the
    # answers of one process (65), those of many (180), their step with what it says of loss and metrics (105).
    # Batches by name (45). Models are run, and steps taken, without a trace (105). Films (1,445): a model is asked (50)
    # and what is looked at in its answers (190), layers (165) and units (90), its frames and what is said of them
    # (200), bytes (65), the page (75) and its words in two languages (245), still and moving pictures (185), a page
    # while it trains (75), the callback (150).
    # The doctor: a look at a step (520), what it collects (330), eighteen checks (540), sentences in two languages
    # (300), the report, and examining without training (160). A rate is found (120), the path of the weights recorded
    # (40). Callbacks show their settings, and a loss that is none is named (10).
    # A level of guessing for losses that are sums (20), and what is given to `examine` is looked at (10). What goes by
    # name is not unpacked (35). Mistakes around callbacks and metrics are told before training (50).
    "train": 5160,
    # 2,200 was meant. Random ops draw the same in each run of a check (10), modules may take integers. A wrong gradient
    # is diagnosed, seventeen mistakes of some twenty lines (340), and shown side by side (90); calls that are mistaken
    # are told plainly (115). What a record or a module lacks is told, and what could not be compared (130). The
    # command tells a line an op, and reports are readable lines (55), the table of ops has mathematics (15).
    # Inputs that are no arrays, or another number of them, and factors of squares and cubes (45).
    # The complex step alone, where there is one, looks at second derivatives of functions made of ops (5).
    "testing": 3115,
    # 300 was meant. How images lie is followed through layers, or through an example, up to those that know each
    # feature (90). Files of Keras (135), and how its layers lie (125).
    "interop": 650,
    # Two hundred ops in another library's words (810), one line or some each, and the file (350). Files of NumPy
    # alone (1,500): a graph as lines (280), their names (180) and words (430), and the functions that are copied (270).
    "export": 2820,
    # Fifteen settings, listed by both estimators, as scikit-learn wants it, and handed on (110); networks, optimizers
    # and callbacks are looked at before training (120); weights, classes and what partial_fit may not change (100).
    "sklearn": 530,
    # 850 was meant. What comes from a file is looked at entry by entry, random generators included, whose positions
    # NumPy does not check; states, and what has one, have names for their types (15). Before machine code in a folder
    # is run, whether that is the user's own is looked at (30). Ctrl-C may come while a block is entered or left (30),
    # a fork waits for locks (20). Settings are numbers (25), names are made printable in one place (10), ranks have
    # random numbers of their own (10). What others call layers, metrics and
    # optimizers, files of PyTorch, Keras's events, and settings of estimators are hints (45). Files that bring their
    # model (40). Sentences in several languages (20). Seven hundred names of PyTorch, Keras and NumPy with what to
    # write (350), and one answer to wrong calls (150) and to names that are not there (100). Options of
    # programs, and how these end (30). Forty more names, of programs of PyTorch that were carried over (40).
    # Activations by position are answered with a layer, and files are called by their own name (20). Where a file
    # cannot be written is looked at before a training (10).
    "errors context hints files states settings languages checkpoint": 1715,
    # Labels and classes are taken as people have them (75), boundaries have a legend (45), histories two panels (15).
    # Gradients that are checked are drawn (40), rates that were tried (25).
    # A landscape of a loss and the paths in it (255), of models and of functions of two numbers. What is no model, no
    # history and no axes is told (20).
    "plot": 865,
}
"""Lines of code: neither blank, nor a comment, nor part of a docstring."""

ANY = 490
"""Uses of `Any` in the whole package. 450 was meant; keywords of ninety of NumPy's functions are 90 of them. What has a
meaning has a name instead: `Tree`, `ArrayOrTensor`, `Mask`, `Operands`, `Params`, `Function`, `State`, `StateDict`."""

IGNORES = 2
"""Lines that a type checker is told to ignore: `==` and `!=` of tensors return tensors, as those of arrays do."""

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
        # Docstrings that share a text are put together.
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__doc__":
            prose.update(range(node.lineno, node.end_lineno + 1))
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
