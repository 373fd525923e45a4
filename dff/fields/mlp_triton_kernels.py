"""What `mlp_triton` runs on the device: a small ReLU network's values and gradients.

Sizes in capitals are the network's, and WIDE ones those of the blocks that hold them: powers of
two, with zeros beyond. Weights lie one layer after the other, ``(out, in)`` and then the bias.
"""

# What Triton compiles is not Python to a type checker.
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false, reportIndexIssue=false
# pyright: reportOptionalOperand=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _product(a, b):  # pragma: no cover
    """``a b`` in full float32.

    TF32 keeps 10 bits of each factor: errors near 1e-3, where 1e-5 is promised. Said as
    `allow_tf32` because Triton before 3.0 (torch before 2.4) has no `input_precision`.
    """
    return tl.dot(a, b, allow_tf32=False)


@triton.jit
def _rows(
    matrix, point, points,
    COLUMNS: tl.constexpr, WIDE: tl.constexpr,
):  # pragma: no cover  # fmt: skip
    """Rows of a matrix with COLUMNS columns, as WIDE ones; zero where there are none."""
    column = tl.arange(0, WIDE)
    there = (point < points)[:, None] & (column < COLUMNS)[None, :]
    place = point.to(tl.int64)[:, None] * COLUMNS + column[None, :]
    return tl.load(matrix + place, mask=there, other=0.0)


@triton.jit
def _weights(
    weights,
    IN: tl.constexpr, OUT: tl.constexpr, WIDE_IN: tl.constexpr, WIDE_OUT: tl.constexpr,
):  # pragma: no cover  # fmt: skip
    """One layer's weights, (WIDE_OUT, WIDE_IN), padded with zeros."""
    row, column = tl.arange(0, WIDE_OUT)[:, None], tl.arange(0, WIDE_IN)[None, :]
    return tl.load(weights + row * IN + column, mask=(row < OUT) & (column < IN), other=0.0)


@triton.jit
def _layer(
    entered, weights,
    IN: tl.constexpr, OUT: tl.constexpr, WIDE_IN: tl.constexpr, WIDE_OUT: tl.constexpr,
):  # pragma: no cover  # fmt: skip
    """Output of a linear layer for a block of points, (points, WIDE_OUT)."""
    column = tl.arange(0, WIDE_OUT)
    bias = tl.load(weights + IN * OUT + column, mask=column < OUT, other=0.0)
    matrix = _weights(weights, IN, OUT, WIDE_IN, WIDE_OUT)
    return _product(entered, tl.trans(matrix)) + bias[None, :]


@triton.jit
def _hidden(
    entered, weights,
    IN: tl.constexpr, OUT: tl.constexpr, WIDE_IN: tl.constexpr, WIDE_OUT: tl.constexpr,
):  # pragma: no cover  # fmt: skip
    """Output of a layer with ReLU; like torch's it lets NaN through."""
    made = _layer(entered, weights, IN, OUT, WIDE_IN, WIDE_OUT)
    return tl.where(made <= 0.0, 0.0, made)


@triton.jit(do_not_specialize=["points"])
def values_kernel(
    inputs, weights, result, points,
    LAYERS: tl.constexpr, IN: tl.constexpr, WIDTH: tl.constexpr, OUT: tl.constexpr,
    WIDE_IN: tl.constexpr, WIDE: tl.constexpr, WIDE_OUT: tl.constexpr, SIZE: tl.constexpr,
):  # pragma: no cover  # fmt: skip
    point = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    entered = _rows(inputs, point, points, IN, WIDE_IN)
    if LAYERS == 1:
        made = _layer(entered, weights, IN, OUT, WIDE_IN, WIDE_OUT)
    else:
        hidden = _hidden(entered, weights, IN, WIDTH, WIDE_IN, WIDE)
        for middle in tl.static_range(LAYERS - 2):
            layer = weights + (IN + 1) * WIDTH + middle * (WIDTH + 1) * WIDTH
            hidden = _hidden(hidden, layer, WIDTH, WIDTH, WIDE, WIDE)
        layer = weights + (IN + 1) * WIDTH + (LAYERS - 2) * (WIDTH + 1) * WIDTH
        made = _layer(hidden, layer, WIDTH, OUT, WIDE, WIDE_OUT)
    column = tl.arange(0, WIDE_OUT)
    there = (point < points)[:, None] & (column < OUT)[None, :]
    tl.store(result + point.to(tl.int64)[:, None] * OUT + column[None, :], made, mask=there)


@triton.jit
def _entering(
    gradient, entered, weights,
    IN: tl.constexpr, OUT: tl.constexpr, WIDE_IN: tl.constexpr, WIDE_OUT: tl.constexpr,
):  # pragma: no cover  # fmt: skip
    """From the gradient of a layer's output that of what entered it, through the ReLU before it."""
    found = _product(gradient, _weights(weights, IN, OUT, WIDE_IN, WIDE_OUT))
    return tl.where(entered <= 0.0, 0.0, found)


@triton.jit
def _keep(
    weights, of_matrix, of_bias,
    IN: tl.constexpr, OUT: tl.constexpr, WIDE_IN: tl.constexpr, WIDE_OUT: tl.constexpr,
):  # pragma: no cover  # fmt: skip
    """Write one layer's sums to where its weights lie in `weights`."""
    row, column = tl.arange(0, WIDE_OUT), tl.arange(0, WIDE_IN)
    there = (row < OUT)[:, None] & (column < IN)[None, :]
    tl.store(weights + row[:, None] * IN + column[None, :], of_matrix, mask=there)
    tl.store(weights + IN * OUT + row, of_bias, mask=row < OUT)


@triton.jit(do_not_specialize=["points", "blocks_each"])
def gradients_kernel(
    inputs, weights, upstream, of_inputs, partial, points, blocks_each,
    LAYERS: tl.constexpr, IN: tl.constexpr, WIDTH: tl.constexpr, OUT: tl.constexpr,
    WIDE_IN: tl.constexpr, WIDE: tl.constexpr, WIDE_OUT: tl.constexpr, SIZE: tl.constexpr,
    FOR_INPUTS: tl.constexpr, FOR_WEIGHTS: tl.constexpr,
):  # pragma: no cover  # fmt: skip
    """Gradients of inputs and of weights.

    Program p takes blocks ``p * blocks_each`` to ``(p + 1) * blocks_each`` and writes its sums to
    row p of `partial`.
    """
    # Where each layer's weights begin: layers 1, 2 and 3, if there are so many.
    AT_1: tl.constexpr = (IN + 1) * WIDTH
    AT_2: tl.constexpr = AT_1 + (WIDTH + 1) * WIDTH
    AT_3: tl.constexpr = AT_2 + (WIDTH + 1) * WIDTH
    # What each layer gives: the last one's is OUT.
    OUT_0: tl.constexpr = OUT if LAYERS == 1 else WIDTH
    OUT_1: tl.constexpr = OUT if LAYERS == 2 else WIDTH
    OUT_2: tl.constexpr = OUT if LAYERS == 3 else WIDTH
    WIDE_0: tl.constexpr = WIDE_OUT if LAYERS == 1 else WIDE
    WIDE_1: tl.constexpr = WIDE_OUT if LAYERS == 2 else WIDE
    WIDE_2: tl.constexpr = WIDE_OUT if LAYERS == 3 else WIDE

    if FOR_WEIGHTS:
        matrix_0 = tl.zeros((WIDE_0, WIDE_IN), tl.float32)
        bias_0 = tl.zeros((WIDE_0,), tl.float32)
    if FOR_WEIGHTS and LAYERS > 1:
        matrix_1 = tl.zeros((WIDE_1, WIDE), tl.float32)
        bias_1 = tl.zeros((WIDE_1,), tl.float32)
    if FOR_WEIGHTS and LAYERS > 2:
        matrix_2 = tl.zeros((WIDE_2, WIDE), tl.float32)
        bias_2 = tl.zeros((WIDE_2,), tl.float32)
    if FOR_WEIGHTS and LAYERS > 3:
        matrix_3 = tl.zeros((WIDE_OUT, WIDE), tl.float32)
        bias_3 = tl.zeros((WIDE_OUT,), tl.float32)

    program = tl.program_id(0)
    for block in range(program * blocks_each, (program + 1) * blocks_each):
        point = block * SIZE + tl.arange(0, SIZE)
        entered_0 = _rows(inputs, point, points, IN, WIDE_IN)
        if LAYERS > 1:
            entered_1 = _hidden(entered_0, weights, IN, WIDTH, WIDE_IN, WIDE)
        if LAYERS > 2:
            entered_2 = _hidden(entered_1, weights + AT_1, WIDTH, WIDTH, WIDE, WIDE)
        if LAYERS > 3:
            entered_3 = _hidden(entered_2, weights + AT_2, WIDTH, WIDTH, WIDE, WIDE)

        given = _rows(upstream, point, points, OUT, WIDE_OUT)
        if LAYERS > 3:
            given_3 = given
            if FOR_WEIGHTS:
                matrix_3 += _product(tl.trans(given_3), entered_3)
                bias_3 += tl.sum(given_3, 0)
            given_2 = _entering(given_3, entered_3, weights + AT_3, WIDTH, OUT, WIDE, WIDE_OUT)
        elif LAYERS == 3:
            given_2 = given
        if LAYERS > 2:
            if FOR_WEIGHTS:
                matrix_2 += _product(tl.trans(given_2), entered_2)
                bias_2 += tl.sum(given_2, 0)
            given_1 = _entering(given_2, entered_2, weights + AT_2, WIDTH, OUT_2, WIDE, WIDE_2)
        elif LAYERS == 2:
            given_1 = given
        if LAYERS > 1:
            if FOR_WEIGHTS:
                matrix_1 += _product(tl.trans(given_1), entered_1)
                bias_1 += tl.sum(given_1, 0)
            given_0 = _entering(given_1, entered_1, weights + AT_1, WIDTH, OUT_1, WIDE, WIDE_1)
        else:
            given_0 = given
        if FOR_WEIGHTS:
            matrix_0 += _product(tl.trans(given_0), entered_0)
            bias_0 += tl.sum(given_0, 0)
        if FOR_INPUTS:
            matrix = _weights(weights, IN, OUT_0, WIDE_IN, WIDE_0)
            column = tl.arange(0, WIDE_IN)
            there = (point < points)[:, None] & (column < IN)[None, :]
            place = point.to(tl.int64)[:, None] * IN + column[None, :]
            tl.store(of_inputs + place, _product(given_0, matrix), mask=there)

    TOTAL: tl.constexpr = (
        (IN + 1) * OUT
        if LAYERS == 1
        else AT_1 + (LAYERS - 2) * (WIDTH + 1) * WIDTH + (WIDTH + 1) * OUT
    )
    row = partial + program * TOTAL
    if FOR_WEIGHTS:
        _keep(row, matrix_0, bias_0, IN, OUT_0, WIDE_IN, WIDE_0)
    if FOR_WEIGHTS and LAYERS > 1:
        _keep(row + AT_1, matrix_1, bias_1, WIDTH, OUT_1, WIDE, WIDE_1)
    if FOR_WEIGHTS and LAYERS > 2:
        _keep(row + AT_2, matrix_2, bias_2, WIDTH, OUT_2, WIDE, WIDE_2)
    if FOR_WEIGHTS and LAYERS > 3:
        _keep(row + AT_3, matrix_3, bias_3, WIDTH, OUT, WIDE, WIDE_OUT)
