"""`python -m eseg`, so that `torchrun -m eseg train` works."""

from eseg.cli import main

if __name__ == "__main__":
    main()
