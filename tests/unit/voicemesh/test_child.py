import os
import signal
import subprocess
import sys

import pytest

from voicemesh import child

SLEEPER = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)", "the-marker"]


@pytest.fixture
def sleeper():
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_a_leftover_is_ended(tmp_path, sleeper):
    (tmp_path / "pid").write_text(f"{sleeper.pid}\n/somewhere\n")
    # It is our child here, so it stays a zombie until we take note: that counts as ended.
    child.end_leftover(tmp_path / "pid", "the-marker", signal.SIGTERM)
    assert sleeper.wait() == -signal.SIGTERM


def test_a_process_that_merely_has_the_id_is_left_alone(tmp_path, sleeper):
    (tmp_path / "pid").write_text(str(sleeper.pid))
    child.end_leftover(tmp_path / "pid", "another-marker", signal.SIGTERM)
    assert sleeper.poll() is None


@pytest.mark.parametrize("content", [None, "", "not a number"])
def test_without_an_id_there_is_nothing_to_end(tmp_path, content):
    if content is not None:
        (tmp_path / "pid").write_text(content)
    child.end_leftover(tmp_path / "pid", "x", signal.SIGTERM)


def test_a_process_that_is_not_there_has_no_command_line():
    assert child.command_line(2**22 + 1) == ""


def test_the_program_keeps_its_process_id():
    command = child.dying_with_us(
        [sys.executable, "-c", "import os; print(os.getpid())"], signal.SIGKILL
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.communicate()[0].strip() == str(process.pid)


def test_an_unprivileged_program_is_not_root_and_reaches_what_it_needs(tmp_path):
    folder = tmp_path / "only-ours"
    folder.mkdir(mode=0o700)
    (folder / "file").write_text("reached")
    shell = ["sh", "-c", f"id -u; cat {folder / 'file'}"]
    command = child.unprivileged(shell, signal.SIGKILL, [folder / "file"])
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert said == [str(child.runner()[0]), "reached"]
    assert said[0] != "0"
    assert os.geteuid() in (0, int(said[0]))
