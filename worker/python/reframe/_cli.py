"""``reframe launch FILE``, ``serve`` and ``check``: the same program, run in another way."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import reframe
from reframe import _core, _launch, _processes, _reload
from reframe._stream import Stream

HELP = """\
usage: reframe launch FILE [options] [-- arguments of FILE]
       reframe serve FILE [options] [-- arguments of FILE]
       reframe check FILE [options] [-- arguments of FILE]

launch  serves the program's stream and its page: http://127.0.0.1:7860
serve   makes the program a worker for gateways elsewhere
check   prints what its streams declare and runs them on generated frames; ends with 1 if one fails

FILE is a program with a Stream, or module:name of one. A program that calls stream.ui.launch() does
with it what the command says; of one that does not, all streams are run.

reframe COMMAND --help lists the options; beside those of launch and serve there are

  --processes N  run the program in N processes [1 to 256]
  --reload       start again when a Python file in the folder of FILE changes
"""


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    arguments, _, of_file = _parted(given, "--")
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0 if arguments else _processes.USAGE
    command, *rest = arguments
    if command in ("-V", "--version"):
        print(f"reframe {reframe.__version__}")
        return 0
    if command not in ("launch", "serve", "check"):
        return _wrong(f"{command!r} is no command: reframe launch FILE, serve FILE or check FILE")
    if {"-h", "--help"} & set(rest):
        return _core.run([], [command, "--help"])
    if not rest or rest[0].startswith("-"):
        return _wrong(f"the file comes first: reframe {command} FILE [options]")

    file, *options = rest
    if "--reload" in options:
        options.remove("--reload")
        again = [command, file, *options, *(["--", *of_file] if of_file else [])]
        return _reload.run(_reload.command(again), _folder(file))
    parent = os.environ.pop(_reload.PARENT, None)
    if parent is not None:
        _core.end_with_parent(int(parent))
    _processes.command([command, *options])
    sys.argv = [file, *of_file]
    try:
        load = _loader(file)
    except ValueError as problem:
        return _wrong(str(problem))
    return _run(load, file)


def _run(load: Callable[[], Iterable[Any]], file: str) -> int:
    streams = {id(each): each for each in load() if isinstance(each, Stream)}
    if _launch.has_started():
        # It called ui.launch() or run(), which has returned.
        _launch.wait_for_threads()
        return _launch.code()
    if not streams:
        return _wrong(
            f"{file} has no stream: it needs `stream = Stream(…)` at its top level, or calls "
            "stream.ui.launch()"
        )
    return reframe.run(*streams.values())


def _loader(file: str) -> Callable[[], Iterable[Any]]:
    """What runs the program, and returns what is at its top level.

    Raises ValueError when there is no such program.
    """
    path = Path(file)
    if not path.is_file() and ":" in file:
        return lambda: [_attribute(*file.split(":", 1))]
    if path.is_dir():
        path /= "__main__.py"
    if not path.is_file():
        other = path.with_name(path.name + ".py")
        hint = f": did you mean {other}?" if other.is_file() else ""
        raise ValueError(f"there is no file {file!r}{hint}")
    folder = path.resolve().parent
    for shadow in (folder / "reframe.py", folder / "reframe" / "__init__.py"):
        if shadow.exists() and not shadow.samefile(reframe.__file__):
            raise ValueError(
                f"{shadow} has the name of this package, so that `from reframe import Stream` "
                "finds it instead: give it another name"
            )
    _import_from(str(folder))
    return lambda: _executed(path)


def _folder(file: str) -> Path:
    """Where the program's files are."""
    path = Path(file)
    if not path.exists():
        return Path()
    return path if path.is_dir() else path.resolve().parent


def _executed(path: Path) -> Iterable[Any]:
    """Runs a file as `python FILE` does. Its module stays, unlike that of `runpy.run_path`: its
    functions are called later, and what they pickle is looked up there."""
    module = ModuleType("__main__")
    module.__file__ = str(path)
    sys.modules["__main__"] = module
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    return list(vars(module).values())


def _attribute(module: str, name: str) -> Any:
    _import_from(os.getcwd())
    value: Any = importlib.import_module(module)
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _import_from(folder: str) -> None:
    """As `python FILE` does: its own folder comes first, in place of that of the command."""
    if sys.flags.safe_path:
        sys.path.insert(0, folder)
    else:
        sys.path[0] = folder


def _parted(arguments: list[str], at: str) -> tuple[list[str], str, list[str]]:
    if at not in arguments:
        return arguments, "", []
    index = arguments.index(at)
    return arguments[:index], at, arguments[index + 1 :]


def _wrong(problem: str) -> int:
    print(f"error: {problem}", file=sys.stderr)
    return _processes.USAGE
