"""The command `reframe`: it runs a program's file, and what the program runs is what it says."""

from __future__ import annotations

import os
import pickle
import sys

import pytest

from reframe import _cli, _core, _launch


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Runs the command in a folder of its own: its exit code, what it printed, and what was run."""
    calls: list[tuple[int, list[str]]] = []
    for name in list(os.environ):
        if name.startswith("REFRAME_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_core, "Stream", lambda *_: object())
    monkeypatch.setattr(
        _core, "run", lambda streams, argv, *_: calls.append((len(streams), argv)) or 0
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(_launch._started, "is_set", lambda: bool(calls))

    def run(*arguments, **files):
        calls.clear()
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        code = _cli.main(list(arguments))
        monkeypatch.delenv("REFRAME_COMMAND", raising=False)
        printed = capsys.readouterr()
        return code, printed.out + printed.err, list(calls)

    return run


STREAM = "from reframe import Stream\nstream = Stream(lambda image: image)\n"
OPTIONS = ["--http", "127.0.0.1:1", "--admin", "127.0.0.1:0"]


def test_a_program_that_launches_does_what_the_command_says(command):
    launches = STREAM + "if __name__ == '__main__':\n    stream.ui.launch(server_port=8000)\n"
    assert command("launch", "app.py", *OPTIONS, app=launches)[2] == [(1, ["launch", *OPTIONS])]
    assert command("serve", "app.py")[2] == [(1, ["serve"])]


def test_all_streams_of_one_that_does_not(command):
    two = STREAM + "other = Stream(lambda image: image, name='other')\nagain = other\n"
    assert command("serve", "app.py", "--stream", "other", app=two) == (
        0,
        "",
        [(2, ["serve", "--stream", "other"])],
    )


def test_a_name_in_a_module(command):
    code = "from reframe import Stream\nclass streams:\n    one = Stream(lambda image: image)\n"
    assert command("serve", "things:streams.one", things=code)[2] == [(1, ["serve"])]


def test_a_program_finds_its_neighbours_and_its_arguments(command, tmp_path):
    app = f"import sys, neighbour\n{STREAM}print(sys.argv, __file__)\n"
    code, printed, _ = command(
        *["serve", "app.py", "--capacity", "2", "--", "--model", "x"], app=app, neighbour="x = 1\n"
    )
    assert (code, printed) == (0, "['app.py', '--model', 'x'] app.py\n")


def test_a_program_is_the_main_module_for_good(command):
    app = f"class Thing:\n    pass\n{STREAM}"
    assert command("serve", "app.py", app=app)[0] == 0
    main = sys.modules["__main__"]
    assert main.__file__ == "app.py"
    assert type(pickle.loads(pickle.dumps(main.Thing()))) is main.Thing


def test_what_a_program_raises_is_its_own(command):
    with pytest.raises(ZeroDivisionError):
        command("launch", "app.py", app="1 / 0\n")
    with pytest.raises(SystemExit) as error:
        command("launch", "app.py", app="raise SystemExit(3)\n")
    assert error.value.code == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["launch", "absent.py"], "there is no file 'absent.py'"),
        (["launch", "app"], "there is no file 'app': did you mean app.py?"),
        (["launch", "."], "there is no file '.'"),
        (["launch", "empty.py"], "empty.py has no stream: it needs `stream = Stream(…)`"),
        (["launch"], "the file comes first: reframe launch FILE [options]"),
        (["serve", "--capacity", "3", "app.py"], "the file comes first"),
        (["app.py"], "'app.py' is no command: reframe launch FILE"),
        (["serve", "module:attribute:x"], ""),
        (["serve", "app:number"], "app:number has no stream"),
    ],
)
def test_a_wrong_command_line(command, arguments, says):
    files = {"app": STREAM + "number = 3\n", "empty": "x = 1\n"}
    if not says:
        with pytest.raises(ModuleNotFoundError):
            command(*arguments, **files)
        return
    code, printed, calls = command(*arguments, **files)
    assert (code, calls) == (64, [])
    assert printed.startswith("error: ")
    assert says in printed


def test_a_file_of_this_packages_name(command):
    for file in ("app.py", "reframe.py"):
        code, printed, calls = command("launch", file, app=STREAM, reframe=STREAM)
        assert (code, calls) == (64, [])
        assert "reframe.py has the name of this package" in printed


def test_reload_runs_the_rest_of_the_command(command, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr("reframe._reload.run", lambda *given: calls.append(given) or 3)
    given = ["serve", "app.py", "--capacity", "2", "--reload", "--", "-x"]
    assert command(*given, app=STREAM)[0] == 3
    [(arguments, folder)] = calls
    assert arguments[1:4] == ["-P", "-m", "reframe"]
    assert arguments[4:] == ["serve", "app.py", "--capacity", "2", "--", "-x"]
    assert folder == tmp_path


def test_help(command):
    assert command("--help")[:2] == (0, _cli.HELP)
    assert command()[:2] == (64, _cli.HELP)
    assert command("launch", "--help")[2] == [(0, ["launch", "--help"])]
    assert command("serve", "app.py", "-h", app=STREAM)[2] == [(0, ["serve", "--help"])]
    assert command("--version")[1].startswith("reframe ")


def test_a_folder_with_a_main_file(command, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__main__.py").write_text(STREAM)
    assert command("serve", "folder")[2] == [(1, ["serve"])]
