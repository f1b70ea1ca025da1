"""Entry of the container: segments one head-and-neck CT. See docs/container.md for the contract."""

import os
import sys

# One BLAS thread: our own threads share the work out, and sums come out the same for any number of them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# nibabel and OpenVINO load these where they find them; nothing here uses them, and loading takes longer than a CT does.
for package in ("scipy", "pydicom", "PIL", "openvino_telemetry"):
    sys.modules.setdefault(package, None)

from hn_network.main import main  # noqa: E402 - what it loads reads the lines above

if __name__ == "__main__":
    sys.exit(main())
