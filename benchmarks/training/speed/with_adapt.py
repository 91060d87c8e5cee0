"""DANN by adapt, on TensorFlow and Keras. The same layers; three Adams, as its DANN has three optimisers."""

from typing import Any

import numpy as np
import tensorflow as tf  # type: ignore[import-untyped]
from adapt.feature_based import DANN  # type: ignore[import-not-found]

from benchmarks.training.speed import problem
from benchmarks.training.speed.problem import BATCH_SIZE, RATE
from benchmarks.training.speed.rounds import Rounds

keras: Any = tf.keras
layers = keras.layers


class Steps(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self, rounds: Rounds) -> None:
        super().__init__()
        self._rounds = rounds

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._rounds.step()


def encoder() -> Any:
    return keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            *(layers.Conv2D(32, 5, use_bias=False), layers.MaxPool2D(), _norm(), layers.ReLU()),
            *(layers.Conv2D(48, 5, use_bias=False), layers.MaxPool2D(), _norm(), layers.ReLU(), layers.Flatten()),
            *(layers.Dense(256, use_bias=False), _norm(), layers.ReLU(), layers.Dropout(0.5)),
        ]
    )


def discriminator() -> Any:
    hidden = [layers.Dense(256, activation="relu") for _ in range(2)]
    return keras.Sequential([layers.Input((256,)), *hidden, layers.Dense(1, activation="sigmoid")])


def main() -> None:
    data, round_steps = problem.from_command_line()
    rounds = Rounds(round_steps)
    dann = DANN(
        encoder(),
        keras.Sequential([layers.Input((256,)), layers.Dense(10, activation="softmax")]),
        discriminator(),
        Xt=problem.normalised(data.target_x)[..., None],
        lambda_=problem.STRENGTH,
        loss="categorical_crossentropy",
        optimizer=keras.optimizers.Adam(RATE),
        copy=False,
        random_state=0,
    )
    labels = np.eye(10, dtype=np.float32)[data.source_y]
    images = problem.normalised(data.source_x)[..., None]
    dann.fit(images, labels, epochs=1, batch_size=BATCH_SIZE, verbose=0, callbacks=[Steps(rounds)])
    source, target = (dann.predict(problem.normalised(values)[..., None]) for values in (data.source_test_x, data.target_test_x))
    accuracies = problem.accuracy(source, data.source_test_y), problem.accuracy(target, data.target_test_y)
    rounds.end(*accuracies)


def _norm() -> Any:
    """Return batch norm with torch's momentum; the default of Keras decays ten times as slowly."""
    return layers.BatchNormalization(momentum=0.9)


if __name__ == "__main__":
    main()
