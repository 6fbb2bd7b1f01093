"""The watcher in a process of its own, so that everything can be killed with it and started again, as systemd would.

    python -m ops.chaos.watcher PARENT_PID

runs a deployment with the settings in the environment until it is told to end.
"""

import os
import signal
import sys
import threading

from actors import logs
from ops.deployment import Deployment, development_keys
from ops.mistakes import CannotStart
from ops.processes import die_with
from ops.settings import Settings


def main() -> None:
    """Start, make the keys, and watch."""
    settings = Settings()
    logs.set_up(settings.log_level, role="watcher", process=str(os.getpid()))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    die_with(int(sys.argv[1]), signal.SIGTERM)  # a drill that is killed leaves nothing running
    deployment = Deployment(settings)
    try:
        deployment.start()
    except CannotStart as error:
        sys.exit(str(error))
    try:
        development_keys(deployment)
        deployment.run(stop.is_set)
    finally:
        deployment.stop()


if __name__ == "__main__":
    main()
