"""The shell examples of the documents do what they say: every line after a "$ " runs, section by section, as it is printed.

A section has a server of its own, started as `make run` starts it. Only ports and /tmp are others. Commands of a section
share a shell; `sslmem serve` runs to the section's end."""

import contextlib
import os
import re
import shutil
import signal
import subprocess

import pytest
import yaml

from conftest import PATIENCE_S, ROOT

SPEC = yaml.safe_load((ROOT / "openapi.yaml").read_text())
NOT_HERE = {"sslmem inspect --key teacher checkpoint.pth"}  # of the reader's own file


def documents():
    """name -> text; of openapi.yaml its descriptions, each below a heading."""
    found = {str(path.relative_to(ROOT)): path.read_text() for path in
             [ROOT / "README.md", *(p for top in ("core", "server", "deploy", "tests") for p in sorted((ROOT / top).glob("**/*.md"))
                                    if not p.is_relative_to(ROOT / "tests/golden"))]}
    found["openapi.yaml"] = SPEC["info"]["description"] + "".join(f"\n# {tag['name']}\n{tag['description']}" for tag in SPEC["tags"])
    return found


def is_whole(command):
    """Neither a continued line, an open quote nor a here-document that lacks its end."""
    done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
    return not command.endswith("\\") and done.returncode == 0 and "here-document" not in done.stderr


def sections(text):
    """heading -> [(command, what is printed below it)]"""
    found, heading, lines = {}, "", iter(text.splitlines())
    for line in lines:
        if re.match("#+ ", line):
            heading = line.lstrip("# ")
        if line.startswith("    $ "):
            command = line[6:]
            while not is_whole(command):
                command += "\n" + next(lines)[4:]
            found.setdefault(heading, []).append([command, ""])
        elif line.startswith("    ") and heading in found:
            found[heading][-1][1] += line + "\n"
    return found


EXAMPLES = {(name, heading): commands for name, text in documents().items() for heading, commands in sections(text).items()}
OF_THE_SOURCE = [key for key in EXAMPLES if key[0] == "tests/README.md"]  # they build and test: only whether they could


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
    assert "with the database `build/release/sslmem.db`" in documents()["README.md"]


def test_no_command_is_left_out():
    """A line of code that names the program is an example, and has its "$ "."""
    for name, text in documents().items():
        left = [line for line in text.splitlines() if re.match("    (sslmem|build/release/|curl|openssl|make|/usr/bin/python3) ", line)]
        assert [line for line in left if "…" not in line and "# " not in line] == [], name
    assert {name for name, _ in EXAMPLES} == {"README.md", "core/README.md", "core/audit/README.md", "core/data/README.md", "core/names/README.md",
                                              "deploy/README.md", "tests/README.md", "openapi.yaml"}
    assert NOT_HERE <= {command for commands in EXAMPLES.values() for command, _ in commands}


@pytest.mark.parametrize("name,heading", OF_THE_SOURCE)
def test_examples_of_the_source(name, heading):
    """make knows its targets, pytest finds its tests, and what is started was built before."""
    built = set()
    for command, _ in EXAMPLES[name, heading]:
        words = command.split()
        if words[0] == "make":
            assert subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, env=os.environ | {"MAKELEVEL": "1"}).returncode == 0, command
            built |= set(words[1:])
        elif "pytest" in words:
            found = subprocess.run([*words, "--collect-only"], cwd=ROOT, capture_output=True, text=True)
            assert found.returncode == 0, (command, found.stdout)
        else:
            assert words[0] in built and all((ROOT / word).exists() for word in words[1:]), command


@pytest.mark.parametrize("name,heading", [key for key in EXAMPLES if key not in OF_THE_SOURCE])
def test_examples(binary, tmp_path, name, heading):
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
        for command, printed in EXAMPLES[name, heading]:
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
