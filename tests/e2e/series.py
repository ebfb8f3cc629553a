"""--interval: a line for each look at a process, until it ends."""

import csv
import json
import os
import random
import signal
import subprocess
import time

from cases import Case
from grower import Grower, RSS_LAG
from modes import gcore, good, running
from process import settled, status_bytes, thread_states, untraced, wait_for, workplace
from report_checks import check_schema
from sandbox import Intruder, needs_sandbox
from tables import field

SERIES_SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "series.schema.json")
TARGET = Case("target", "many-threads", (12, 100))


class Series:
    """heapwalk --interval, and its lines as they come."""

    def __init__(self, tool, *args, **kwargs):
        self.process = tool.start(*args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)

    def line(self):
        return json.loads(self.process.stdout.readline())

    def rest(self):
        out, self.err = self.process.communicate(timeout=60)
        return [json.loads(line) for line in out.splitlines()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def series_growth(t, tool):
    for options in ([], ["--no-stop"], ["--snapshot"], ["--max-pause", "200"]):
        with workplace() as there, Grower(tool.build, there) as victim:
            args = ["-J", *options, "--interval", "0.3", "--count", "40", "-p", victim.pid]
            with Series(tool, *args) as series:
                lines, rss = [series.line()], status_bytes(victim.pid, "VmRSS")
                grown = victim.grow()
                while sum(x["change"]["in_use_bytes"] or 0 for x in lines) != grown.used \
                        and len(lines) < 30:
                    lines.append(series.line())
                rss = status_bytes(victim.pid, "VmRSS") - rss
                series.process.send_signal(signal.SIGINT)
                lines += series.rest()
                flawed = any(not line["complete"] for line in lines)  # it moved, and that was said
                t.equal(f"{options}: status {series.err}", series.process.returncode, int(flawed))
            for line in lines:
                check_schema(t, line, SERIES_SCHEMA)
            t.check(options == ["--no-stop"] or not flawed, f"{options}: {lines}")
            total = lambda name: sum(x["change"][name] or 0 for x in lines)
            t.equal(f"{options}: in use", total("in_use_bytes"), grown.used)
            t.equal(f"{options}: mmapped", total("mmapped_bytes"), grown.mapped)
            t.equal(f"{options}: system", total("system_bytes"), grown.system)
            t.check(abs(total("rss_bytes") - rss) < RSS_LAG, f"RSS {total('rss_bytes')}, {rss}")
            t.check(lines == sorted(lines, key=lambda x: x["time"]), "times go back")
            if "--no-stop" in options:
                t.equal("pauses", {x["pause_ns"] for x in lines}, {0})
            t.check(all(x["pause_ns"] < 2**30 for x in lines), "pauses")
            t.check(wait_for(lambda: untraced(victim.pid)), f"{options}: still traced")
            victim.grow()  # and it runs on


def series_forms(t, tool):
    with running(tool.build, TARGET) as victim:
        args = ["--interval", "0.05", "--count", 5, "-p", victim.pid]
        lines = [json.loads(line) for line in tool.run("-J", *args).out.splitlines()]
        t.equal("lines", len(lines), 5)
        rows = list(csv.DictReader(tool.run("-f", "csv", *args).out.decode().splitlines()))
        t.equal("rows", len(rows), 5)
        names = ["time", *[k for k in lines[0] if k in rows[0]]]
        for row, line in zip(rows, lines):
            t.equal("row", [row[n] for n in names if n.endswith("_bytes") and n != "rss_bytes"],
                    [field(line[n]) for n in names if n.endswith("_bytes") and n != "rss_bytes"])
            t.equal("change", row["change.in_use_bytes"], field(line["change"]["in_use_bytes"]))
        text = tool.run(*args).out.decode()
        t.equal("text", len(text.splitlines()), 6)
        widest = max(len(line.split("  (")[0]) for line in text.splitlines())  # (1 skipped)
        t.check(widest <= 80 and text.startswith("TIME "), text)
        bare = tool.run("-n", *args).out.decode()
        t.check(len(bare.splitlines()) == 5 and "TIME" not in bare, bare)
        exact = tool.run("-b", *args).out.decode()
        t.check(str(lines[0]["system_bytes"]) in exact, exact)
        with workplace() as place:
            path = os.path.join(place, "series.csv")
            good(t, tool.run("-o", path, *args))
            with open(path, encoding="ascii") as f:
                t.equal("rows of the file", len(f.readlines()), 6)
        for wrong in (["--interval", "0"], ["--interval", "-1"], ["--interval", "x"],
                      ["--interval", "nan"], ["--count", "3"], ["--interval", "1", "--count", "0"],
                      ["--interval", "1", "--chunks"], ["--interval", "1", "--holes", "3"],
                      ["--interval", "1", "--dry-run"], ["--interval", "1", "-f", "malloc_info"]):
            t.equal(f"{wrong}", tool.run(*wrong, "-p", victim.pid).status, 64)
        core = gcore(victim)
        t.equal("of a core", tool.run("--interval", "1", core).status, 64)
    t.equal("of nobody", tool.run("--interval", "1", "-p", 2**22 + 1).status, 2)


def series_timing(t, tool):
    """Nothing adds up: the n-th line comes n intervals after the first, skipped ones counted. A busy
    machine delays this line or that; the least late ones of both halves tell."""
    with running(tool.build, TARGET) as victim:
        out = tool.run("-J", "--interval", "0.1", "--count", 20, "-p", victim.pid).out
        lines = [json.loads(line) for line in out.splitlines()]
        at = lambda line: float(line["time"][17:23]) + 60 * float(line["time"][14:16])
        steps, late = 0, []
        for line in lines:
            steps += line["skipped"] + (line is not lines[0])
            late.append((at(line) - at(lines[0])) % 3600 - 0.1 * steps)
        t.check(abs(min(late[10:]) - min(late[:10])) < 0.05, f"ever later: {late}")


def series_exec(t, tool):
    for options in ([], ["--no-stop"], ["--snapshot"]):
        program = subprocess.Popen(["bash", "-c", "sleep 1; exec sleep 1.5"])
        wait_for(lambda: b"bash" in open(f"/proc/{program.pid}/cmdline", "rb").read())
        time.sleep(0.3)
        with Series(tool, "-J", *options, "--interval", "0.2", "-p", program.pid) as series:
            first = series.line()
            program.wait()  # as long as it is a zombie, too, it has ended
            lines = [first, *series.rest()]
            events = [line["event"] for line in lines if line["event"] != "error"]
            t.equal(f"{options}: events", [e for e in events if e], ["exec", "end"])
            t.equal("the last", (lines[-1]["event"], lines[-1]["in_use_bytes"]), ("end", None))
            new = next(line for line in lines if line["event"] == "exec")
            t.check("sleep" in new["text"] and new["change"]["in_use_bytes"] is None, f"{new}")
            flawed = any(x["event"] == "error" or not x["complete"] for x in lines)
            t.equal(f"status {series.err}", series.process.returncode, int(flawed))
            for line in lines:
                check_schema(t, line, SERIES_SCHEMA)


def series_exec_alike(t, tool):
    """It executes itself, and nothing has another address: only the kernel's random bytes tell."""
    with workplace() as there:
        again, script = os.path.join(there, "again"), os.path.join(there, "script")
        with open(script, "w", encoding="utf-8") as f:
            f.write(f"[ -e {again} ] || {{ touch {again}; exec bash {script}; }}\n"  # with one environment
                    f"[ -e {again}.2 ] && sleep 1.5 && exit\n"
                    f"touch {again}.2; sleep 1.5; exec bash {script}\n")
        program = subprocess.Popen(["setarch", "-R", "bash", script])
        vector = lambda: open(f"/proc/{program.pid}/auxv", "rb").read()
        wait_for(lambda: os.path.exists(again + ".2"))
        before = vector()
        with Series(tool, "-J", "--interval", "0.2", "-p", program.pid) as series:
            wait_for(lambda: series.line()["event"] == "exec")
            t.equal("the auxiliary vector", vector(), before)
            t.equal("events", [e["event"] for e in series.rest() if e["event"] not in (None, "error")], ["end"])
        program.wait()


BARE = "void _start(void) { for (;;) { } }"


def series_exec_bare(t, tool):
    """What it executes has no heap, now or later: that is told in each line, and tried once for it."""
    with workplace() as there:
        bare = os.path.join(there, "bare")
        subprocess.run([os.environ.get("CC", "cc"), "-static", "-nostdlib", "-x", "c", "-o", bare, "-"],
                       input=BARE.encode(), check=True)
        program = subprocess.Popen(["bash", "-c", f"sleep 1; exec nice {bare}"])
        try:
            with Series(tool, "-J", "--interval", "0.06", "-p", program.pid) as series:
                wait_for(lambda: series.line()["event"] == "error")
                lines = [series.line() for _ in range(15)]
        finally:
            program.kill()
            program.wait()
        t.equal("events", {line["event"] for line in lines}, {"error"})
        t.check(any(line["skipped"] == 0 for line in lines[2:]), f"skipped: {[line['skipped'] for line in lines]}")


def series_end(t, tool):
    """Killed in between, in every form: a last line, and that is no failure."""
    for options, last in ([], b"the process has ended\n"), (["-f", "csv"], b",end,"), \
            (["-J"], b'"event":"end"'):
        with workplace() as there:
            victim = Grower(tool.build, there)
            series = Series(tool, *options, "--interval", "5", "-p", victim.pid)
            got = series.process.stdout.readline()
            got += b"" if options == ["-J"] else series.process.stdout.readline()
            start = time.monotonic()
            victim.close()
            rest, err = series.process.communicate(timeout=60)
            t.check(time.monotonic() - start < 3, "it was not noticed before the next line")
            t.equal(f"{options}: {err}", series.process.returncode, 0)
            t.check(last in rest and len(rest.splitlines()) == 1, f"{options}: {rest}")


def series_interrupted(t, tool):
    """^C and the like: status 0, nothing but whole lines, a file that appears; a target that runs on."""
    with running(tool.build, TARGET) as victim, workplace() as place:
        before = thread_states(victim.pid)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            for options in (["--interval", "30"], ["--interval", "0.01"],
                            ["--interval", "0.01", "--snapshot"]):
                with Series(tool, "-J", *options, "-p", victim.pid) as series:
                    series.line()
                    series.process.send_signal(number)
                    out, err = series.process.communicate(timeout=30)
                    t.equal(f"{number} {options}: {err}", series.process.returncode, 0)
                    t.check(not out or out.endswith(b"\n"), f"half a line: {out[-80:]}")
                t.equal(f"{number} {options}: target", settled(victim.pid, before), before)
        path = os.path.join(place, "series.jsonl")
        with Series(tool, "-o", path, "--interval", "0.05", "-p", victim.pid) as series:
            wait_for(lambda: os.listdir(place) and os.path.getsize(
                os.path.join(place, os.listdir(place)[0])) > 2000, 20)
            t.check(not os.path.exists(path), "it is there too early")
            series.process.send_signal(signal.SIGINT)
            series.process.wait(timeout=30)
            with open(path, encoding="utf-8") as f:
                t.check(len([json.loads(line) for line in f]) > 1, "few lines")
        t.equal("files", os.listdir(place), ["series.jsonl"])


def series_interrupted_look(t, tool):
    """^C on a terminal is for all of us at once: the look may end by it before we have heard of it."""
    with running(tool.build, TARGET) as victim:
        for _ in range(25):
            options = ("-J", "--interval", "0.01", "-p", victim.pid)
            with Series(tool, *options, start_new_session=True) as series:
                series.line()
                time.sleep(random.uniform(0, 0.04))
                os.killpg(series.process.pid, signal.SIGINT)
                lines = series.rest()
            t.equal(f"{series.err}", series.process.returncode, 0)
            t.check(all(line["complete"] and not line["event"] for line in lines), f"{lines[-1:]}")


def own_memory(pid):
    """In KiB; a sanitizer, which reserves terabytes, keeps what was freed for some time."""
    sanitized = status_bytes(pid, "VmSize") >> 40
    return 0 if sanitized else (status_bytes(pid, "VmData") + status_bytes(pid, "RssAnon")) >> 10


def series_memory(t, tool):
    """What one look takes is not there in the next; and each is in the sandbox, which we are not."""
    with running(tool.build, TARGET) as victim:
        args = ["-J", "--interval", "0.01", "-p", victim.pid]
        with Series(tool, *args) as series:
            lines = [series.line() for _ in range(30)]
            early, files = own_memory(series.process.pid), os.listdir(f"/proc/{series.process.pid}/fd")
            lines += [series.line() for _ in range(200)]
            late = own_memory(series.process.pid)
            t.check(late <= early + 256, f"{early} KiB grew to {late} KiB")
            now = os.listdir(f"/proc/{series.process.pid}/fd")
            t.check(len(now) <= len(files) + 2, f"files: {len(files)}, {len(now)}")
            with open(f"/proc/{series.process.pid}/status", encoding="ascii") as f:
                t.check("Seccomp:\t0" in f.read(), "the one that opens files is in the sandbox")
        t.equal("sandbox", len({line["sandbox"] for line in lines}), 1)
        one = tool.run("-J", "-p", victim.pid).json()["method"]["sandbox"]
        t.equal("sandbox", lines[0]["sandbox"], one)


def series_sandbox(t, tool):
    """Each look has the sandbox of a single report, and the target runs on where it ends a look."""
    needs_sandbox(tool)
    with running(tool.build, TARGET) as victim, workplace() as place:
        before, intruder = thread_states(victim.pid), Intruder(tool, place, victim)
        for options in ([], ["--no-stop"], ["--snapshot"]):
            args = (*options, "-J", "--interval", "0.1", "--count", 3, "-p", victim.pid)
            ran = intruder.tries("socket", *args)
            t.equal(str(ran), (ran.status, ran.out), (2, b""))
            t.check(b"forbade the system call socket" in ran.err, str(ran))
            t.equal("target", settled(victim.pid, before), before)
            ran = intruder.tries("raise", *args)
            t.check(good(t, ran) and len(ran.out.splitlines()) == 3, str(ran))
        t.check(intruder.unharmed(), "the file has changed")


def run(suite, tool, _args):
    suite.run("scripts/series-growth", series_growth, tool)
    suite.run("scripts/series-forms", series_forms, tool)
    suite.run("scripts/series-timing", series_timing, tool)
    suite.run("scripts/series-exec", series_exec, tool)
    suite.run("scripts/series-exec-alike", series_exec_alike, tool)
    suite.run("scripts/series-exec-bare", series_exec_bare, tool)
    suite.run("scripts/series-end", series_end, tool)
    suite.run("scripts/series-interrupted", series_interrupted, tool)
    suite.run("scripts/series-interrupted-look", series_interrupted_look, tool)
    suite.run("scripts/series-memory", series_memory, tool)
    suite.run("scripts/series-sandbox", series_sandbox, tool)
