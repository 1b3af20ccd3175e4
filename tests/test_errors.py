import pytest

from embedlab.errors import UserError
from embedlab.formats import interchange


def test_a_name_with_a_line_break_leaves_the_message_one_line(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text('item,"iden\ntity\u2028of",v\na,b,c\n', encoding="utf-8")
    with pytest.raises(UserError, match="iden tity of") as caught:
        interchange.import_embeddings(path, model="m", probe="p")
    assert len(str(caught.value).splitlines()) == 1
