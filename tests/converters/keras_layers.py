"""Small Keras classifiers around one layer each."""

from collections.abc import Callable
from typing import Any

from cae_backends.tensorflow.runtime import load_keras, load_tensorflow

tf = load_tensorflow()
keras = load_keras()
layers = keras.layers

SHAPE = (6, 6, 4)
Block = Callable[[Any], Any]


@keras.saving.register_keras_serializable("tests")
class Swirl(keras.layers.Layer):  # type: ignore[misc,name-defined] # Keras has no types
    """TensorFlow operations that no Keras layer makes, with a weight."""

    def build(self, shape: Any) -> None:  # noqa: ANN401
        self.gain = self.add_weight(shape=(shape[-1],), initializer="random_normal", name="gain")

    def call(self, x: Any) -> Any:  # noqa: ANN401
        turned = tf.roll(x, 2, axis=1)[:, :, ::-1]
        return tf.where(x > 0.1, tf.sin(x) * self.gain, tf.math.log1p(tf.abs(turned)))


def attention_over_patches(x: Any) -> Any:  # noqa: ANN401
    patches = layers.Reshape((9, 8))(layers.Conv2D(8, 2, strides=2)(x))
    attended = layers.MultiHeadAttention(num_heads=2, key_dim=4)(patches, patches)
    return layers.LayerNormalization()(patches + attended)


def squeeze_and_excitation(x: Any) -> Any:  # noqa: ANN401
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(x)
    excited = layers.Conv2D(4, 1, activation="sigmoid")(layers.Conv2D(2, 1, activation="swish")(squeezed))
    return layers.Multiply()([x, excited])


def merged(layer: Any) -> Block:  # noqa: ANN401
    return lambda x: layer([x, layers.Conv2D(4, 1)(x), layers.Conv2D(4, 3, padding="same")(x)])


def normalised_by(layer: Any) -> Block:  # noqa: ANN401
    """A layer whose statistics are not those that it was born with."""

    def block(x: Any) -> Any:  # noqa: ANN401
        y = layer(x)
        layer.set_weights(
            [0.4 + 0.1 * weight + 0.05 * tf.range(weight.shape[-1], dtype=tf.float32) for weight in layer.get_weights()]
        )
        return y

    return block


ACTIVATIONS = [
    *("elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "linear", "log_sigmoid"),
    *("mish", "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softsign", "sparse_plus", "tanh", "tanh_shrink"),
    *("celu", "soft_shrink", "hard_shrink", "squareplus", "softmax", "log_softmax"),
]

BLOCKS: dict[str, Block] = {
    "Dense": layers.Dense(5),
    "Conv2D-same": layers.Conv2D(5, 3, padding="same"),
    "Conv2D-valid": layers.Conv2D(5, (2, 3), padding="valid", use_bias=False),
    "Conv2D-strides-same": layers.Conv2D(5, 3, strides=2, padding="same"),
    "Conv2D-strides-even-kernel": layers.Conv2D(5, 2, strides=(1, 2), padding="same"),
    "Conv2D-dilation": layers.Conv2D(5, 3, dilation_rate=2, padding="same"),
    "Conv2D-dilation-valid": layers.Conv2D(5, 2, dilation_rate=(2, 1)),
    "Conv2D-groups": layers.Conv2D(6, 3, groups=2),
    "DepthwiseConv2D": layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
    "DepthwiseConv2D-strides": layers.DepthwiseConv2D(3, strides=2, padding="same"),
    "SeparableConv2D": layers.SeparableConv2D(5, 3, padding="same"),
    "Conv2DTranspose-same": layers.Conv2DTranspose(5, 3, strides=2, padding="same"),
    "Conv2DTranspose-valid": layers.Conv2DTranspose(5, 3, strides=2),
    "Conv1D": lambda x: layers.Conv1D(5, 3)(layers.Reshape((36, 4))(x)),
    "BatchNormalization": normalised_by(layers.BatchNormalization()),
    "BatchNormalization-plain": normalised_by(layers.BatchNormalization(center=False, scale=False)),
    "BatchNormalization-after-Conv2D": lambda x: normalised_by(layers.BatchNormalization())(layers.Conv2D(5, 3)(x)),
    "LayerNormalization": normalised_by(layers.LayerNormalization()),
    "LayerNormalization-axes": normalised_by(layers.LayerNormalization(axis=(1, 2, 3))),
    "GroupNormalization": normalised_by(layers.GroupNormalization(groups=2)),
    "UnitNormalization": layers.UnitNormalization(),
    "RMSNormalization": layers.RMSNormalization(),
    "PReLU": normalised_by(layers.PReLU()),
    "PReLU-shared": normalised_by(layers.PReLU(shared_axes=[1, 2])),
    "LeakyReLU": layers.LeakyReLU(0.2),
    "ReLU-capped": layers.ReLU(max_value=0.5, negative_slope=0.1, threshold=0.1),
    "gelu-tanh": lambda x: keras.activations.gelu(x, approximate=True),
    "MaxPooling2D": layers.MaxPooling2D(2),
    "MaxPooling2D-same": layers.MaxPooling2D(3, strides=2, padding="same"),
    "AveragePooling2D": layers.AveragePooling2D(2),
    "AveragePooling2D-same": layers.AveragePooling2D(3, strides=2, padding="same"),
    "GlobalAveragePooling2D": layers.GlobalAveragePooling2D(),
    "GlobalMaxPooling2D": layers.GlobalMaxPooling2D(),
    "ZeroPadding2D": layers.ZeroPadding2D(((1, 0), (2, 1))),
    "Cropping2D": layers.Cropping2D(((1, 0), (2, 1))),
    "UpSampling2D-nearest": layers.UpSampling2D(2),
    "UpSampling2D-bilinear": layers.UpSampling2D(2, interpolation="bilinear"),
    "Resizing": layers.Resizing(9, 4),
    "Add": merged(layers.Add()),
    "Subtract": lambda x: layers.Subtract()([x, layers.Conv2D(4, 1)(x)]),
    "Multiply": merged(layers.Multiply()),
    "Concatenate": merged(layers.Concatenate()),
    "Concatenate-rows": merged(layers.Concatenate(axis=1)),
    "Average": merged(layers.Average()),
    "Maximum": merged(layers.Maximum()),
    "Minimum": merged(layers.Minimum()),
    "Dot": lambda x: layers.Dot(axes=1)([layers.Flatten()(x), layers.Dense(144)(layers.Flatten()(x))]),
    "Flatten": layers.Flatten(),
    "Reshape": layers.Reshape((3, -1)),
    "Permute": layers.Permute((3, 1, 2)),
    "RepeatVector": lambda x: layers.RepeatVector(3)(layers.Flatten()(x)),
    "Dropout": layers.Dropout(0.5),
    "SpatialDropout2D": layers.SpatialDropout2D(0.5),
    "GaussianNoise": layers.GaussianNoise(0.5),
    "GaussianDropout": layers.GaussianDropout(0.5),
    "AlphaDropout": layers.AlphaDropout(0.5),
    "RandomFlip": layers.RandomFlip(),
    "Rescaling": layers.Rescaling(1 / 127.5, offset=-1),
    "Normalization": layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 0.5, 0.2]),
    "attention-over-patches": attention_over_patches,
    "squeeze-and-excitation": squeeze_and_excitation,
    "registered-layer": Swirl(),
} | {name: layers.Activation(name) for name in ACTIVATIONS}


def classifier_around(block: Block) -> Any:  # noqa: ANN401
    """Return a model from (n, 6, 6, 4) to three logits; what comes before lets the gradient of the block be seen."""
    image = keras.Input(SHAPE)
    x = layers.Conv2D(4, 1, name="before")(image)
    return keras.Model(image, layers.Dense(3, name="after")(layers.Flatten()(block(x))))
