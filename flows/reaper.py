"""The process that ends a server once whoever started that server is gone; see `temporary_server`.

python -m shunter.flows.reaper PID
"""

from __future__ import annotations

import os
import sys

import psutil

END_DEADLINE_S = 5.0
STANDARD_INPUT = 0


def main() -> None:
    try:
        server = psutil.Process(int(sys.argv[1]))
        while os.read(STANDARD_INPUT, 1024):  # ends with the one who started both, whatever ended that
            pass
        server.terminate()  # only if it is still the process of that number
        try:
            server.wait(END_DEADLINE_S)
        except psutil.TimeoutExpired:
            server.kill()
    except psutil.NoSuchProcess:
        return  # it has ended already, as it should


if __name__ == "__main__":
    main()
