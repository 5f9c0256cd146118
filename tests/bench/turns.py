"""Programs that wait for a command, answer with a line of JSON and wait again, so that they can take turns."""

import json
import os
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def environment(**more):
    """Without the variables that choose OpenBLAS's kernels and the threads of libraries: everybody at their own best."""
    own = {k: v for k, v in os.environ.items()
           if not k.startswith(("OPENBLAS_", "OMP_", "GOTO_", "MKL_", "BLIS_")) and not k.startswith("SSLMEM_")}
    return {**own, **more}


class Program:
    """A child process; `facts` is the first line that it prints, when it is ready."""

    def __init__(self, command, **variables):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=environment(**variables))
        self.facts = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended with exit code {self.process.wait()}")
        return json.loads(line)

    def ask(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        return self.read()

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def peak_mb(pid):
    """Most memory that a process had since reset_peak, in MiB, with the pages of mapped files that it used."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


def reset_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5\n")


def cpu_s(pid):
    """Processor seconds that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_s():
    """Seconds that all processors together have worked, and what the hypervisor took away."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def ask_timed(program, words):
    """Asks, and adds what the turn took: "turn_cpu_s" of the program's processor time, and "disturbed", the share of all
    processors' time that went to other programs."""
    cpu, busy, start = cpu_s(program.process.pid), busy_s(), time.monotonic()
    answer = program.ask(*words)
    own, all_, wall = cpu_s(program.process.pid) - cpu, busy_s() - busy, time.monotonic() - start
    return {**answer, "turn_cpu_s": own, "disturbed": max(0.0, (all_ - own) / wall / len(os.sched_getaffinity(0)))}


def undisturbed(program, words, tries=6, limit=0.05):
    """Asks until less than `limit` was disturbed, or the tries are over; the least disturbed answer."""
    answers = []
    while len(answers) < tries and not (answers and answers[-1]["disturbed"] < limit):
        time.sleep(len(answers) / 2)
        answers.append(ask_timed(program, words))
    return min(answers, key=lambda answer: answer["disturbed"])


def machine():
    """What the numbers were measured on."""
    model = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown")
    return {"processor": model, "cores": len(os.sched_getaffinity(0)), "load_before": os.getloadavg()[0],
            "when": time.strftime("%Y-%m-%d %H:%M")}


def table(rows):
    """Prints rows of cells in columns; the first row is the head, and numbers stand to the right."""
    rows = [[cell if isinstance(cell, str) else "-" if cell is None else f"{cell:.2f}" if abs(cell) < 100 else f"{cell:,.0f}"
             for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(row, widths))).rstrip(), flush=True)
