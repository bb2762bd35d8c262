"""What a model says of its states: what is refused, and samples without them."""

import numpy as np
import pytest
from onnx import helper
from small_models import model_of

from esp_tvm.errors import UserError
from esp_tvm.states import load_steps, note_states, own_inputs, set_states, states_of


def summing():
    """y = x + state, which is the next state; `wide` has another shape."""
    nodes = [
        helper.make_node("Add", ["x", "state"], ["y"], "add"),
        helper.make_node("Identity", ["y"], ["next"], "keep"),
        helper.make_node("Concat", ["x", "x"], ["wide"], "twice", axis=1),
    ]
    return model_of(nodes, {"x": [1, 2], "state": [1, 2]}, {"y": [1, 2], "next": [1, 2], "wide": [1, 4]}, {})


@pytest.mark.parametrize(
    "given, said",
    [
        (["state"], "give INPUT=OUTPUT, or none alone"),
        (["none", "state=next"], "give INPUT=OUTPUT, or none alone"),
        (["stat=next"], "the model has no input 'stat'; did you mean state"),
        (["state=nxt"], "the model has no output 'nxt'"),
        (["state=wide"], "the input is float32[1, 2] and the output float32[1, 4]"),
        (["state=next", "state=y"], "input 'state' is given twice"),
        (["state=next", "x=next"], "one output is the next value of two inputs"),
        (["state=next", "x=y"], "needs an input and an output"),
    ],
)
def test_states_that_cannot_be(given, said):
    model = summing()
    with pytest.raises(UserError) as error:
        set_states(model, given)
    assert said in str(error.value) and not model.metadata_props


def test_the_record_is_replaced_and_removed():
    model = summing()
    set_states(model, ["state=y"])
    set_states(model, ["state=next"])
    assert states_of(model) == {"state": "next"} and [port[0] for port in own_inputs(model)] == ["x"]
    set_states(model, [])
    assert states_of(model) == {"state": "next"}
    set_states(model, ["none"])
    assert states_of(model) == {} and not model.metadata_props
    for value, said in (("[1", " is damaged"), ('{"x": "gone"}', ": the model has no output 'gone'")):
        del model.metadata_props[:]
        model.metadata_props.add(key="esp_tvm.states", value=value)
        with pytest.raises(UserError, match="^m.onnx: its metadata esp_tvm.states" + said):
            states_of(model, "m.onnx: ")


def test_names_of_states_may_hold_the_sign_between_them():
    model = model_of(
        [helper.make_node("Add", ["x", "a=b"], ["c=d"], "add"), helper.make_node("Neg", ["c=d"], ["y"], "neg")],
        {"x": [1, 2], "a=b": [1, 2]},
        {"y": [1, 2], "c=d": [1, 2]},
        {},
    )
    set_states(model, ["a=b=c=d"])
    assert states_of(model) == {"a=b": "c=d"}


def test_samples_are_steps_whose_states_are_computed(tmp_path):
    model, x = summing(), np.arange(6, dtype=np.float32).reshape(3, 1, 2)
    note_states(model, {"state": "next"})
    np.save(tmp_path / "x.npy", x)
    before = np.concatenate([np.zeros((1, 1, 2)), np.cumsum(x, 0)[:-1]])
    assert np.array_equal(load_steps(tmp_path / "x.npy", model)["state"], before)
    np.savez(tmp_path / "both.npz", x=x, state=x)
    assert np.array_equal(load_steps(tmp_path / "both.npz", model)["state"], x)
