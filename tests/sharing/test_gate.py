"""What passes the gate before Streamlit sees it."""

import json
from urllib.parse import quote

import pytest
from provider import SECRET
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from landscape.sharing import Quotas, Sharing
from landscape.ui import gate

SHARED = Sharing("0.0.0.0", ("lab.example.org",), ("@example.org",))
QUOTAS = Quotas(runs=4, bytes=10**9, uploads=1000, windows=2)
PAGE = {"accept": "text/html"}


def app(sharing=None, quotas=None, client="127.0.0.1", host="localhost", **options) -> TestClient:
    async def answer(request):
        return PlainTextResponse("in")

    async def talk(socket):
        await socket.accept()
        await socket.receive_text()

    every = Route("/{path:path}", answer, methods=["GET", "PUT", "POST"])
    inner = Starlette(routes=[every, WebSocketRoute("/stream", talk)])
    return TestClient(gate.Gate(inner, sharing, quotas, **options), base_url=f"http://{host}", client=(client, 1),
                      follow_redirects=False)


def cookie(secret=SECRET, origin="https://lab.example.org", **claims) -> dict[str, str]:
    known = {"is_logged_in": True, "origin": origin, "iss": "i", "sub": "1", "email": "ann@example.org"}
    signed = create_signed_value(secret, "_streamlit_user", json.dumps(known | claims))
    return {"_streamlit_user": signed.decode()}


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setattr(gate, "get_cookie_secret", lambda: SECRET)
    monkeypatch.setattr(gate, "encode_provider_token", lambda name: f"token-{name}")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "localhost:8501", "LOCALHOST"])
def test_alone_it_answers_to_its_own_names(host):
    assert app(host="localhost").get("/", headers={"host": host}).text == "in"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:8501",
                                  "localhost@evil.example", "localhost:port", "localhost/x", ""])
def test_no_other_name_reaches_it(host):
    """A name of another site that leads here (DNS rebinding) is not answered."""
    assert app().get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("client", ["192.168.1.7", "8.8.8.8", "", "testclient"])
def test_alone_no_other_machine_reaches_it(client):
    assert app(client=client).get("/").status_code == 403


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_requests_of_other_sites_change_nothing(method):
    assert app().request(method, "/x", headers={"origin": "http://evil.example"}).status_code == 403
    assert app().request(method, "/x", headers={"origin": "null"}).status_code == 403
    assert app().request(method, "/x", headers={"origin": "http://localhost"}).text == "in"


def test_other_sites_open_no_websocket():
    address = "ws://localhost/stream"
    with app().websocket_connect(address, headers={"origin": "http://localhost"}) as line:
        line.send_text("hello")
    with pytest.raises(WebSocketDisconnect), app().websocket_connect(address, headers={"origin": "http://evil.example"}):
        pass


def shared(**options) -> TestClient:
    return app(SHARED, QUOTAS, "8.8.8.8", "lab.example.org", **options)


def test_opened_everything_but_the_login_needs_a_login():
    for path in ("/", "/valleys?run=1", "/_stcore/metrics", "/assets/plotly-7.min.js", "/_stcore/agent", "/_stcore/healthy"):
        assert shared().get(path).status_code == 401, path
    for path in gate.FREE:
        assert shared().get(path).text == "in", path
    assert shared().get("/", headers={"host": "localhost"}).status_code == 421
    page = shared().get("/valleys", headers=PAGE)
    assert (page.status_code, page.headers["location"]) == (302, "/auth/login?provider=token-default")
    with pytest.raises(WebSocketDisconnect), shared().websocket_connect("ws://lab.example.org/stream"):
        pass


def test_after_the_login_comes_the_page_that_was_asked_for():
    client = shared()
    assert client.get("/valleys?run=ab%20c&open=optima:1,2", headers=PAGE).status_code == 302
    client.cookies.update(cookie())
    assert client.get("/", headers=PAGE).headers["location"] == "/valleys?run=ab%20c&open=optima:1,2"
    assert client.get("/", headers=PAGE).text == "in"


@pytest.mark.parametrize("wanted", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\r\nset-cookie: x"])
def test_the_way_back_leads_to_no_other_site(wanted):
    client = shared()
    client.cookies.update(cookie() | {gate.WANTED: quote(wanted, safe="")})
    assert client.get("/", headers=PAGE).headers["location"] == "/"


@pytest.mark.parametrize(("given", "status"), [
    ({}, 200),
    ({"email": "bob@elsewhere.org"}, 403),
    ({"email_verified": False}, 403),
    ({"is_logged_in": False}, 401),
    ({"is_logged_in": "yes"}, 401),
    ({"sub": "", "email": ""}, 401),
    ({"secret": "another secret that was never in use...."}, 401),
    ({"origin": "https://evil.example"}, 401),
])
def test_the_cookie_of_the_login_is_judged(given, status):
    client = shared()
    client.cookies.update(cookie(**given))
    assert client.get("/").status_code == status


def test_broken_cookies_are_no_login():
    for value in ("", "x", "a.b.c", "é", "1" * 5000):
        assert shared().get("/", headers={"cookie": f"_streamlit_user={value}".encode()}).status_code == 401


def test_what_one_person_sends_within_an_hour_is_bounded():
    now = [0.0]
    client = shared(clock=lambda: now[0])
    client.cookies.update(cookie())

    def put(size: int) -> int:
        return client.put("/_stcore/upload_file/s/f", content=b"x" * size).status_code

    assert [put(600), put(600), put(400)] == [200, 429, 200]
    now[0] = 3700.0
    assert put(600) == 200
    assert client.put("/_stcore/upload_file/s/f", content=iter([b"x"])).status_code == 411
    client.cookies.clear()
    client.cookies.update(cookie(sub="2"))
    assert put(1000) == 200


def test_one_person_opens_so_many_windows():
    client = shared()
    client.cookies.update(cookie())
    address = "ws://lab.example.org/stream"
    with client.websocket_connect(address) as one, client.websocket_connect(address) as two:
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(address):
            pass
        one.send_text("bye")
        two.send_text("bye")
    with client.websocket_connect(address) as again:
        again.send_text("bye")


def test_no_other_site_shows_it_in_a_frame():
    for answer in (app().get("/"), app().get("/", headers={"host": "evil.example"})):
        assert answer.headers["content-security-policy"] == "frame-ancestors 'self'"
        assert answer.headers["x-content-type-options"] == "nosniff"
