"""When policies may differ: the signature of the folder they come from."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.adapters.rego.origin import Folder


def _tree(root: Path) -> Path:
    (root / "sub/deeper").mkdir(parents=True)
    for name in ("a.rego", "a_test.rego", "data.json", "sub/data.json", "sub/deeper/b.rego", "README.md"):
        (root / name).write_text(name)
    return root


def test_it_tells_of_every_file_that_policies_are_read_from(tmp_path: Path) -> None:
    root = _tree(tmp_path)
    (root / "linked.rego").symlink_to(root / "README.md")
    (root / "gone.rego").symlink_to(root / "nothing")
    (tmp_path / "sub/loop").symlink_to(root)
    assert [os.path.relpath(name, root) for name, *_ in Folder(root).signature()] == [
        "a.rego",
        "a_test.rego",
        "data.json",
        "linked.rego",
        "sub/data.json",
        "sub/deeper/b.rego",
    ]
    assert Folder(root / "nowhere").signature() == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "sub/deeper/b.rego").write_text("longer than before"),
        lambda root: (root / "sub/c.rego").write_text(""),
        lambda root: (root / "a_test.rego").unlink(),
        lambda root: os.replace(root / "README.md", root / "a.rego"),
        lambda root: os.utime(root / "sub/data.json", ns=(1, 1)),
        lambda root: (root / "sub").rename(root / "other"),
    ],
)
def test_a_change_of_any_of_them_is_seen(tmp_path: Path, change: Callable[[Path], object]) -> None:
    folder = Folder(_tree(tmp_path))
    before = folder.signature()
    assert folder.signature() == before
    change(tmp_path)
    assert folder.signature() != before


def test_what_is_no_policy_changes_nothing(tmp_path: Path) -> None:
    folder = Folder(_tree(tmp_path))
    before = folder.signature()
    (tmp_path / "README.md").write_text("other words")
    (tmp_path / "sub/notes.json").write_text("{}")
    assert folder.signature() == before
