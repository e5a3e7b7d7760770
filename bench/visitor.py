"""A browser without a screen: it opens a page over Streamlit's websocket, lets it run, presses buttons."""

from __future__ import annotations

import time
import urllib.request
from dataclasses import dataclass, field
from http.cookies import SimpleCookie

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

XSRF = "_streamlit_xsrf"
PATIENCE = 60.0


@dataclass
class Seen:
    """What a run of a page brought: its elements by type, its URL, how it ended and the seconds it took."""

    elements: list = field(default_factory=list)
    ended: int | None = None
    seconds: float = 0.0
    query: str = ""
    size: int = 0  # bytes
    fragments: list[str] = field(default_factory=list)  # parts that ask to be drawn again by themselves

    def of(self, kind: str) -> list:
        return [getattr(element, kind) for element in self.elements if element.WhichOneof("type") == kind]


class Visitor:
    """One window on the app at ``url``; ``cookies`` are sent along, as those of a login."""

    def __init__(self, url: str, cookies: dict[str, str] | None = None, page: str = ""):
        self.url, self.page, self.query, self.hash = url.rstrip("/"), page, "", ""
        self.cookies = dict(cookies or {})
        with urllib.request.urlopen(self._request("/_stcore/health"), timeout=PATIENCE) as answer:
            for line in answer.headers.get_all("set-cookie") or ():
                self.cookies |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
        self._open = connect(
            self.url.replace("http", "ws", 1) + "/_stcore/stream", origin=self.url, proxy=None, max_size=None,
            additional_headers={"Cookie": self._cookie}, subprotocols=["streamlit", self.cookies.get(XSRF, "")],
            open_timeout=PATIENCE)
        self._line = self._open.__enter__()

    @property
    def _cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def _request(self, path: str) -> urllib.request.Request:
        return urllib.request.Request(self.url + path, headers={"Cookie": self._cookie} if self.cookies else {})

    def run(self, query: str | None = None, pressed: str | None = None, fragment: str = "") -> Seen:
        """Run the page as a browser does when it arrives, when the button with the id ``pressed`` was pressed, or when it is
        time to draw a ``fragment`` again."""
        wish, self.query = BackMsg(), self.query if query is None else query
        state = wish.rerun_script
        state.query_string, state.page_script_hash = self.query, self.hash
        if not self.hash:
            state.page_name = self.page
        state.fragment_id = fragment
        if pressed:
            widget = state.widget_states.widgets.add()
            widget.id, widget.trigger_value = pressed, True
        started = time.perf_counter()
        self._line.send(wish.SerializeToString())
        return self._until_it_ends(started)

    def _until_it_ends(self, started: float) -> Seen:
        seen = Seen(query=self.query)
        while True:
            data = self._line.recv(timeout=PATIENCE)
            message, seen.size = ForwardMsg.FromString(data), seen.size + len(data)
            kind = message.WhichOneof("type")
            if kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                seen.elements.append(message.delta.new_element)
            elif kind == "new_session":
                seen.elements.clear()  # a page that starts anew, as after a press, draws everything again
            elif kind == "navigation":
                self.hash = message.navigation.page_script_hash
            elif kind == "auto_rerun":
                seen.fragments.append(message.auto_rerun.fragment_id)
            elif kind == "page_info_changed":
                self.query = seen.query = message.page_info_changed.query_string
            elif kind == "script_finished" and message.script_finished in (
                    ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR,
                    ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY):
                seen.ended, seen.seconds = message.script_finished, time.perf_counter() - started
                return seen

    def close(self) -> None:
        self._open.__exit__(None, None, None)

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_) -> None:
        self.close()
