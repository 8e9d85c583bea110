"""A site that lies: it stands between a client and a real site's socket, and changes what that answers."""
import http.client
import http.server
import socket
import socketserver
import threading


class _Upstream(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass

    def answer(self):
        liar = self.server.liar
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        upstream = _Upstream(liar.truth)
        upstream.request(self.command, self.path, body=body, headers={"Content-Type": "application/json"})
        response = upstream.getresponse()
        truth = response.read()
        upstream.close()
        liar.asked.append((self.command, self.path))
        self.close_connection = True
        with_lie = liar.lie(self.command, self.path, truth)
        if isinstance(with_lie, _Raw):
            for piece in with_lie.pieces:
                self.wfile.write(piece)
            return
        self.send_response(response.status)
        self.send_header("Content-Length", str(len(with_lie)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(with_lie)

    do_GET = do_POST = do_DELETE = answer


class _Raw:
    def __init__(self, pieces):
        self.pieces = pieces


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    liar = None

    def handle_error(self, *_):
        """A client that has heard enough."""


class Liar:
    """`lie` gets method, path and true body, and gives the body to send, or raw() to send other things."""

    raw = _Raw

    def __init__(self, truth, path):
        self.truth, self.path, self.asked = truth, path, []
        self.lie = lambda method, path, body: body
        self.server = _Server(str(path), _Handler)
        self.server.liar = self
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
