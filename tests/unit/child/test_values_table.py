"""The README tells authors what values become; the encoder's own table says the same."""

from pathlib import Path

from worker.child import encoding

README = Path(__file__).parents[3] / "README.md"


def test_the_readme_has_the_encoders_table() -> None:
    text = README.read_text().partition("<!-- values:begin -->")[2].partition("<!-- values:end -->")[0]
    shown = text.strip().splitlines()
    assert encoding.__doc__ is not None
    own = [line for line in encoding.__doc__.splitlines() if line.startswith("|")]
    assert shown[:-1] == own
    assert shown[-1].startswith("| an instance of a class with a custom encoder")
