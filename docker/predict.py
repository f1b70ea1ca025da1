"""Entry of the container: segments one head-and-neck CT. See docs/container.md for the contract."""

import os
import sys

# One BLAS thread: our own threads share the work out, and sums come out the same for any number of them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hn_densevnet.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
