"""`python -m motionkit` is the `motionkit` script."""

from motionkit.cli import console

if __name__ == "__main__":
    console()
