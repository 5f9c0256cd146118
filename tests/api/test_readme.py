"""The shell examples of README.md do what they say: every line after a "$ " runs, section by section, as it is printed.

A section has a server of its own, started as `make run` starts it. Only ports and /tmp are others. Commands of a section
share a shell; `sslmem serve` runs to the section's end."""

import contextlib
import os
import re
import shutil
import signal
import subprocess

import pytest

from conftest import PATIENCE_S, ROOT

README = (ROOT / "README.md").read_text()
NOT_HERE = {"sslmem inspect --key teacher checkpoint.pth"}  # of the reader's own file


def is_whole(command):
    return not command.endswith("\\") and subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode == 0


def sections():
    """heading -> [(command, what is printed below it)]"""
    found, heading, lines = {}, "", iter(README.splitlines())
    for line in lines:
        if re.match("##+ ", line):
            heading = line.lstrip("# ")
        if line.startswith("    $ "):
            command = line[6:]
            while not is_whole(command):
                command += "\n" + next(lines)
            found.setdefault(heading, []).append([command, ""])
        elif line.startswith("    ") and heading in found:
            found[heading][-1][1] += line + "\n"
    return found


class Shell:
    def __init__(self, folder):
        self.bash = subprocess.Popen(["bash"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True, start_new_session=True)

    def run(self, command):
        """(exit code, output)"""
        self.bash.stdin.write(f"{command}\necho \"@@$?\"\n")
        self.bash.stdin.flush()
        output = ""
        for line in self.bash.stdout:
            if match := re.fullmatch(r"(.*)@@(\d+)\n", line):
                return int(match[2]), output + match[1]
            output += line
        raise AssertionError(output)

    def close(self):
        self.bash.stdin.close()
        self.bash.wait(PATIENCE_S)


def start(command, folder):
    """A server, and the address that it prints."""
    process = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=folder, stdout=subprocess.PIPE, text=True,
                               stderr=open(folder / "log", "a"), env=os.environ | {"PATH": f"{folder}/build/release:{os.environ['PATH']}"})
    line = process.stdout.readline()
    assert line.startswith("listening on "), (command, line, (folder / "log").read_text())
    return process, line.split("://")[1].strip()


def expected(printed):
    return (3,) if "FAILS" in printed else (0,)


def test_make_run_is_what_is_told():
    assert "$B/sslmem serve --pairs deploy/demo/pairs --db $B/sslmem.db" in (ROOT / "Makefile").read_text()
    assert "with the database `build/release/sslmem.db`" in README


def test_no_command_is_left_out():
    """A line of code that names the program is an example, and has its "$ "."""
    left = [line for line in README.splitlines() if re.match("    (sslmem|build/release/sslmem|curl|openssl) ", line)]
    assert left == []
    assert len(sections()) >= 6 and NOT_HERE <= {command for commands in sections().values() for command, _ in commands}


@pytest.mark.parametrize("heading", sections())
def test_examples(binary, tmp_path, heading):
    (tmp_path / "build/release").mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "build/release/sslmem").symlink_to(binary)
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    with contextlib.ExitStack() as stack:
        def serve(command):
            process, address = start(command, tmp_path)
            stack.callback(process.stdout.close)
            stack.callback(process.wait, PATIENCE_S)
            stack.callback(process.send_signal, signal.SIGTERM)
            return address

        address = serve("sslmem serve --pairs deploy/demo/pairs --db build/release/sslmem.db --listen 127.0.0.1:0")
        shell = Shell(tmp_path)
        stack.callback(shell.close)
        shell.run(f'export PATH="{tmp_path}/build/release:$PATH"')
        for command, printed in sections()[heading]:
            if command in NOT_HERE or (command.startswith("sqlite3 ") and shutil.which("sqlite3") is None):
                continue
            here = command.replace("/tmp/", f"{tmp_path}/tmp/")
            if here.startswith("sslmem serve "):
                serve(re.sub(r"(--listen 127\.0\.0\.1:)\d+", r"\g<1>0", here))
                continue
            code, output = shell.run(here.replace("127.0.0.1:8080", address))
            assert code in expected(printed), (command, output)
            problems = set(re.findall('"code": ?"([a-z_]+)"', output))
            assert all(f'"{problem}"' in printed for problem in problems), (command, output)
