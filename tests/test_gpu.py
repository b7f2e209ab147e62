"""benchmarks/gpu.py: what is done is kept, what failed or was not reached is done by the next call."""
import json
import sys

import gpu
import pytest


def called(monkeypatch, capsys, out, *flags):
    """(exit status, the JSON that it prints last)."""
    monkeypatch.setattr(sys, "argv", ["gpu.py", f"--out={out}", *flags])
    status = gpu.main()
    return int(status), json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_second_call_goes_on(monkeypatch, capsys, tmp_path):
    made, broken = [], {"float16"}

    def part(options, name, seconds):
        made.append((name, seconds))
        if name in broken:
            raise gpu.PartError("not finite")
        return {"found": len(made)}

    monkeypatch.setattr(gpu, "PARTS", dict.fromkeys(["data", "float16", "export"], part))
    monkeypatch.setattr(gpu, "SHARES", {"data": 200, "float16": 100, "export": 700})
    status, first = called(monkeypatch, capsys, tmp_path, "--minutes=6")  # 420 seconds for the last: they are not there
    assert status == 1 and made == [("data", 120), ("float16", 60)] and first["parts"]["float16"]["error"] == "not finite"
    made.clear()
    broken.clear()
    status, second = called(monkeypatch, capsys, tmp_path, "--minutes=6")
    assert [name for name, _ in made] == ["float16"] and "error" not in second["parts"]["float16"] and status == 1
    assert second["parts"]["data"] == first["parts"]["data"]
    with pytest.raises(SystemExit, match="choose another folder"):
        called(monkeypatch, capsys, tmp_path, "--dry_run")


@pytest.mark.slow
def test_float16_on_a_cpu(monkeypatch, capsys, tmp_path):
    status, found = called(monkeypatch, capsys, tmp_path, "--dry_run", "--parts=float16")
    assert status == 0 and found["parts"]["float16"]["last"]["step"] == 20
