"""The conformance adapter of clients/js, over the package as this tree has it.

python -m tests.support.clients.js.js_adapter
"""

from __future__ import annotations

import os

from tests.support.clients.js.js_package import SOURCES, built_package

if __name__ == "__main__":
    os.environ["MUSTER_JS_PACKAGE"] = str(built_package())
    os.execvp("node", ["node", str(SOURCES / "conformance_adapter.mjs")])
