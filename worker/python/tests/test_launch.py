"""`stream.ui.launch()` and `run()`: the command line that the compiled half is given."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
import warnings
from pathlib import Path

import pytest

import reframe
from reframe import Stream, _address, _core, _ice, _launch, _processes


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Without this machine's ports and variables."""
    for name in list(os.environ):
        if name.startswith(("REFRAME_", "GRADIO_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(_address, "is_free", lambda ip, port: True)


@pytest.fixture
def launched(monkeypatch):
    """A stream, and the command lines that it is run with."""
    calls, processes = [], []
    monkeypatch.setattr(_core, "Stream", lambda *_: "core")
    monkeypatch.setattr(_core, "run", lambda streams, argv, stop: calls.append(argv) or 0)

    def several(argv, count, *stop):
        calls.append(argv)
        processes.append(count)
        return 0

    monkeypatch.setattr(_processes, "launch", several)
    monkeypatch.setattr(_processes, "serve", several)

    def make(**options):
        return Stream(lambda image: image, **options)

    make.calls, make.processes = calls, processes
    return make


def test_the_port_is_gradios(launched):
    assert launched().ui.launch() == (None, "http://127.0.0.1:7860/", None)
    assert launched.calls == [["launch", "--http", "127.0.0.1:7860"]]


def test_the_next_free_port_is_taken(launched, monkeypatch):
    monkeypatch.setattr(_address, "is_free", lambda ip, port: port in (7862, 7863))
    assert launched().ui.queue().launch()[1] == "http://127.0.0.1:7862/"
    assert launched.calls[0][3:] == ["--admin", "127.0.0.1:0"]


@pytest.mark.parametrize(
    ("name", "port", "option", "url"),
    [
        (None, 8000, "127.0.0.1:8000", "http://127.0.0.1:8000/"),
        ("0.0.0.0", None, "0.0.0.0:7860", "http://127.0.0.1:7860/"),
        ("localhost", 8000, "127.0.0.1:8000", "http://127.0.0.1:8000/"),
        ("::", 8000, "[::]:8000", "http://[::1]:8000/"),
        ("[::1]", 8000, "[::1]:8000", "http://[::1]:8000/"),
    ],
)
def test_addresses(launched, name, port, option, url):
    assert launched().ui.launch(name, port)[1] == url
    assert launched.calls[0][:3] == ["launch", "--http", option]


def test_a_name_that_is_no_address(launched):
    with pytest.raises(ValueError, match=r"server_name='nobody\.invalid' is no address"):
        launched().ui.launch("nobody.invalid")


def test_variables_say_it_for_programs_that_do_not(launched, monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "8001")
    launched().ui.launch()
    monkeypatch.setenv("REFRAME_HTTP", "127.0.0.1:9000")
    launched().ui.launch()
    launched().ui.launch(server_port=9001)
    addresses = [call[2] for call in launched.calls]
    assert addresses == ["0.0.0.0:8001", "127.0.0.1:9000", "0.0.0.0:9001"]


def test_ports_that_are_free(monkeypatch):
    monkeypatch.undo()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not _address.is_free("127.0.0.1", port)
    assert _address.is_free("127.0.0.1", port)
    assert _address.address(None, 0).port > 0


def test_certificates_and_processes(launched):
    ui = launched().ui
    files = {"ssl_certfile": "cert.pem", "ssl_keyfile": "key.pem"}
    assert ui.launch(processes=4, **files)[1] == "https://127.0.0.1:7860/"
    assert launched.calls[0][3:] == ["--tls-cert", "cert.pem", "--tls-key", "key.pem"]
    assert launched.processes == [4]


def test_processes_are_the_command_lines_too(launched, monkeypatch, capsys):
    monkeypatch.setenv("REFRAME_COMMAND", json.dumps(["serve", "--processes", "3"]))
    launched().ui.launch(processes=2)
    assert (launched.calls, launched.processes) == ([["serve"]], [3])
    monkeypatch.setenv("REFRAME_COMMAND", json.dumps(["serve", "--processes=many"]))
    with pytest.raises(SystemExit) as error:
        launched().ui.launch()
    assert error.value.code == 64
    assert "--processes: `many` is not a number" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"auth": ("ada", "secret")}, "--auth"),
        ({"auth": [("ada", "secret")]}, "REFRAME_AUTH=link"),
        ({"auth_dependency": print}, "--auth"),
        ({"ssl_keyfile_password": "secret"}, "not encrypted"),
    ],
)
def test_nothing_about_security_is_ignored(launched, option, says):
    with pytest.raises(NotImplementedError, match=says):
        launched().ui.launch(**option)
    assert launched.calls == []


@pytest.mark.parametrize("option", [{"share": True}, {"root_path": "/x"}, {"mcp_server": True}])
def test_what_is_ignored_is_warned_of_once(launched, option):
    ui = launched().ui
    with pytest.warns(UserWarning, match="is ignored"):
        ui.launch(**option)
    ui.launch(**option)
    assert len(launched.calls) == 2


def test_gradios_other_options(launched):
    launched().ui.launch(
        inline=False, debug=True, show_error=True, quiet=True, max_threads=4, auth=None, share=False
    )
    with pytest.raises(TypeError, match="unexpected keyword argument 'prot'"):
        launched().ui.launch(prot=7860)


def test_attributes_are_ignored_with_a_warning(launched):
    ui = launched().ui
    with pytest.warns(UserWarning, match=r"stream\.ui\.css is ignored"):
        ui.css = "body {}"
    ui.css = "again"
    with pytest.raises(AttributeError, match="not Gradio's Blocks"):
        _ = ui.load
    ui.close()


def test_an_exit_code_ends_the_program(launched, monkeypatch):
    monkeypatch.setattr(_core, "run", lambda streams, argv, stop: 64)
    with pytest.raises(SystemExit) as error:
        launched().ui.launch()
    assert error.value.code == 64


def test_the_command_line_takes_the_place_of_the_programs(launched, monkeypatch):
    monkeypatch.setenv("REFRAME_COMMAND", json.dumps(["serve", "--listen", "0.0.0.0:50051"]))
    launched().ui.launch("0.0.0.0", 8000)
    monkeypatch.setenv("REFRAME_COMMAND", json.dumps(["launch", "--http=127.0.0.1:8001"]))
    launched().ui.launch()
    with pytest.raises(SystemExit) as error:
        launched().ui.launch(prevent_thread_lock=True)
    assert error.value.code == 0
    monkeypatch.setenv("REFRAME_COMMAND", json.dumps(["launch", "--capacity", "4"]))
    launched().ui.launch(server_port=8000)
    assert launched.calls == [
        ["serve", "--listen", "0.0.0.0:50051"],
        ["launch", "--http=127.0.0.1:8001"],
        ["launch", "--http=127.0.0.1:8001"],
        ["launch", "--capacity", "4", "--http", "127.0.0.1:7860"],
    ]


def test_run(launched, monkeypatch):
    monkeypatch.setattr("sys.argv", ["app.py", "serve", "--stream", "a"])
    streams = [launched(name="a"), launched(name="b")]
    assert reframe.run(*streams) == 0
    assert reframe.run(*streams, argv=[]) == 0
    assert reframe.run(*streams, argv=["launch", "--help"]) == 0
    assert launched.calls == [
        ["serve", "--stream", "a"],
        ["launch", "--http", "127.0.0.1:7860"],
        ["launch", "--help"],
    ]


def test_a_forked_process_says_why_it_cannot(launched):
    stream = launched()
    stream.ui.launch()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads.
        child = os.fork()
    if child == 0:
        try:
            stream.ui.launch()
        except RuntimeError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        assert said.read().startswith("this process was forked from one that runs a stream")
    assert os.waitpid(child, 0)[1] == 0
    assert len(launched.calls) == 1


class Server:
    """In place of the compiled half: listens until it is told to end."""

    def __init__(self, answers):
        self.answers, self.end = answers, threading.Event()

    def run(self, streams, argv, stop):
        ip, _, port = argv[2].rpartition(":")
        if not self.answers:
            return 64
        with socket.create_server((ip, int(port))):
            self.end.wait(20)
        return 0


def test_a_server_on_a_thread(launched, monkeypatch):
    server = Server(True)
    monkeypatch.setattr(_core, "run", server.run)
    port = _address._free("127.0.0.1", 0)
    ui = launched().ui
    assert ui.launch(server_port=port, prevent_thread_lock=True)[1] == f"http://127.0.0.1:{port}/"
    monkeypatch.setattr(_core.Stop, "set", lambda stop: server.end.set(), raising=False)
    ui.close()
    ui.close()
    ui.block_thread()
    assert not any(thread.is_alive() for thread in _launch._threads)


def test_a_server_that_does_not_start(launched, monkeypatch):
    monkeypatch.setattr(_core, "run", Server(False).run)
    with pytest.raises(RuntimeError, match="has ended with exit code 64: the reason is printed"):
        launched().ui.launch(server_port=_address._free("127.0.0.1", 0), prevent_thread_lock=True)


def test_a_browser_is_opened_when_the_page_answers(launched, monkeypatch):
    opened, server = threading.Event(), Server(True)
    monkeypatch.setattr(_core, "run", server.run)
    monkeypatch.setattr("webbrowser.open", lambda url: opened.set() or server.end.set())
    launched().ui.launch(server_port=_address._free("127.0.0.1", 0), inbrowser=True)
    assert opened.is_set()


TURN = {"urls": "turn:a:3478", "username": "u", "credential": "c", "credentialType": "password"}


def test_ice_servers_without_secrets_are_addresses(launched):
    stun = {"iceServers": [{"urls": ["stun:a:1", "stun:b:2"]}, {"url": "stun:c:3"}]}
    launched(rtc_configuration=stun).ui.launch()
    assert launched.calls[0][3:] == ["--ice-servers", "stun:a:1,stun:b:2,stun:c:3"]


def test_credentials_go_through_a_file_that_is_removed(launched, monkeypatch):
    seen = []

    def run(streams, argv, stop):
        file = Path(argv[-1])
        seen.append((json.loads(file.read_text()), stat.S_IMODE(file.stat().st_mode), file))
        raise OSError("cannot listen")

    monkeypatch.setattr(_core, "run", run)
    stream = launched(rtc_configuration={"iceServers": TURN})
    with pytest.raises(OSError, match="cannot listen"):
        stream.ui.launch()
    [(servers, mode, file)] = seen
    assert servers == [{"urls": "turn:a:3478", "username": "u", "credential": "c"}]
    assert mode == 0o600
    assert not file.exists()


async def _later():
    return {"iceServers": [{"urls": "stun:later"}]}


@pytest.mark.parametrize(
    ("function", "url"),
    [
        (lambda: {"iceServers": [{"urls": "stun:now"}]}, "stun:now"),
        (lambda token, sid, key=None: {"iceServers": [{"urls": "stun:args"}]}, "stun:args"),
        (_later, "stun:later"),
    ],
)
def test_functions_are_called_at_the_start(launched, function, url):
    with pytest.warns(UserWarning, match=r"once, at the start: .* --turn-secret-file FILE") as told:
        launched(rtc_configuration=function).ui.launch()
    assert len(told) == 1
    assert launched.calls[0][3:] == ["--ice-servers", url]


def test_the_command_line_and_workers_need_no_ice_servers_of_the_program(launched, monkeypatch):
    stream = launched(rtc_configuration=lambda: 1 / 0)
    for command in (["serve"], ["launch", "--http", "127.0.0.1:1", "--ice-servers", "stun:x"]):
        monkeypatch.setenv("REFRAME_COMMAND", json.dumps(command))
        stream.ui.launch()
        assert launched.calls[-1] == command


@pytest.mark.parametrize(
    ("configuration", "says"),
    [
        ([TURN], "is list, not a dict like"),
        ({"iceServers": ["stun:a"]}, "a server is a dict like"),
        ({"iceServers": [{"username": "u"}]}, "a server is a dict like"),
    ],
)
def test_a_wrong_configuration(configuration, says):
    with pytest.raises((TypeError, ValueError)) as error:
        _ice.servers(configuration)
    assert says in str(error.value)


def test_configurations_of_nothing():
    assert _ice.servers(None) == _ice.servers({}) == _ice.servers({"iceServers": []}) == []
    with pytest.warns(UserWarning, match="iceTransportPolicy"):
        _ice.servers({"iceTransportPolicy": "relay"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _ice.servers({"iceTransportPolicy": "all"})
