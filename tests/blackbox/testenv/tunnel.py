"""TLS for clients that have none: a listener without it, and behind it a connection with it."""
import socket
import threading

from .peer import connect


def _pass_on(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other direction has ended both


class Tunnel:
    """One connection, from `self.port` to the listener with TLS on `port`."""

    def __init__(self, port, ca):
        self.inside, self.ca = port, ca
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        try:
            outer, _ = self.listener.accept()
        except OSError:
            return  # closed: nobody came
        inner = connect(self.inside, ca=self.ca)
        back = threading.Thread(target=_pass_on, args=(inner, outer), daemon=True)
        back.start()
        _pass_on(outer, inner)
        back.join()
        inner.close()
        outer.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.thread.join(60)
        assert not self.thread.is_alive(), "the tunnel still has a connection"
