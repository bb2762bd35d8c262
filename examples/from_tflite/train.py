#!/usr/bin/env python3
"""Makes a .tflite, in place of one that you already have: train a small Keras model and let TensorFlow Lite convert it.

Writes model.tflite (float), model_int8.tflite (quantized by TensorFlow Lite, to try that too), calib.npy, eval.npy,
labels.npy and input.npy into --out.
"""

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from tensorflow.keras import layers


def int8_converter(model, samples):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return converter


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder to write to")
    out = Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)

    tf.keras.utils.set_random_seed(1)
    wine = load_wine()  # 13 measurements of 178 wines of three growers
    x_train, x_eval, y_train, y_eval = train_test_split(
        wine.data, wine.target, test_size=0.5, random_state=1, stratify=wine.target
    )
    # Features to mean 0 and deviation 1, by the training data alone; the board must do the same with its measurements.
    mean, deviation = x_train.mean(0), x_train.std(0)
    x_train, x_eval = (((x - mean) / deviation).astype(np.float32) for x in (x_train, x_eval))

    model = tf.keras.Sequential(
        [layers.Input((13,)), layers.Dense(24, "relu"), layers.Dense(12, "relu"), layers.Dense(3, "softmax")]
    )
    model.compile(tf.keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    model.fit(x_train, y_train, epochs=60, verbose=0)
    right = np.mean(model.predict(x_eval, verbose=0).argmax(1) == y_eval)
    print(f"TensorFlow {tf.__version__}: {right:.2%} of {len(y_eval)} right")

    (out / "model.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    (out / "model_int8.tflite").write_bytes(int8_converter(model, x_train).convert())
    np.save(out / "calib.npy", x_train)
    np.save(out / "eval.npy", x_eval)
    np.save(out / "labels.npy", y_eval.astype(np.int64))
    np.save(out / "input.npy", x_eval[:1])


if __name__ == "__main__":
    main()
