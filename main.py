"""Entry: reads the command line, runs its command, and reports a fault in one line. Run ``python main.py --help``."""

import signal
import sys

from commands.line import command_line, settings_of
from market.errors import TickloopError


def main() -> int:
    """Exit status: 0, 1 after a fault, 130 after an interrupt or a request to end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is open is closed, what was started is ended
    arguments = command_line().parse_args()
    try:
        arguments.command(settings_of(arguments), arguments)
    except KeyboardInterrupt:
        return 130
    except (TickloopError, OSError) as fault:
        print(f"tickloop: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
