"""``stream.ui``: the page, with the methods of Gradio's ``Blocks`` that programs call on it."""

from __future__ import annotations

import threading
import warnings
import webbrowser
from typing import TYPE_CHECKING, Any

from reframe import _address, _core, _launch
from reframe._address import Address

if TYPE_CHECKING:
    from reframe._stream import Stream

# What `Blocks.launch` of Gradio 5 and 6 takes beside what `launch` below does something with. It is
# about Gradio's own page or server, and does nothing here.
_IGNORED = frozenset(
    "inline debug max_threads auth_message show_error height width favicon_path ssl_verify quiet "
    "show_api footer_links run_history allowed_paths blocked_paths app_kwargs "
    "state_session_capacity share_server_address share_server_protocol "
    "share_server_tls_certificate max_file_size enable_monitoring strict_cors node_server_name "
    "node_port ssr_mode pwa num_workers _app _frontend "
    "i18n theme css css_paths js head head_paths".split()
)

_AUTH = (
    "launch({}=…): there is no sign-in of Gradio's here. The option --auth says who may use the "
    "page: `REFRAME_AUTH=link python app.py` (or `reframe launch app.py --auth link`) prints an "
    "address with a secret in it; token, http and proxy are for accounts of your own, see "
    "docs/config.md"
)


class UI:
    """The page of a stream, made from its declaration."""

    _stream: Stream
    _warned: set[str]
    _server: tuple[_core.Stop, threading.Thread] | None

    def __init__(self, stream: Stream) -> None:
        # Not by assignment, which is what programs do with Gradio's attributes.
        self.__dict__.update(_stream=stream, _warned=set(), _server=None)

    def launch(
        self,
        server_name: str | None = None,
        server_port: int | None = None,
        *,
        prevent_thread_lock: bool = False,
        processes: int = 1,
        inbrowser: bool = False,
        share: bool | None = None,
        auth: Any = None,
        auth_dependency: Any = None,
        ssl_keyfile: str | None = None,
        ssl_certfile: str | None = None,
        ssl_keyfile_password: str | None = None,
        root_path: str | None = None,
        mcp_server: bool | None = None,
        **gradio: Any,
    ) -> tuple[None, str, None]:
        """Serves the page and the stream until Ctrl-C or SIGTERM.

        The page is at ``http://127.0.0.1:7860``, or the next port that is free. With
        ``server_name="0.0.0.0"`` other machines reach it, by an address with a secret that is
        printed; their browsers give the camera to https only: ``ssl_certfile`` and ``ssl_keyfile``.
        ``prevent_thread_lock=True`` returns when the page can be opened; the next ``launch`` or
        ``close`` ends that server. ``processes`` is for functions that keep a processor busy: so
        many processes run the program.

        Returns ``(None, address of the page, None)`` like Gradio. Ends the program with exit code
        64 if an option is wrong, and 1 if the server fails.

        Raises NotImplementedError for ``auth``; TypeError for what ``launch`` never had.
        """
        for name, value in (("auth", auth), ("auth_dependency", auth_dependency)):
            if value:
                raise NotImplementedError(_AUTH.format(name))
        if ssl_keyfile_password:
            raise NotImplementedError(
                "launch(ssl_keyfile_password=…): give a key that is not encrypted, which only this "
                "user may read: openssl pkey -in key.pem -out plain.pem"
            )
        unknown = gradio.keys() - _IGNORED
        if unknown:
            raise TypeError(f"launch() got an unexpected keyword argument {min(unknown)!r}")
        for name, value, instead in (
            (
                "share",
                share,
                "there is no public link; deploy the program, or server_name='0.0.0.0'",
            ),
            ("root_path", root_path, "the proxy must serve the page at the path /"),
            ("mcp_server", mcp_server, "there is none"),
        ):
            if value:
                self._warn(name, f"launch({name}=…) is ignored: {instead}")

        commanded = _launch.commanded()
        if commanded is not None:
            code = _launch.run([self._stream], commanded)
            # A program that does not want to wait here waits somewhere else, and perhaps for ever.
            if code or prevent_thread_lock:
                raise SystemExit(code)
            return None, "", None

        # A notebook's cell that is run again: the server of before would never be closed.
        self.close()
        scheme = "https" if ssl_certfile else "http"
        address = _address.given(server_name, server_port)
        argv = ["launch", "--http", address.option()]
        for option, file in (("--tls-cert", ssl_certfile), ("--tls-key", ssl_keyfile)):
            argv += [option, str(file)] if file else []
        argv += ["--processes", str(processes)] if processes != 1 else []
        return self._run(_launch.completed(argv), address, scheme, prevent_thread_lock, inbrowser)

    def queue(self, *args: Any, **kwargs: Any) -> UI:
        """Nothing: there is no queue to set. Returns itself, for ``ui.queue().launch()``."""
        return self

    def block_thread(self) -> None:
        """Waits for the server of ``launch(prevent_thread_lock=True)`` to end."""
        _launch.wait_for_threads()

    def close(self, verbose: bool = True) -> None:
        """Ends the server of ``launch(prevent_thread_lock=True)``, and waits for its end."""
        if self._server is not None:
            stop, thread = self._server
            stop.set()
            thread.join()
            self.__dict__["_server"] = None

    def _run(
        self, argv: list[str], address: Address, scheme: str, thread: bool, browser: bool
    ) -> tuple[None, str, None]:
        url = address.url(scheme)
        if browser:
            _launch.when_reached(address, lambda: webbrowser.open(url))
        if thread:
            stop = _core.Stop()
            server = _launch.run_on_thread([self._stream], argv, address, stop)
            self.__dict__["_server"] = (stop, server)
            return None, url, None
        code = _launch.run([self._stream], argv)
        if code:
            raise SystemExit(code)
        return None, url, None

    def _warn(self, name: str, message: str) -> None:
        if name not in self._warned:
            self._warned.add(name)
            warnings.warn(message, stacklevel=3)

    def __setattr__(self, name: str, value: Any) -> None:
        self._warn(name, f"stream.ui.{name} is ignored: the page is not Gradio's; its title and "
                   "subtitle are ui_args={'title': …, 'subtitle': …}")  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"stream.ui has no {name!r}: it is the page of the stream, not Gradio's Blocks. It has "
            "launch() and queue(). To build a page of your own, serve the program with `reframe "
            "serve` and use the gateway's HTTP interface (docs/http-api.md)"
        )
