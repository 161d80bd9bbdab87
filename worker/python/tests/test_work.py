"""A session's life: what the function gets, and what the compiled half gets of it."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import logging
import threading
import weakref

import numpy as np
import pytest
from fakes import Frame, Running, in_thread

from reframe import (
    AdditionalOutputs,
    CloseStream,
    Handler,
    Number,
    Slider,
    Superseded,
    Text,
    VideoStreamHandler,
    Warning,
    WebRTCError,
    get_current_context,
    log,
)


@pytest.fixture
def running(monkeypatch):
    works = []

    def make(handler, **options):
        made = Running(monkeypatch, handler, **options)
        works.append(made.work)
        return made

    yield make
    for work in reversed(works):
        work.stop()


def test_a_function_gets_the_frame_and_the_inputs(running):
    seen = []

    def detect(image, threshold=0.5, kernel=3):
        seen.append((image.shape, threshold, kernel))
        return image[::-1]

    made = running(
        detect, additional_inputs=[Slider(0, 1, value=0.3), Slider(1, 9, value=3, step=2)]
    )
    assert made.work.start() is None
    frame = Frame(np.arange(72, dtype=np.uint8).reshape(4, 6, 3))
    picture, pixels, outputs, close = made.work.process(frame)
    assert np.shares_memory(picture, frame.array)
    assert picture.strides == (-18, 3, 1)
    assert (pixels, outputs, close) == ("bgr24", None, None)
    made.session.set(threshold=0.75)
    made.work.process(frame)
    assert seen == [((4, 6, 3), 0.3, 3), ((4, 6, 3), 0.75, 3)]
    assert [type(value) for value in seen[0][1:]] == [float, int]


def test_inputs_are_converted_once_for_each_change(running):
    made = running(lambda image, a: image, additional_inputs=[Slider(0, 1)])
    values = made.work._values
    first = values.arguments()
    assert values.arguments() is first
    made.session.set(a=1.0)
    assert values.arguments() == (1.0,)


@pytest.mark.parametrize(
    ("returned", "picture", "outputs", "close"),
    [
        (AdditionalOutputs(1), False, [1], None),
        (CloseStream(), False, None, "Stream closed"),
        ((np.zeros((2, 2, 3), np.uint8), AdditionalOutputs(2)), True, [2], None),
        ((np.zeros((2, 2, 3), np.uint8), CloseStream("bye")), True, None, "bye"),
        ((np.zeros((2, 2, 3), np.uint8), AdditionalOutputs(3), CloseStream("")), True, [3], ""),
        ((AdditionalOutputs(4), CloseStream("bye")), False, [4], "bye"),
        ((None, AdditionalOutputs(5)), False, [5], None),
    ],
)
def test_the_forms_of_a_result(running, returned, picture, outputs, close):
    made = running(lambda image: returned, additional_outputs=[Number()])
    made.work.start()
    result = made.work.process(Frame())
    assert (result[0] is not None, made.outputs(result), result[3]) == (picture, outputs, close)


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (None, "returned None"),
        ([1, 2], "returned list"),
        ((np.zeros((2, 2, 3), np.uint8),), "a comma too many"),
        ((np.zeros((2, 2, 3), np.uint8), 3), "(numpy.ndarray, int): after the picture come"),
        ((np.zeros((2, 2, 3), np.uint8), AdditionalOutputs), "after the picture come"),
        ((1, 2, 3, 4, 5, 6), "(int, int, int, int, …)"),
        ((), "tuple ()"),
        (CloseStream, "returned the class CloseStream"),
        ("text", "returned str, which is no picture"),
        ((x for x in ()), "a generator is for mode='receive'"),
    ],
)
def test_a_wrong_result_costs_one_frame_and_says_the_cure(running, returned, says):
    results = iter([returned, np.zeros((2, 2, 3), np.uint8)])
    made = running(lambda image: next(results))
    made.work.start()
    error = made.work.process(Frame())
    assert isinstance(error, str)
    assert says in error
    assert made.work.process(Frame())[1] == "bgr24"


def test_mode_send_drops_pictures_and_keeps_outputs(running):
    results = iter([None, "anything", np.zeros(3), (np.zeros(3), AdditionalOutputs("x"))])
    made = running(lambda image: next(results), mode="send", additional_outputs=[Text()])
    made.work.start()
    assert [made.work.process(Frame())[:3] for _ in range(4)] == [
        (None, None, None),
        (None, None, None),
        (None, None, None),
        (None, None, '["x"]'),
    ]


class Unspeakable(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise SystemExit(3)


def _recursion(image):
    return _recursion(image)


def _raiser(error):
    def fail(image):
        raise error

    return fail


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (_raiser(ValueError("no face")), "no face"),
        (_raiser(ValueError()), "ValueError"),
        (_raiser(ValueError("   ")), "ValueError"),
        (_raiser(SystemExit(3)), "3"),
        (_raiser(KeyboardInterrupt()), "KeyboardInterrupt"),
        (_raiser(GeneratorExit()), "GeneratorExit"),
        (_raiser(StopIteration()), "StopIteration"),
        (_raiser(Unspeakable()), "Unspeakable"),
        (_raiser(ValueError("\ud800")), "?"),
        (_raiser(ValueError("x" * 5000)), "x" * 999 + "…"),
        (_raiser(asyncio.CancelledError()), "CancelledError"),
        (_recursion, "maximum recursion depth exceeded"),
    ],
)
def test_whatever_is_raised_costs_one_frame(running, caplog, function, text):
    made = running(function)
    made.work.start()
    assert [made.work.process(Frame()) for _ in range(3)] == [text] * 3 or made.work.process(
        Frame()
    ).startswith(text)
    assert len([r for r in caplog.records if r.name == "reframe"]) == 1
    assert caplog.records[0].exc_info is not None


def test_one_traceback_for_each_kind(running, caplog):
    errors = iter([ValueError("a"), ValueError("b"), TypeError("c"), ValueError("d")])

    def fail(image):
        raise next(errors)

    made = running(fail)
    made.work.start()
    assert [made.work.process(Frame()) for _ in range(4)] == ["a", "b", "c", "d"]
    assert [record.exc_info[0] for record in caplog.records] == [ValueError, TypeError]


def test_a_log_that_fails_does_no_harm(running):
    class Broken(logging.Handler):
        def emit(self, record):
            raise SystemExit(1)

    handler = Broken()
    logging.getLogger("reframe").addHandler(handler)
    try:
        made = running(_raiser(ValueError("x")))
        made.work.start()
        assert made.work.process(Frame()) == "x"
    finally:
        logging.getLogger("reframe").removeHandler(handler)


@pytest.mark.parametrize("fails", [False, True])
def test_no_reference_to_a_frame_stays_behind(running, fails):
    """Its buffer must go back to the pool at once, without the garbage collector."""

    def function(image):
        if fails:
            raise ValueError
        return np.flip(image, 0)

    made = running(function)
    made.work.start()
    made.work.process(Frame())  # Whoever handles the log may keep the traceback of the first error.
    gc.disable()
    try:

        class Pixels(np.ndarray):
            pass

        array = np.zeros((2, 2, 3), np.uint8).view(Pixels)
        gone = weakref.ref(array)
        made.work.process(Frame(array))
        del array
        assert gone() is None
    finally:
        gc.enable()


def test_each_session_has_its_own_handler(running):
    calls = []

    class Counting(Handler):
        def start_up(self):
            self.frames = 0
            calls.append(("start_up", threading.get_ident()))

        def process(self, image, step):
            self.frames += step
            return AdditionalOutputs(self.frames)

        def shutdown(self):
            calls.append(("shutdown", self.frames))

    made = running(
        Counting, additional_inputs=[Slider(0, 100, value=2)], additional_outputs=[Number()]
    )
    other = made.another()
    assert made.work.start() is None
    assert other.start() is None
    results = [made.work.process(Frame()) for _ in range(3)] + [other.process(Frame())]
    assert [made.outputs(result) for result in results] == [[2], [4], [6], [2]]
    made.work.stop()
    made.work.stop()
    other.stop()
    assert [call for call, _ in calls] == ["start_up", "start_up", "shutdown", "shutdown"]
    assert calls[2:] == [("shutdown", 6), ("shutdown", 2)]


def test_a_handler_takes_arguments_by_partial(running):
    class Adding(Handler):
        def __init__(self, model, bias=0):
            self.sum = model + bias

        def process(self, image):
            return AdditionalOutputs(self.sum)

    made = running(functools.partial(Adding, 3, bias=4), additional_outputs=[Number()])
    made.work.start()
    assert made.outputs(made.work.process(Frame())) == [7]


@pytest.mark.parametrize("where", ["__init__", "start_up"])
def test_a_start_that_fails_ends_the_session(running, where):
    def fail(self):
        raise OSError("no model")

    stopped = []
    names = {"process": lambda self, image: image, "shutdown": lambda self: stopped.append(1)}
    made = running(type("Failing", (Handler,), names | {where: fail}))
    assert made.work.start() == "no model"
    made.work.stop()
    assert stopped == []


def test_a_shutdown_that_fails_is_logged(running, caplog):
    class Failing(Handler):
        def process(self, image):
            return image

        def shutdown(self):
            raise SystemExit(2)

    made = running(Failing)
    made.work.start()
    made.work.stop()
    assert len(caplog.records) == 1


def test_a_generator_runs_to_its_end_and_its_finally_on_its_thread(running):
    ends = []

    def generation(width):
        try:
            yield np.zeros((2, width, 3), np.uint8)
            yield None
            yield np.zeros((2, width, 3), np.uint8), AdditionalOutputs(width)
            yield AdditionalOutputs(9)
        finally:
            ends.append(threading.get_ident())

    options = {"additional_inputs": [Slider(0, 100, value=4)], "additional_outputs": [Number()]}
    made = running(generation, mode="receive", **options)
    assert made.work.start() is None
    results = [made.work.next() for _ in range(5)]
    assert [r and r[0] is not None for r in results] == [True, False, True, False, None]
    assert [r and made.outputs(r) for r in results] == [None, None, [4], [9], None]
    assert results[0][0].shape == (2, 4, 3)

    def early():
        work = made.another()
        work.start()
        work.next()
        work.stop()
        return threading.get_ident()

    thread = in_thread(early)
    assert ends == [threading.get_ident(), thread]


def test_a_generator_that_fails_tells_it_and_then_has_ended(running):
    def generation():
        yield np.zeros((2, 2, 3), np.uint8)
        raise OSError("the camera is gone")

    made = running(generation, mode="receive")
    made.work.start()
    assert made.work.next()[1] == "bgr24"
    assert made.work.next() == "the camera is gone"
    assert made.work.next() is None


def test_a_generator_that_will_not_close_does_no_harm(running, caplog):
    def generation():
        try:
            yield None
        except GeneratorExit:
            yield None

    made = running(generation, mode="receive")
    made.work.start()
    made.work.next()
    made.work.stop()
    assert len(caplog.records) == 1


def test_other_iterators_and_callable_objects_generate(running):
    class Calls:
        def __call__(self):
            yield AdditionalOutputs("call")

        def method(self):
            yield AdditionalOutputs("method")

    outputs = {"additional_outputs": [Text()], "mode": "receive"}
    for function, text in [
        (Calls(), "call"),
        (Calls().method, "method"),
        (functools.partial(Calls.method, None), "method"),
        (lambda: iter([AdditionalOutputs("iterator")]), "iterator"),
        (lambda: [AdditionalOutputs("list")], "list"),
    ]:
        made = running(function, **outputs)
        assert made.work.start() is None
        assert made.outputs(made.work.next()) == [text]
        assert made.work.next() is None


def test_what_is_no_generator_says_so_before_the_first_picture(running):
    made = running(lambda: np.zeros((2, 2, 3), np.uint8), mode="receive")
    assert "mode='receive' needs a generator" in made.work.start()


def test_coroutines_have_one_loop_for_the_session(running):
    loops = []
    variable = contextvars.ContextVar("variable", default=0)

    async def detect(image):
        loops.append(asyncio.get_running_loop())
        variable.set(variable.get() + 1)
        await asyncio.sleep(0)
        assert get_current_context().webrtc_id == "a-session"
        return AdditionalOutputs(variable.get())

    made = running(detect, additional_outputs=[Number()])
    made.work.start()
    assert [made.outputs(made.work.process(Frame())) for _ in range(3)] == [[1], [2], [3]]
    assert len(set(loops)) == 1
    other = made.another()
    in_thread(lambda: (other.start(), other.process(Frame()), other.stop()))
    assert len(set(loops)) == 2
    made.work.stop()
    assert all(loop.is_closed() for loop in loops)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt("3"), ValueError("3")])
def test_a_loop_outlives_errors(running, error):
    errors = iter([error])

    async def detect(image):
        for raised in errors:
            raise raised
        return image

    made = running(detect)
    made.work.start()
    assert made.work.process(Frame()) == "3"
    assert made.work.process(Frame())[1] == "bgr24"


def test_asynchronous_generators_and_handlers(running):
    ends = []

    async def generation():
        try:
            while True:
                await asyncio.sleep(0)
                yield np.zeros((2, 2, 3), np.uint8)
        finally:
            ends.append("closed")

    made = running(generation, mode="receive")
    assert made.work.start() is None
    assert made.work.next()[1] == "bgr24"
    made.work.stop()
    assert ends == ["closed"]

    class Later(Handler):
        async def start_up(self):
            await asyncio.sleep(0)
            ends.append("up")

        async def process(self, image):
            return image

        async def shutdown(self):
            ends.append("down")

    made = running(Later)
    made.work.start()
    assert made.work.process(Frame())[1] == "bgr24"
    made.work.stop()
    assert ends == ["closed", "up", "down"]


def test_the_context(running):
    seen = []

    def detect(image, gain):
        context = get_current_context()
        seen.append((context.webrtc_id, context.seq, context.capture_time, dict(context.inputs)))
        return AdditionalOutputs(context.closed)

    made = running(detect, additional_inputs=[Slider(0, 1)], additional_outputs=[Text()])
    with pytest.raises(RuntimeError, match="no session here"):
        get_current_context()
    made.work.start()
    made.work.process(Frame(seq=7, capture_time=1.5))
    made.session.closed = True
    assert made.outputs(made.work.process(Frame(seq=8, capture_time=2.0))) == ["True"]
    assert seen == [("a-session", 7, 1.5, {"gain": 0.0}), ("a-session", 8, 2.0, {"gain": 0.0})]
    made.work.stop()
    with pytest.raises(RuntimeError):
        get_current_context()


def test_a_generator_reads_inputs_as_they_change(running):
    def generation(speed):
        while True:
            yield AdditionalOutputs(speed, get_current_context().inputs["speed"])

    options = {"additional_inputs": [Slider(0, 100)], "additional_outputs": [Number(), Number()]}
    made = running(generation, mode="receive", **options)
    made.work.start()
    assert made.outputs(made.work.next()) == [0, 0]
    made.session.set(speed=5.0)
    assert made.outputs(made.work.next()) == [0, 5]


def test_messages_reach_the_client(running, caplog):
    def detect(image):
        log("one")
        Warning("two")
        WebRTCError("three")
        try:
            raise WebRTCError("four")
        except WebRTCError:
            pass
        raise WebRTCError("five")

    made = running(detect)
    made.work.start()
    assert made.work.process(Frame()) == "five"
    assert made.session.told == [
        ("log", "one"),
        ("warning", "two"),
        ("error", "three"),
        ("error", "four"),
    ]
    caplog.clear()
    made.work.stop()
    Warning("nobody")
    with pytest.raises(WebRTCError, match="outside"):
        raise WebRTCError("outside")
    assert [record.getMessage() for record in caplog.records] == ["nobody"]


def test_messages_are_bounded(running):
    def detect(image):
        for _ in range(100):
            WebRTCError("x" * 5000)
        return image

    made = running(detect)
    made.work.start()
    made.work.process(Frame())
    assert len(made.session.told) == 100
    assert max(len(message) for _, message in made.session.told) == 1000


def test_settings_reach_the_declaration(running):
    handler = VideoStreamHandler(
        lambda image: image, 29.97, True, pixel_format="rgb24", parallel=True, as_sent=True
    )
    made = running(
        handler,
        name="cats",
        ui_args={"title": "Cats", "icon": "cat.svg"},
        time_limit=90,
        movable=True,
        concurrency_limit=5,
        bitrate=(300, 4000),
        start_bitrate=2500,
    )
    assert made.declaration == {
        "name": "cats",
        "title": "Cats",
        "subtitle": "",
        "mode": "send-receive",
        "fps": 29.97,
        "skip_frames": True,
        "keep_rotation": True,
        "pixel_format": "rgb24",
        "serialized": False,
        "call_limit_s": 10.0,
        "concurrency_limit": 5,
        "time_limit_s": 90.0,
        "movable": True,
        "broadcast": False,
        "bitrate_kbps": [300, 4000],
        "start_bitrate_kbps": 2500,
        "inputs": [],
        "outputs": [],
    }


def test_a_frame_that_was_superseded_is_no_error(running, caplog):
    def detect(image):
        try:
            raise Superseded
        except Exception:
            return image

    made = running(detect, additional_outputs=[Number()])
    made.work.start()
    assert made.work.process(Frame()) is False
    assert caplog.records == []
    assert made.session.told == []
