"""A small OpenID Connect provider on loopback: it lets in whoever ``person`` is, without asking."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

SECRET = "a cookie secret of forty characters......"


class Provider:
    """``url`` is where its metadata lies; ``person`` the claims of whoever logs in next."""

    def __init__(self):
        self.person = {"sub": "1", "email": "ann@example.org", "email_verified": True}
        self._key, self._nonces = RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256", "use": "sig"}), {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                parts = urlsplit(self.path)
                if parts.path == "/authorize":
                    self._let_in({name: values[0] for name, values in parse_qs(parts.query).items()})
                    return
                found = {"/metadata": provider._metadata, "/keys": lambda: {"keys": [provider._key.as_dict(private=False)]}}
                self._json(found[parts.path]())

            def do_POST(self):
                given = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                self._json(provider._tokens(given["code"][0]))

            def _let_in(self, asked):
                provider._nonces["code"] = asked.get("nonce")
                self.send_response(302)
                query = urlencode({"code": "code", "state": asked["state"]})
                self.send_header("Location", f"{asked['redirect_uri']}?{query}")
                self.end_headers()

            def _json(self, value):
                body = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://localhost:{self._server.server_address[1]}"
        self.url = f"{self.issuer}/metadata"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _metadata(self) -> dict:
        return {"issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
                "jwks_uri": f"{self.issuer}/keys", "token_endpoint": f"{self.issuer}/token",
                "response_types_supported": ["code"],
                "id_token_signing_alg_values_supported": ["RS256"]}

    def _tokens(self, code: str) -> dict:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "landscape", "iat": now, "exp": now + 300, "nonce": self._nonces[code]}
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, claims | self.person, self._key)
        return {"access_token": "token", "token_type": "Bearer", "expires_in": 300, "id_token": signed}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def write_secrets(folder, **changed) -> None:
    """``.streamlit/secrets.toml`` in ``folder``; a value of None leaves a line out."""
    auth = {"redirect_uri": "https://lab.example.org/oauth2callback", "cookie_secret": SECRET, "client_id": "landscape",
            "client_secret": "shared", "server_metadata_url": "https://login.example.org/metadata"} | changed
    path = folder / ".streamlit" / "secrets.toml"
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    path.write_text("[auth]\n" + "".join(f'{name} = "{value}"\n' for name, value in auth.items() if value is not None))
