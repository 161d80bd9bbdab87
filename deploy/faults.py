"""Whether a check sees what is wrong: it is given what is right, and then each fault in turn."""

import copy
import sys


def missed(right, faults, problems):
    """What the check `problems` does not see, or complains of for nothing.

    `faults` has pairs: a function that changes a copy of `right`, and a part of what must be said then."""
    for problem in problems(right):
        yield f"it is right: {problem}"
    for number, (fault, told) in enumerate(faults):
        wrong = copy.deepcopy(right)
        fault(wrong)
        if wrong == right:
            yield f"fault {number} changes nothing: {told}"
            continue
        said = list(problems(wrong))
        if not any(told in problem for problem in said):
            yield f"not seen: {told}; said was {said}"


def report(tried, found):
    """Prints both, and returns the exit code."""
    print(f"    {tried}")
    for each in found:
        print(f"    {each}", file=sys.stderr)
    return int(bool(found))
