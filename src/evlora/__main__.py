"""`python -m evlora` is the command `evlora`."""

from evlora.cli.main import run

if __name__ == "__main__":
    run()
