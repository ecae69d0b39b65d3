from pathlib import Path

from codefavor.cli.demo_workspace import Workspace


class Recorder:
    """A stage that writes a file and remembers how often it ran."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text, self.n_runs = path, text, 0

    def __call__(self) -> str:
        self.n_runs += 1
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self.text)
        return f"run {self.n_runs}"


def test_a_finished_stage_is_not_run_again(tmp_path):
    work = Recorder(tmp_path / "a.txt", "x")
    for _ in range(2):
        workspace = Workspace(tmp_path)
        workspace.stage("a", {"n": 1}, [work.path], work)
    assert work.n_runs == 1
    assert workspace.times[0].resumed


def test_other_inputs_run_it_again(tmp_path):
    work = Recorder(tmp_path / "a.txt", "x")
    for n in (1, 2):
        Workspace(tmp_path).stage("a", {"n": n}, [work.path], work)
    assert work.n_runs == 2


def test_a_changed_or_lost_output_runs_it_again(tmp_path):
    work = Recorder(tmp_path / "a.txt", "x")
    Workspace(tmp_path).stage("a", {}, [work.path], work)
    work.path.write_text("tampered")
    Workspace(tmp_path).stage("a", {}, [work.path], work)
    work.path.unlink()
    Workspace(tmp_path).stage("a", {}, [work.path], work)
    assert work.n_runs == 3


def test_a_stage_follows_the_result_of_the_one_it_reads(tmp_path):
    for text, expected in (("x", 1), ("x", 1), ("y", 2)):
        first = Recorder(tmp_path / "a.txt", text)
        second = Recorder(tmp_path / "b.txt", "b")
        workspace = Workspace(tmp_path)
        workspace.stage("a", {"text": text}, [first.path], first)
        workspace.stage("b", {}, [second.path], second, after=("a",))
        runs = (tmp_path / "n").read_text() if (tmp_path / "n").exists() else ""
        (tmp_path / "n").write_text(runs + "b" * second.n_runs)
        assert len((tmp_path / "n").read_text()) == expected


def test_a_stage_that_fails_leaves_no_stamp(tmp_path):
    def broken() -> str:
        raise OSError("no space")

    for _ in range(2):
        try:
            Workspace(tmp_path).stage("a", {}, [], broken)
        except OSError:
            continue
        raise AssertionError("the stage must run, and fail, both times")
    assert not list((tmp_path / "stages").glob("*")) if (tmp_path / "stages").exists() else True
