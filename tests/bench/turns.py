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
