"""How the garbage collector of a long-lived process is set.

What start-up made stays for ever, and batches make many short-lived objects without cycles: the default thresholds
walked all of it several times a second, for a tenth of the router's time.
"""

import gc

# Young objects between two collections, and young collections between two older ones.
THRESHOLDS = (50_000, 20, 50)


def settle() -> None:
    """Take what is there out of the collector's sight, and collect less often from now on."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
