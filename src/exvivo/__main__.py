"""``python -m exvivo``."""

import sys

from exvivo.cli import main

if __name__ == "__main__":
    sys.exit(main())
