"""Compares what ask.py printed with the list of questions that are not answered the same yet: judge.py PENDING PRINTED..."""

import pathlib
import re
import sys


def answers(path):
    """The answers in one run's output, each with its differences."""
    *found, total = re.split(r"^(?=same |differs |\d+ passed)", path.read_text(), flags=re.MULTILINE)
    if not re.match(r"\d+ passed", total):
        sys.exit(f"conformance: the questions of {path.name} broke off:\n{total}")
    return [answer for answer in found if answer.strip()]


def main(pending, *printed):
    lines = [line for line in pathlib.Path(pending).read_text().splitlines() if line.strip()]
    waits = dict(line.split(maxsplit=1) for line in lines)
    same, waiting, wrong, agreed = 0, 0, [], []
    for answer in (answer for path in printed for answer in answers(pathlib.Path(path))):
        verdict, name = answer.splitlines()[0].split()
        same += verdict == "same"
        waiting += verdict == "differs" and name in waits
        if verdict == "same" and name in waits:
            agreed.append(name)
        if verdict == "differs" and name not in waits:
            wrong.append(answer)
    for answer in wrong:
        print(answer, end="")
    for name in agreed:
        print(f"agrees {name}: take it off {pending}")
    print(f"{same} same, {waiting} pending" + (f", {len(wrong)} wrong" if wrong else ""))
    return bool(wrong or agreed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
