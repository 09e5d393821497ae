#!/usr/bin/env python3
"""Adds up a test run: every GoogleTest case of every program, and each CTest entry that is no GoogleTest program.

usage: test_summary.py CTEST_JUNIT_XML FOLDER_OF_GOOGLETEST_XML
Prints failed and skipped tests with their reasons, then one line `N passed, N failed, N skipped`.
Exit status: 0 all passed, 1 something failed, 2 no test was run.
"""
import pathlib
import sys
import xml.etree.ElementTree as xml


def cases_of(program):
    """(name, outcome, reason) of each case in the XML of one GoogleTest program."""
    for case in xml.parse(program).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        failure, skipped = case.find("failure"), case.find("skipped")
        if failure is not None:
            yield name, "failed", failure.get("message", "")
        elif skipped is not None or case.get("result") == "skipped":
            reason = skipped.get("message", "") if skipped is not None else ""
            yield name, "skipped", reason or (skipped.text or "" if skipped is not None else "no reason given")
        elif case.get("status") == "run":
            yield name, "passed", ""


def outcomes(junit, folder):
    for entry in xml.parse(junit).getroot().iter("testcase"):
        name, status = entry.get("name"), entry.get("status")
        program = folder / f"{name}.xml"
        cases, problem = [], None
        if program.exists():
            try:
                cases = list(cases_of(program))
            except xml.ParseError as error:
                problem = f"its result file is damaged: {error}"
            yield from cases
            if status != "run" and not any(outcome == "failed" for _, outcome, _ in cases):
                problem = problem or "the program failed although none of its cases did"
        elif status == "run":
            yield name, "passed", ""
        elif status == "disabled":
            yield name, "skipped", "disabled in tests/CMakeLists.txt"
        elif status == "notrun":
            problem = "CTest could not run it: is it built?"
        else:
            problem = "it crashed or ran out of time before it wrote its results (output above)"
        if problem:
            yield name, "failed", problem


def main():
    found = list(outcomes(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
    count = {kind: sum(outcome == kind for _, outcome, _ in found) for kind in ("passed", "failed", "skipped")}
    for kind in ("skipped", "failed"):
        for name, outcome, reason in found:
            if outcome == kind:
                print(f"{kind}: {name}: {' '.join(reason.split())[:400]}")
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return 1 if count["failed"] else 0 if found else 2


if __name__ == "__main__":
    sys.exit(main())
