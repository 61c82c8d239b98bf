"""Several services behind nginx, set up as docs/serve.md has it, for `serving.py --services`."""

import shutil
import socket
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

Address = tuple[str, int]

CONFIG = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/errors;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/bodies;
  proxy_temp_path {folder}/proxied;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream evlora {{ least_conn; {servers} }}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 256m;
    location / {{
      proxy_pass http://evlora;
      proxy_set_header Host localhost;
      proxy_set_header Origin "";
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_next_upstream error timeout http_429 non_idempotent;
    }}
  }}
}}
"""


@contextmanager
def behind_nginx(services: Sequence[Address], folder: Path) -> Generator[Address]:
    """A proxy on loopback before these services, and its address.

    Raises:
        SystemExit: There is no nginx, or it does not start.
    """
    program = shutil.which("nginx")
    if program is None:
        raise SystemExit("--services: expected nginx on the path; install it, or ask for one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    servers = " ".join(f"server {host}:{number};" for host, number in services)
    file = folder / "nginx.conf"
    file.write_text(CONFIG.format(folder=folder, servers=servers, port=port))
    process = subprocess.Popen([program, "-c", str(file), "-e", str(folder / "errors")])
    try:
        address = ("127.0.0.1", port)
        while not _is_open(address):
            if process.poll() is not None:
                raise SystemExit((folder / "errors").read_text())
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()


def _is_open(address: Address) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True
