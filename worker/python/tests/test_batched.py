"""``@batched``: lists in and out, and what is refused. Real batches are made in tests/e2e."""

from __future__ import annotations

import functools
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import reframe
from reframe import Superseded, batched


def run(function, *items, made=None):
    """A batch, as the model's thread has it."""
    return function._plan.run(made, [(None, item) for item in items])


def test_each_parameter_is_a_list():
    @batched
    def infer(images, thresholds, names):
        assert isinstance(images, list)
        rows = zip(images, thresholds, names, strict=True)
        return [f"{name}{image + threshold}" for image, threshold, name in rows]

    assert run(infer, (1, 10, "a"), (2, 20, "b")) == ["a11", "b22"]
    assert infer.__name__ == "infer"
    assert infer.__wrapped__([1], [2], ["c"]) == ["c3"]


def test_what_setup_returns_comes_first():
    seen = []

    def infer(model, images):
        seen.append(model)
        return images

    made = batched(setup=lambda: "model", max_batch=2)(infer)
    assert run(made, (1,), made="model") == [1]
    assert seen == ["model"]
    # The first parameter is not the caller's.
    assert list(made._signature.parameters) == ["images"]


def test_setup_may_ask_for_the_number_of_its_replica():
    from reframe._batched import _set_up

    assert _set_up(None, 3) is None
    assert _set_up(lambda: "m", 3) == "m"
    assert _set_up(lambda replica: replica, 3) == 3
    assert _set_up(lambda device="cuda": device, 3) == "cuda"
    assert _set_up(lambda replica=0: replica, 3) == 3
    assert _set_up(dict, 3) == {}


def test_pictures_of_one_size_go_together():
    calls = []

    @batched(same_size=True)
    def infer(images):
        calls.append([image.shape for image in images])
        return list(np.stack(images).mean(axis=(1, 2)))

    small, large = np.zeros((2, 2)), np.ones((4, 4))
    assert run(infer, (small,), (large,), (small,)) == [0, 1, 0]
    assert calls == [[(2, 2), (2, 2)], [(4, 4)]]


@pytest.mark.parametrize(
    ("returned", "error", "text"),
    [
        ([1, 2, 3], ValueError, "infer returned 3 results for 2 items"),
        ([1], ValueError, "infer returned 1 results for 2 items"),
        (None, TypeError, "infer returned NoneType: a batched function returns a list"),
        (7, TypeError, "infer returned int"),
    ],
)
def test_a_result_for_each_item(returned, error, text):
    @batched
    def infer(images):
        return returned

    with pytest.raises(error, match=text):
        run(infer, (1,), (2,))


def test_an_array_is_a_list_of_results():
    @batched
    def infer(images):
        return np.array(images) * 2

    assert run(infer, (1,), (2,)) == [2, 4]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_batch": 0}, "max_batch=0 is no number from 1 to 256"),
        ({"max_batch": True}, "max_batch=True"),
        ({"max_batch": 2.5}, "max_batch=2.5"),
        ({"replicas": 0}, "replicas=0"),
        ({"max_wait_ms": -1}, "max_wait_ms=-1 is no number from 0 to 1000"),
        ({"max_wait_ms": float("nan")}, "max_wait_ms=nan"),
        ({"max_wait_ms": "4"}, "max_wait_ms='4'"),
    ],
)
def test_wrong_settings_are_named(options, text):
    with pytest.raises(ValueError, match=text):
        batched(**options)(lambda images: images)


def test_what_cannot_be_batched_is_refused():
    async def later(images):
        return images

    def pieces(images):
        yield from images

    def no_lists():
        return []

    for function in (later, pieces):
        with pytest.raises(TypeError, match="must be a plain function"):
            batched(function)
    with pytest.raises(TypeError, match="for a function, not for int"):
        batched(7)
    with pytest.raises(TypeError, match="takes no list"):
        batched(no_lists)
    with pytest.raises(TypeError, match="setup's model and a list of images"):
        batched(setup=object)(lambda model: [])
    with pytest.raises(TypeError, match="setup is str, not a function"):
        batched(setup="cuda")(lambda model, images: images)


def test_it_is_called_in_a_streams_function():
    @batched
    def infer(images):
        return images

    with pytest.raises(RuntimeError, match="in a stream's handler, on the session's own thread"):
        infer(1)
    with pytest.raises(TypeError, match="missing a required argument: 'images'"):
        infer()
    assert batched.contexts() == []


def test_a_model_that_cannot_be_made_is_an_error_of_start():
    def load():
        raise OSError("no weights")

    infer = batched(setup=load)(lambda model, images: images)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the model could not be made: OSError: no weights"):
            infer.start()


@pytest.mark.parametrize("load", ["time.sleep(600)", "spin()"])
def test_ctrl_c_ends_the_wait_for_a_model(load):
    text = (
        "import signal, time\n"
        "from reframe import batched\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def spin():\n"
        "    while True:\n"
        "        pass\n"
        "def load():\n"
        "    print('loading', flush=True)\n"
        f"    {load}\n"
        "infer = batched(setup=load)(lambda model, images: images)\n"
        "try:\n"
        "    infer.start()\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
        "    raise\n"
    )
    # -P: the sources in the working folder are not the whole package.
    command = [sys.executable, "-P", "-c", text]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as program:
        try:
            assert program.stdout.readline() == "loading\n"
            program.send_signal(signal.SIGINT)
            output, _ = program.communicate(timeout=30)
        finally:
            program.kill()
    assert output.startswith("interrupted\n"), output
    assert output.endswith("KeyboardInterrupt\n"), output
    assert program.returncode == -signal.SIGINT, output


def test_a_model_is_made_once_on_a_thread_of_its_own_for_each_replica():
    threads, lock = [], threading.Lock()

    def load(replica):
        with lock:
            threads.append((replica, threading.get_ident()))

    infer = batched(setup=load, replicas=3)(lambda model, images: images)
    infer.start()
    infer.start()
    assert sorted(replica for replica, _ in threads) == [0, 1, 2]
    assert len({thread for _, thread in threads} | {threading.get_ident()}) == 4


def test_superseded_passes_where_errors_are_caught():
    assert not issubclass(Superseded, Exception)
    assert reframe.Superseded is Superseded


def test_a_partial_is_a_function():
    infer = batched(functools.partial(lambda scale, images: [scale * i for i in images], 3))
    assert run(infer, (2,)) == [6]
