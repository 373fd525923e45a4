"""``python -m dff.cli``, as ``dff``."""

from dff.cli import main

if __name__ == "__main__":
    main()
