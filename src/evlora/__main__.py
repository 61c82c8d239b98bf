"""The command `evlora`, and `python -m evlora`: what may be interrupted before it has begun."""

import sys

INTERRUPTED = 130


def start() -> None:
    """Run the command line; Ctrl-C while it is imported is a line as well."""
    try:
        from evlora.cli.main import run
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing had begun; run it again\n")
        sys.exit(INTERRUPTED)
    run()


if __name__ == "__main__":
    start()
