"""LivePage: the page of a grid that runs, served on the loopback address to who knows its token."""

from __future__ import annotations

import functools
import json
import secrets
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jax
import numpy as np

from anmjax.agents.replay import Series
from anmjax.grid.network import Network
from anmjax.render.web_page import CONTENT_POLICY, SCRIPTS, described, document, rounded

LOOPBACK = "127.0.0.1"
MOST_MOMENTS = 4000  # of an episode that are kept, the newest
DIGITS = 9  # of a number on the wire
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address has the token in it
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": f"{CONTENT_POLICY}; connect-src 'self'; frame-ancestors 'self'",
}


class LivePage:
    """A page that follows one grid, from the standard library alone.

    It listens on 127.0.0.1, on a port that is free, in a thread that ends with the process. Whoever asks must
    name the token of ``address``, a new one for each page; requests for another host or from another origin
    are refused. Moments are kept from the last ``begin`` on, so that a browser may come late or load anew.
    """

    def __init__(self, network: Network, delta_t: float, *, title: str = "") -> None:
        """Serves the page of a grid.

        Args:
          network: the grid.
          delta_t: h, length of a step.
          title: of the page.
        """
        self._network = jax.tree.map(np.asarray, network)
        self._still = {"title": title, "delta_t": delta_t, "network": described(self._network)}
        self._token, self._lock = secrets.token_urlsafe(24), threading.Lock()
        self._moments: list[Series] = []
        self._episode, self._dropped, self._name = 0, 0, ""
        self._start_hour: float | None = None
        self._server = _Server((LOOPBACK, 0), functools.partial(_Handler, self))
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where the page is; whoever has it may look."""
        return f"http://{LOOPBACK}:{self.port}/{self._token}/"

    def begin(self, *moments: Series, start_hour: float | None = None, name: str = "now") -> None:
        """A new episode in the place of the last one.

        Args:
          *moments: its start, see ``moment_of``, and what has come after it so far.
          start_hour: h after midnight; None: the task has no clock.
          name: of who acts, shown above the grid.
        """
        with self._lock:
            self._episode += 1
            self._dropped = max(0, len(moments) - MOST_MOMENTS)
            self._moments = list(moments[self._dropped :])
            self._start_hour, self._name = start_hour, name

    def add(self, moment: Series) -> None:
        """The moment after a step."""
        with self._lock:
            self._moments.append(moment)
            if len(self._moments) > MOST_MOMENTS:
                del self._moments[0]
                self._dropped += 1

    def close(self) -> None:
        """Ends the thread and frees the port; a second time is once too many and does nothing."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def knows(self, token: str) -> bool:
        """Whether this is the token, without telling by time how much of it is right."""
        return secrets.compare_digest(token.encode(), self._token.encode())

    def page(self) -> str:
        """The page, with all that has been since the episode began."""
        news = self.frames(-1, 0)
        series = news.pop("series")
        policy = {"name": news["name"], "series": series}
        data = {**self._still, **news, "policies": [policy]}
        return document(
            data,
            title=str(self._still["title"] or "Live"),
            scripts=(*SCRIPTS, "live.js"),
            content_policy=f"{CONTENT_POLICY}; connect-src 'self'",
        )

    def frames(self, episode: int, since: int) -> dict[str, Any]:
        """What has been after the first ``since`` moments of an episode; all that is kept if that is over.

        Returns:
          ``episode``, ``name`` and ``start_hour`` of it, ``lead``, the number in its episode of the first
          moment that follows, ``steps``, how many follow, and by name the columns of ``series``.
        """
        with self._lock:
            lead = max(self._dropped, since if episode == self._episode else 0)
            moments = self._moments[lead - self._dropped :]
            news = {"episode": self._episode, "name": self._name, "start_hour": self._start_hour}
            news["lead"] = lead
        series = {}
        for name in Series._fields if moments else ():
            values = np.stack([np.asarray(getattr(moment, name), float) for moment in moments])
            series[name] = rounded(values.reshape(len(moments), -1).T, DIGITS)
        return {**news, "steps": len(moments), "series": series}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves before its answer has come is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers who names the token, host and origin of the page, and nobody else."""

    def __init__(self, page: LivePage, *arguments: Any) -> None:
        self._page = page
        super().__init__(*arguments)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        token, _, rest = parts.path.lstrip("/").partition("/")
        host = f"{LOOPBACK}:{self._page.port}"
        origin = self.headers.get("Origin", f"http://{host}")
        if self.headers.get("Host") != host or origin != f"http://{host}" or not self._page.knows(token):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", "The address of this page has a token in it.\n")
        elif rest == "":
            self._answer(HTTPStatus.OK, "text/html", self._page.page())
        elif rest == "frames":
            asked = parse_qs(parts.query)
            numbers = [asked.get(name, [""])[0] for name in ("episode", "since")]
            if not all(number.isdecimal() and len(number) < 12 for number in numbers):
                self._answer(HTTPStatus.BAD_REQUEST, "text/plain", "episode and since are numbers.\n")
                return
            news = self._page.frames(*map(int, numbers))
            self._answer(HTTPStatus.OK, "application/json", json.dumps(news, allow_nan=False))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "There is nothing here.\n")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the terminal is the program's."""

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
