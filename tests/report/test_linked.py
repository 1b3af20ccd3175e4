"""Two spaces side by side: what is selected in one is selected in the other, in Python, and a table."""

import base64
import importlib.util
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embedlab import linked
from embedlab.errors import UserError
from embedlab.examples import planted
from embedlab.maths.space.neighbours import nearest, overlap
from embedlab.report.linked import SCRIPT, Linked
from embedlab.wording import speaking

ROOT = Path(__file__).parents[2]
A, B = planted("a", noise=0.5), planted("b", noise=0.9)


@pytest.fixture
def two() -> Linked:
    return linked(A, B, layout="pca")


def test_a_person_is_selected_in_both_spaces_and_as_a_table(two):
    table = two.select(person="person003").to_pandas()
    assert table["identity"].unique().tolist() == ["person003"]
    assert tuple(table["item"]) == two.selected == ("item0012", "item0013", "item0014", "item0015")
    rows = [int(item[-4:]) for item in two.selected]
    own = [nearest(one.unit, 15, metric="euclidean")[0] for one in (A, B)]
    np.testing.assert_allclose(table["neighbours kept"], overlap(*own)[rows])
    assert repr(two) == "<Linked faces in a and faces in b: 240 images, 4 selected>"
    assert two.select().selected == ()
    assert len(two.to_pandas()) == 240


@pytest.mark.parametrize("layout", ["pca", "umap"])
def test_images_of_a_person_lie_together_in_a_picture_of_a_clear_space(layout):
    clear = planted("a", noise=0.05, people=12, images=6)
    table = linked(clear, planted("b", noise=0.05, people=12, images=6), layout=layout).to_pandas()
    for space in ("a", "b"):
        places = table[[f"{axis} in faces in {space}" for axis in "xy"]].to_numpy()
        near, _ = nearest(places, 1, metric="euclidean")
        same = table["identity"].to_numpy()[near[:, 0]] == table["identity"].to_numpy()
        assert same.mean() > 0.8


def test_rows_in_another_order_and_images_of_one_set_only_are_joined_by_name():
    mixed = B.take(np.random.default_rng(0).permutation(len(B.items))[:200])
    two = linked(A, mixed, layout="pca")
    assert two.a.items.tolist() == two.b.items.tolist() == sorted(mixed.items.tolist())


def test_of_many_images_some_are_drawn_and_that_is_said():
    two = linked(A, B, layout="pca", most=50)
    assert repr(two) == "<Linked faces in a and faces in b: 50 images, drawn from 240, 0 selected>"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: linked(A, B, layout="tsne"), "no layout 'tsne': choose umap or pca"),
        (lambda: linked(A.take(range(4)), B, layout="pca"), "4 images make no map: give two sets"),
        (lambda: linked(A, B, layout="pca", most=3), "3 images make no map"),
        (lambda: linked(A, B, layout="pca").select("item12"), "image 'item12' is not shown here: did you"),
        (lambda: linked(A, B, layout="pca").select(person="Ann"), "'Ann' is not shown here: there are 'pers"),
    ],
)
def test_what_cannot_be_shown_is_told_in_a_line(call, said):
    with pytest.raises(UserError, match=said):
        call()


def test_without_anywidget_a_still_picture_is_shown_and_that_is_said(two, monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    shown = two._repr_mimebundle_()
    assert set(shown) == {"image/png", "text/plain"}
    assert base64.b64decode(shown["image/png"]).startswith(b"\x89PNG")
    assert "pip install 'embedlab[notebooks]'" in shown["text/plain"]


def test_the_widget_and_python_hear_of_each_other(two):
    pytest.importorskip("anywidget", reason="anywidget is not installed: make test installs it")
    shown = two._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} <= set(shown)
    two.select(person="person003")
    assert two.widget.chosen == [12, 13, 14, 15]
    two.widget.set_state({"chosen": [0, 239]})
    assert two.selected == ("item0000", "item0239")
    assert np.frombuffer(two.widget.points, "<f4").shape == (4 * 240,)


def test_a_study_s_words_are_used(two):
    pytest.importorskip("anywidget", reason="anywidget is not installed: make test installs it")
    with speaking({"item": "utterance", "identity": "speaker"}):
        assert two.widget.told.startswith("selected of 240 utterances; drag")


FRONT_END = """
<div id="place" style="width: 900px"></div>
<script type="module">
const held = %s, heard = [];
held.points = new DataView(Uint8Array.from(atob(held.points), (c) => c.charCodeAt(0)).buffer);
window.model = {
  get: (name) => held[name],
  set: (name, value) => { held[name] = value; },
  save_changes: () => heard.push(held.chosen),
  on: (_, f) => { window.changed = f; },
  off: () => {},
};
window.heard = heard;
window.held = held;
window.end = (%s).render({ model: window.model, el: document.getElementById("place") });
</script>
"""


def drag(browser, space, corners, *, shift=False):
    box = browser.run(
        f"(() => {{const r = document.querySelectorAll('canvas')[{space}].getBoundingClientRect();"
        "return [r.x, r.y, r.width, r.height, innerWidth, innerHeight]})()"
    )
    (x, y, wide, high, *window), held = box, 8 if shift else 0
    places = [(x + across * wide, y + down * high) for across, down in corners]
    # A press outside is told to nobody, and what was chosen before stays.
    assert all(0 <= at < end for place in places for at, end in zip(place, window, strict=True))

    def mouse(kind, at):
        browser.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=at[0],
            y=at[1],
            button="left",
            buttons=0 if kind == "mouseReleased" else 1,
            clickCount=1,
            modifiers=held,
        )

    mouse("mousePressed", places[0])
    for at in places[1:]:
        mouse("mouseMoved", at)
    mouse("mouseReleased", places[-1])


def test_a_lasso_in_a_browser_marks_its_images_in_both_spaces_and_tells_python(browser, tmp_path):
    # Four images: in the first space one a corner, in the second turned by a quarter.
    first, second = np.array([[0, 0, 1, 1], [0, 1, 0, 1]]), np.array([[0, 1, 0, 1], [1, 1, 0, 0]])
    points = np.concatenate([first.ravel(), second.ravel()]).astype("<f4").tobytes()
    evil = "<img src=x onerror=window.hurt=1>"
    held = {
        "points": base64.b64encode(points).decode(),
        "chosen": [],
        "names": [f"n{k} {evil}" for k in range(4)],
        "titles": [f"one {evil}", "two"],
        "told": "selected of 4",
    }
    page = tmp_path / "page.html"
    module = SCRIPT.read_text("utf-8").replace("export default { render };", "")
    script = FRONT_END % (json.dumps(held).replace("<", "\\u003c"), "{ render }")
    page.write_text(script.replace("const held", f"{module}\nconst held"), encoding="utf-8")
    browser.open(page.as_uri())
    left = [(0.005, 0.01), (0.3, 0.01), (0.3, 0.99), (0.005, 0.99)]
    drag(browser, 0, left)
    assert browser.until("held.chosen", [0, 1]) == [0, 1]
    drag(browser, 1, left)
    assert browser.until("held.chosen", [0, 2]) == [0, 2]
    drag(browser, 0, [(0.7, 0.01), (0.995, 0.01), (0.995, 0.3), (0.7, 0.3)], shift=True)
    assert browser.until("held.chosen", [0, 2, 3]) == [0, 2, 3]
    assert browser.run("document.querySelector('.embedlab-linked > div:last-child').textContent").startswith(
        "3 selected of 4"
    )
    browser.run("held.chosen = [1]; changed()")
    assert "1 selected of 4" in browser.run("document.body.innerText")
    browser.run("document.querySelector('.embedlab-linked').focus()")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Escape", code="Escape")
    assert browser.until("held.chosen", []) == []
    assert browser.run("heard.length") == 4
    assert browser.run("window.hurt === undefined")
    browser.run("end()")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # What Jupyter itself warns of is not ours.
def test_a_kernel_hears_of_the_lasso_s_message(monkeypatch):
    manager = pytest.importorskip("jupyter_client.manager", reason="make test installs it")
    if importlib.util.find_spec("anywidget") is None:
        pytest.skip("anywidget is not installed: make test installs it")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    kernels, client = manager.start_new_kernel(kernel_name="python3")

    def run(code):
        said = []
        reply = client.execute_interactive(
            code, timeout=120, output_hook=lambda message: said.append(message["content"].get("text") or "")
        )
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(said).strip()

    try:
        run("from embedlab import linked\nfrom embedlab.examples import planted")
        run("two = linked(planted('a'), planted('b', noise=0.9), layout='pca')")
        model = run("print(two.widget.model_id)")
        state = {"method": "update", "state": {"chosen": [5, 7]}, "buffer_paths": []}
        told = client.session.msg("comm_msg", {"comm_id": model, "data": state})
        client.session.send(client.shell_channel.socket, told)
        assert run("print(*two.to_pandas()['item'])") == "item0005 item0007"
    finally:
        client.stop_channels()
        kernels.shutdown_kernel(now=True)


def test_attributes_and_names_that_steer_stand_as_they_are():
    items = np.array([f"\u202e{item}" for item in A.items])
    odd = replace(A, items=items, attributes={"light": np.arange(240)})
    two = linked(odd, replace(B, items=items), layout="pca")
    table = two.select(person="person000").to_pandas()
    assert table["light"].tolist() == [0, 1, 2, 3]
    assert table["item"][0] == "\u202eitem0000"
