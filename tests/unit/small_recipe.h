/* A recipe whose needs and costs can be worked out by hand, shared by the tests that do.
 * In: nothing. Out: its text. */
#ifndef ANL_TESTS_SMALL_RECIPE_H
#define ANL_TESTS_SMALL_RECIPE_H

/* A mean over 64 pixels of 2 channels, a linear map to 3 classes with bias, trained with momentum. */
static const char small_recipe[] =
    "anlage: 1\n"
    "title: Small\n"
    "params: {batch: {default: 8, range: [1, 100000]}, slots: 10}\n"
    "data:\n"
    "  train:\n"
    "    shards: none\n"
    "    fields:\n"
    "      image: {axes: {channel: 2, y: 8, x: 8}}\n"
    "      label: {axes: {class: 3}}\n"
    "functions:\n"
    "  affine:\n"
    "    inputs: {x: [channel]}\n"
    "    params: {features: int}\n"
    "    weights:\n"
    "      weight: {axes: {class: features, channel: x.channel}, init: 0.5, kind: matrix}\n"
    "      bias: {axes: {class: features}, init: 0, kind: bias}\n"
    "    returns: dot(x, weight, over=channel) + bias\n"
    "  momentum:\n"
    "    inputs: {weight: [...axes], gradient: [...axes]}\n"
    "    params: {lr: 0.1}\n"
    "    state:\n"
    "      velocity: {like: weight, init: 0, update: 0.9 * velocity + gradient}\n"
    "    returns: weight - lr * next(velocity)\n"
    "modules:\n"
    "  head: affine(features=3)\n"
    "state:\n"
    "  seen: {axes: {slot: slots}, init: 0, update: \"seen + mean(image, over=[batch, channel, y, x])\"}\n"
    "graph:\n"
    "  scores: head(mean(image, over=[y, x]))\n"
    "losses:\n"
    "  squares: {value: \"mean((scores - label) ** 2, over=all)\"}\n"
    "train:\n"
    "  length: 10it\n"
    "  optimizer:\n"
    "    - {weights: \"*\", rule: momentum(lr=0.1)}\n";

#endif
