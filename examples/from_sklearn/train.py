#!/usr/bin/env python3
"""Train a classifier of tables with scikit-learn, and export it so that the tools read it.

Writes model.onnx, calib.npy, eval.npy, labels.npy, input.npy into --out; scaler.h, what the board does before it calls
the model; and pipeline.joblib and mlp.joblib, to try tools/tvm/onnx_from.py.
"""

import argparse
from pathlib import Path

import joblib
import numpy as np
import sklearn
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def scaler_header(scaler):
    """C for the board: sample[i] = (raw[i] - scaler_mean[i]) * scaler_factor[i]."""

    def array(name, values):
        body = ",\n".join(f"    {value!r}f" for value in values.astype(np.float32).tolist())
        return f"static const float {name}[{len(values)}] = {{\n{body},\n}};\n"

    return (
        "/* How raw features become the model's input: sample[i] = (raw[i] - scaler_mean[i]) * scaler_factor[i]. */\n"
        "#pragma once\n\n" + array("scaler_mean", scaler.mean_) + "\n" + array("scaler_factor", 1 / scaler.scale_)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder to write to")
    out = Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)

    data = load_breast_cancer()
    x_train, x_eval, y_train, y_eval = train_test_split(
        data.data, data.target, test_size=0.4, random_state=1, stratify=data.target
    )
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((32, 16), alpha=1.0, max_iter=400, random_state=1))
    pipeline.fit(x_train, y_train)
    right = pipeline.score(x_eval, y_eval)
    print(f"scikit-learn {sklearn.__version__}: {right:.2%} of {len(y_eval)} right")

    # The scaler stays outside of the model: raw features reach from 0.001 to 4000, and an int8 tensor has one scale.
    scaler, mlp = pipeline[0], pipeline[-1]
    scaled = {name: scaler.transform(x).astype(np.float32) for name, x in (("train", x_train), ("eval", x_eval))}
    features = [("features", FloatTensorType([1, x_train.shape[1]]))]
    model = to_onnx(mlp, initial_types=features, target_opset=13, options={"zipmap": False})
    # Without the label, which is made by an operator for tables; the application takes the larger probability.
    model = select_model_inputs_outputs(model, outputs=["probabilities"])

    (out / "model.onnx").write_bytes(model.SerializeToString())
    (out / "scaler.h").write_text(scaler_header(scaler))
    joblib.dump(pipeline, out / "pipeline.joblib")
    joblib.dump(mlp, out / "mlp.joblib")
    np.save(out / "calib.npy", scaled["train"])
    np.save(out / "eval.npy", scaled["eval"])
    np.save(out / "labels.npy", y_eval.astype(np.int64))
    np.save(out / "input.npy", scaled["eval"][:1])


if __name__ == "__main__":
    main()
