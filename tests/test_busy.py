"""What a person sees on a terminal while something takes long."""
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from kgan import command

ROOT = Path(__file__).resolve().parents[1]
BUSY = "import time\nfrom kgan import command, quiet\nwith command.busy('counting', {}, .05), quiet.silence():\n    time.sleep(1)"


def seen(code):
    """What a process shows on a terminal of 24 lines of 60 letters."""
    master, slave = os.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stderr=slave, cwd=ROOT, env={**os.environ, "COLUMNS": "60"})
    os.close(slave)
    text = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # how Linux says that the other side is gone
            part = b""
        if not part:
            break
        text += part
    os.close(master)
    assert process.wait() == 0
    return text.decode()


def test_what_takes_long_says_so():
    assert len(re.findall(r"counting … \d s", seen(BUSY.format(0.1)))) > 2
    assert seen(BUSY.format(9)) == ""


def test_a_file_is_told_nothing(capfd):
    with command.busy("counting", 0.01, 0.01):
        time.sleep(0.1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("columns, names", [(60, ["1,280 img/s"]), (80, ["1,280 img/s", "d_loss 0.500"]), (None, None)])
def test_the_bar_has_what_fits_the_terminal(columns, names):
    from kgan.progress import Progress
    bar = Progress(5_500, 64)
    bar._bar = SimpleNamespace(format_dict={"ncols": columns})
    parts = ["1,280 img/s", "d_loss 0.500", "g_loss 0.700", "d_real 0.800"]
    assert bar._fitting(parts) == (names or parts)
