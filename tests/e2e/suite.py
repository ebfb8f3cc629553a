"""Counting and printing: a suite runs named tests, a test collects what went wrong in it."""

import time
import traceback

MOST_SHOWN = 12


class Skip(Exception):
    """Raised by a test that cannot run here; the text says why."""


class Test:
    def __init__(self, name):
        self.name = name
        self.failures = []
        self.notes = []

    def check(self, ok, message):
        if not ok:
            self.failures.append(message)
        return bool(ok)

    def equal(self, what, got, want):
        return self.check(got == want, f"{what}: got {shorten(got)}, want {shorten(want)}")

    def note(self, text):
        self.notes.append(text)


def shorten(value):
    text = repr(value)
    return text if len(text) <= 300 else text[:200] + " ... " + text[-90:]


class Suite:
    def __init__(self, filters=(), without=()):
        self.filters, self.without = list(filters), list(without)
        self.passed, self.failed, self.skipped = 0, [], []

    def wants(self, name):
        if any(f in name for f in self.without):
            return False
        return not self.filters or any(f in name for f in self.filters)

    def run(self, name, function, *args):
        """Run function(test, *args) and print one line, or more if something failed."""
        if not self.wants(name):
            return
        test, start = Test(name), time.monotonic()
        try:
            function(test, *args)
        except Skip as reason:
            self.skip(name, str(reason))
            return
        except Exception:  # a broken test must not hide the others
            test.failures.append("exception in the test:\n" + traceback.format_exc())
        took = time.monotonic() - start
        notes = "".join(f"; {n}" for n in test.notes)
        if test.failures:
            self.failed.append(name)
            lines = [f"FAIL {name} ({took:.2f} s{notes})"]
            lines += ["     " + failure.replace("\n", "\n     ")
                      for failure in test.failures[:MOST_SHOWN]]
            if len(test.failures) > MOST_SHOWN:
                lines.append(f"     ... and {len(test.failures) - MOST_SHOWN} more")
            print("\n".join(lines), flush=True)
        else:
            self.passed += 1
            print(f"ok   {name} ({took:.2f} s{notes})", flush=True)

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def skip(self, name, why):
        if self.wants(name):
            self.skipped.append(name)
            print(f"skip {name}: {why}", flush=True)

    def summary(self):
        if self.failed:
            print("failed: " + " ".join(self.failed))
        if self.skipped:
            print("skipped: " + " ".join(self.skipped))
        print(f"e2e: {self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped")
        return 0 if self.passed and not self.failed else 1
