"""Ray's folder may lie where everybody may write: it is ours alone, or nothing starts."""

from pathlib import Path

import pytest

from actors.environment import make_private


def test_a_folder_is_made_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    made = tmp_path / "above" / "ray"
    for _ in range(2):
        make_private(made)
        assert made.stat().st_mode & 0o777 == 0o700
        made.chmod(0o755)


def test_what_somebody_else_has_put_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "ray").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="somebody else"):
        make_private(tmp_path / "ray")
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o755
