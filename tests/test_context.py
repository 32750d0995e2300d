"""no_grad and enable_grad: as blocks, as decorators, in threads, tasks and generators."""

import asyncio
import contextlib
import itertools
import threading

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.interrupts import interrupted_everywhere
from tests.support.leaves import leaf, vector
from tinygrad_nn import context, nn
from tinygrad_nn.engine.watcher import Watcher
from tinygrad_nn.nn import module as modules


@pytest.fixture
def w():
    return tn.tensor([1.0, 2.0], requires_grad=True)


def test_enable_grad_records_inside_no_grad_and_no_grad_holds_again_after_it(w):
    with tn.no_grad():
        with tn.enable_grad():
            y = (w * w).sum()
        assert not (w * w).requires_grad
    y.backward()
    np.testing.assert_array_equal(w.grad, [2, 4])


@pytest.mark.parametrize(("block", "recorded"), [(tn.no_grad, False), (tn.enable_grad, True)])
@pytest.mark.parametrize("outer", [tn.no_grad, tn.enable_grad])
def test_a_decorated_function_has_its_own_recording_on_every_call(w, block, recorded, outer):
    @block()
    def double(x, *, factor=2):
        """Twice x."""
        return x * factor

    with outer():
        before = context.current()
        assert double(w).requires_grad is recorded
        assert double(w, factor=3).requires_grad is recorded
        assert context.current() is before
    assert (double.__name__, double.__doc__) == ("double", "Twice x.")


def test_a_decorated_function_that_fails_or_calls_itself_restores_recording(w):
    @tn.no_grad()
    def countdown(k):
        assert not (w * k).requires_grad
        if k == 0:
            raise ZeroDivisionError
        return countdown(k - 1)

    with pytest.raises(ZeroDivisionError):
        countdown(3)
    assert (w * 1).requires_grad


def test_a_decorated_generator_receives_values_and_errors_and_returns_its_result(w):
    @tn.no_grad()
    def echo():
        got = []
        while len(got) < 3:
            try:
                got.append((yield (w * 2).requires_grad))
            except KeyError as error:
                got.append(f"caught {error}, recording {(w * 2).requires_grad}")
        return got

    steps = echo()
    assert next(steps) is False
    assert steps.send("first") is False
    assert steps.throw(KeyError(7)) is False
    assert (w * 2).requires_grad
    with pytest.raises(StopIteration) as stop:
        steps.send("last")
    assert stop.value.value == ["first", "caught 7, recording False", "last"]


def test_an_error_that_a_decorated_generator_does_not_catch_comes_back(w):
    @tn.no_grad()
    def numbers():
        yield 1
        yield 2

    steps = numbers()
    next(steps)
    with pytest.raises(ZeroDivisionError, match="mine"):
        steps.throw(ZeroDivisionError("mine"))
    assert (w * 2).requires_grad


def test_a_closed_generator_cleans_up():
    closed = []

    @tn.no_grad()
    def numbers():
        try:
            yield 1
        finally:
            closed.append(True)

    steps = numbers()
    next(steps)
    steps.close()
    assert closed == [True]


def test_blocks_that_are_left_in_another_order_restore_recording(w):
    def batches():
        with tn.no_grad():
            for k in range(2):
                assert not (w * 1).requires_grad
                yield k

    assert list(zip(batches(), batches(), strict=False)) == [(0, 0), (1, 1)]
    assert (w * 1).requires_grad
    a, b, c = tn.no_grad(), tn.enable_grad(), tn.no_grad()
    for block in (a, b, c):
        block.__enter__()
    b.__exit__()
    assert not (w * 1).requires_grad
    a.__exit__()
    assert not (w * 1).requires_grad
    c.__exit__()
    assert (w * 1).requires_grad


@pytest.mark.parametrize("first", [tn.no_grad, tn.enable_grad])
@pytest.mark.parametrize("order", [*itertools.permutations(range(4))], ids=str)
def test_what_holds_is_what_the_innermost_open_block_says_in_whatever_order_blocks_are_left(w, first, order):
    kinds = [first, *[kind for kind in (tn.no_grad, tn.enable_grad) if kind is not first]] * 2
    blocks = [kind() for kind in kinds]
    for block in blocks:
        block.__enter__()
    opened = list(range(4))
    for k in order:
        blocks[k].__exit__()
        opened.remove(k)
        assert (w * 1).requires_grad == (not opened or kinds[opened[-1]] is tn.enable_grad)


def test_one_block_that_is_entered_twice_is_left_from_the_inside(w):
    off, on = tn.no_grad(), tn.enable_grad()
    off.__enter__()
    on.__enter__()
    off.__enter__()
    assert not (w * 1).requires_grad
    off.__exit__()
    assert (w * 1).requires_grad
    off.__exit__()
    assert (w * 1).requires_grad
    on.__exit__()
    assert (w * 1).requires_grad


def test_a_decorated_coroutine_records_nothing_while_other_tasks_do(w):
    @tn.no_grad()
    async def quiet():
        before = (w * 1).requires_grad
        await asyncio.sleep(0)
        return before, (w * 1).requires_grad

    async def loud():
        await asyncio.sleep(0)
        return (w * 1).requires_grad

    async def main():
        return await asyncio.gather(quiet(), loud(), quiet())

    assert asyncio.run(main()) == [(False, False), True, (False, False)]


def test_each_step_of_a_decorated_async_generator_is_covered_and_never_its_consumer(w):
    seen = []

    @tn.no_grad
    async def echo():
        try:
            while True:
                await asyncio.sleep(0)
                try:
                    seen.append((yield (w * 1).requires_grad))
                except KeyError as error:
                    seen.append(f"caught {error}, recording {(w * 1).requires_grad}")
        finally:
            seen.append("closed")

    async def main():
        steps = echo()
        assert await anext(steps) is False
        assert (w * 1).requires_grad
        assert await steps.asend("first") is False
        assert await steps.athrow(KeyError(7)) is False
        assert (w * 1).requires_grad
        await steps.aclose()
        return [k async for k in numbers()]

    @tn.no_grad
    async def numbers():
        yield 1
        yield 2

    assert asyncio.run(main()) == [1, 2]
    assert seen == ["first", "caught 7, recording False", "closed"]


@pytest.mark.parametrize("decorate", [tn.no_grad, tn.no_grad(), tn.enable_grad])
def test_a_class_is_not_decorated(decorate):
    with pytest.raises(TypeError, match=r"got the class Step\n  hint   decorate its methods"):

        @decorate
        class Step:
            pass


def test_a_watcher_that_says_nothing_lets_layers_and_losses_keep_what_a_user_made():
    wide = tn.tensor(np.ones((2, 3)))
    narrow = np.zeros((2, 3), np.float32)
    expected = tn.nn.losses.mse(narrow, wide).dtype
    with context.watching(Watcher()):
        assert tn.nn.losses.mse(narrow, wide).dtype == expected == np.float64
        assert tn.nn.Dense(3, 1, rng=0)(wide).dtype == np.float64


def test_no_grad_covers_a_coroutine():
    @tn.no_grad()
    async def compute():
        return (vector(1.0) * 2).requires_grad

    step = compute()
    with pytest.raises(StopIteration) as done:
        step.send(None)
    assert done.value.value is False


def test_no_grad_decorates_with_and_without_parentheses():
    @tn.no_grad
    def outside(t):
        return t * 2

    @tn.no_grad
    def steps(t):
        yield t * 2

    @tn.enable_grad
    def inside(t):
        return t * 2

    t = vector(1.0)
    assert not outside(t).requires_grad
    assert not next(steps(t)).requires_grad
    with tn.no_grad():
        assert inside(t).requires_grad
    with pytest.raises(TypeError, match=r"with tn.no_grad\(\)"):
        tn.no_grad(False)


def test_one_no_grad_object_serves_several_threads_and_nests():
    quiet, t, seen = tn.no_grad(), vector(1.0), {}
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def first():
        with quiet:
            first_is_in.set()
            assert second_is_in.wait(10)
        seen["first"] = (t * 2).requires_grad
        first_is_out.set()

    def second():
        assert first_is_in.wait(10)
        with tn.no_grad():
            with quiet:
                second_is_in.set()
                assert first_is_out.wait(10)
            seen["second"] = (t * 2).requires_grad

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"first": True, "second": False}
    with quiet:
        with quiet, tn.enable_grad():
            assert (t * 2).requires_grad
        assert not (t * 2).requires_grad
    assert (t * 2).requires_grad


def test_a_no_grad_closed_in_another_context_leaves_that_one_alone():
    quiet, t = tn.no_grad(), vector(1.0)
    thread = threading.Thread(target=quiet.__enter__)
    thread.start()
    thread.join()
    with tn.no_grad():
        quiet.__exit__()
        assert not (t * 2).requires_grad


@pytest.mark.case("H109")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_an_exception_inside_no_grad_restores_recording(error):
    with pytest.raises(error), tn.no_grad():
        raise error
    assert context.current().recording


@pytest.mark.case("H110")
def test_a_suspended_generator_does_not_hold_no_grad_open():
    @tn.no_grad()
    def values():
        for _ in range(3):
            yield tn.tensor(1.0, requires_grad=True) * 2

    steps = values()
    assert not next(steps).requires_grad
    assert (leaf(1.0) * 2).requires_grad
    assert not next(steps).requires_grad
    steps.close()
    assert context.current().recording


@pytest.mark.case("H113")
def test_no_grad_in_one_thread_does_not_reach_another():
    inside, done = threading.Event(), threading.Event()

    def quiet(_):
        with tn.no_grad():
            inside.set()
            assert done.wait(10)

    thread = threading.Thread(target=quiet, args=(0,))
    thread.start()
    assert inside.wait(10)
    assert (leaf(1.0) * 2).requires_grad
    done.set()
    thread.join()


def test_no_grad_holds_for_each_step_of_a_generator_and_never_for_its_consumer():
    t = vector(1)

    @tn.no_grad()
    def steps():
        yield (t * 2).requires_grad
        yield (t * 2).requires_grad

    for inside in steps():
        assert not inside
        assert (t * 2).requires_grad


def nested():
    quiet = tn.no_grad()
    with quiet, tn.enable_grad(), quiet:
        pass


def decorated():
    @tn.no_grad()
    def steps():
        yield 1

    list(steps())


def changed():
    with context.changed(recording=False):
        pass


def out_of_order():
    first, second = tn.no_grad(), tn.enable_grad()
    with contextlib.ExitStack() as later, first:
        later.enter_context(second)


@pytest.mark.parametrize(
    "block",
    [
        nested,
        decorated,
        out_of_order,
        changed,
    ],
)
def test_ctrl_c_while_a_block_is_entered_or_left_leaves_recording_as_it_was(block):
    before = context.current()
    for where in interrupted_everywhere(block, {context.__file__}):
        after, entered = context.current(), context._ENTERED.get()
        context.STATE.set(before)
        context._ENTERED.set(())
        assert after is before, where
        assert entered == (), where


@pytest.mark.parametrize("block", [lambda: context.watching(Watcher()), tn.debug])
def test_ctrl_c_while_a_watcher_is_installed_or_taken_away_leaves_none(block):
    def run():
        with block():
            pass

    before = context.current()
    for where in interrupted_everywhere(run, {context.__file__}):
        after = context.current()
        context.STATE.set(before)
        assert after is before, where


def test_an_interrupt_of_what_undoes_a_change_is_not_lost_when_the_second_try_succeeds():
    tries = []

    def undo():
        tries.append("undo")
        if len(tries) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), context.restoring(undo):
        pass
    assert tries == ["undo", "undo"]


def test_ctrl_c_while_a_module_is_called_or_switched_leaves_it_as_it_was():
    model = nn.Sequential(nn.Dense(2, 2, rng=0), nn.Tanh())
    model[0].training = False
    before = [dict(vars(module)) for _, module in model.named_modules()]

    def run():
        model(np.ones((1, 2), np.float32))
        with modules.in_mode(model, training=False):
            modules.outputs_of_calls(model, np.ones((1, 2), np.float32))

    state = context.current()
    for where in interrupted_everywhere(run, {context.__file__, modules.__file__}):
        assert [dict(vars(module)) for _, module in model.named_modules()] == before, where
        assert context.SCOPE.get() is None, where
        assert context.current() is state, where


def test_debugging_decorates_a_function_that_calls_itself():
    @tn.debug()
    def countdown(k):
        return len(context.current().watchers) if not k else countdown(k - 1)

    assert countdown(2) == 3
    assert context.current().watchers == ()


def test_a_call_has_the_name_of_the_module_in_the_one_that_called_it():
    keys = []

    class Inner(tn.nn.Module):
        def forward(self, x):
            keys.append(context.SCOPE.get().key())
            return x

    class Outer(tn.nn.Module):
        def __init__(self):
            self.first, self.second = Inner(), [Inner()]

        def forward(self, x):
            return self.second[0](self.first(stranger(x)))

    stranger = Inner()
    Outer()(tn.tensor([1.0]))
    stranger(tn.tensor([1.0]))
    assert keys == ["?", "first", "second.0", "?"]
