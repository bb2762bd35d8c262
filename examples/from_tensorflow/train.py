#!/usr/bin/env python3
"""Train a small convolutional network with Keras, and export it so that the tools read it.

Writes model.onnx, calib.npy, eval.npy, labels.npy, input.npy into --out, and the same model as model.h5, model.keras,
saved_model/ and model.tflite, to try the other ways.
"""

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf2onnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tensorflow.keras import layers


def prepare(images):
    """Images [N, 8, 8] with values 0 to 16 as the network takes them: [N, 8, 8, 1], 0 to 1.

    The only definition of this conversion: training, calibration, evaluation and the board must all do the same.
    """
    return (images[..., None] / 16).astype(np.float32)


def network():
    """[N, 8, 8, 1], channels last as always with Keras -> probabilities [N, 10]."""
    x = image = layers.Input((8, 8, 1), name="image")
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = shortcut = layers.ReLU()(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(16, 1)(x)
    x = layers.Add()([x, shortcut])
    x = layers.ReLU()(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(32, 3, activation="relu")(x)
    x = layers.Flatten()(x)
    return tf.keras.Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder to write to")
    out = Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)

    tf.keras.utils.set_random_seed(1)
    digits = load_digits()
    x_train, x_eval, y_train, y_eval = train_test_split(
        prepare(digits.images), digits.target, test_size=0.25, random_state=1, stratify=digits.target
    )
    model = network()
    model.compile(tf.keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    model.fit(x_train, y_train, batch_size=64, epochs=25, verbose=0)

    probabilities = model.predict(x_eval, verbose=0)
    right = np.mean(probabilities.argmax(1) == y_eval)
    print(f"TensorFlow {tf.__version__}: {right:.2%} of {len(y_eval)} right")

    # The free batch axis becomes 1 in preprocessing; the input stays channels last, as the arrays below are.
    tf2onnx.convert.from_keras(model, opset=13, output_path=str(out / "model.onnx"))

    model.save(out / "model.h5")
    model.save(out / "model.keras")
    model.export(out / "saved_model")
    (out / "model.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    np.save(out / "calib.npy", x_train[:200])
    np.save(out / "eval.npy", x_eval)
    np.save(out / "labels.npy", y_eval.astype(np.int64))
    np.save(out / "input.npy", x_eval[:1])


if __name__ == "__main__":
    main()
