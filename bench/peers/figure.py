"""A figure: what one measurement found, told as one line of JSON."""

import json
import resource
import statistics
import time


def seconds(work, repeats, warm_up=1):
    """The median wall time of `work`, after `warm_up` calls that are not counted."""
    for _ in range(warm_up):
        work()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def peak_memory_gib():
    """The most memory that this process has held at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def tell(**figure):
    """Prints the figure."""
    print(json.dumps(figure), flush=True)
