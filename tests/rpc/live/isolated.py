"""
Runs a command in a network namespace of its own, with only loopback, and relays loopback ports of this machine to it.

usage: isolated.py PORT[,PORT...] COMMAND...

Writes one line to standard output, the ports on this machine's 127.0.0.1 in the order of the ports inside; then relays
until standard input ends, and kills the command. For a node that cannot be told to listen on loopback alone.
Exit code 77: this system gives no namespace (no root, no user namespaces).
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
import subprocess
import sys
import threading

CLONE_NEWUSER, CLONE_NEWNET = 0x1000_0000, 0x4000_0000
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
NO_NAMESPACE = 77


def enter_namespace() -> bool:
    """A new network namespace, where needed in a new user namespace, with the loopback interface up."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(CLONE_NEWNET) and library.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    return True


def relay(listener: socket.socket, port: int) -> None:
    """Joins every connection that the listener takes, outside, to a connection to the port inside."""
    while True:
        outer, _ = listener.accept()
        try:
            inner = socket.create_connection(("127.0.0.1", port), timeout=10)
        except OSError:
            outer.close()
            continue
        inner.settimeout(None)
        for source, sink in ((outer, inner), (inner, outer)):
            threading.Thread(target=pump, args=(source, sink), daemon=True).start()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while received := source.recv(1 << 16):
            sink.sendall(received)
    except OSError:
        pass
    finally:
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def main(ports: list[int], command: list[str]) -> int:
    # A socket stays in the namespace in which it was made: these listen outside, whatever comes after.
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in ports]
    if not enter_namespace():
        return NO_NAMESPACE
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    for listener, port in zip(listeners, ports, strict=True):
        threading.Thread(target=relay, args=(listener, port), daemon=True).start()
    print(*(listener.getsockname()[1] for listener in listeners), flush=True)
    sys.stdin.buffer.read()
    child.kill()
    child.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main([int(port) for port in sys.argv[1].split(",")], sys.argv[2:]))
