"""Networks over images in plain numpy, float64, from their papers: loops over pixels and taps.

Each takes the network (for its sizes), its parameters, features [H, W, G, C] and a context [E], and
returns raw outputs [H, W, G, P]. Nothing here is shared with `gm` but the order of the numbers in a
kernel: taps row by row, then inputs, then outputs, colours before channels.
"""

import numpy as np
from scipy.special import expit, log_softmax, logsumexp, softmax

# Layers -------------------------------------------------------------------------------------------


def dense(p, x):
    return x @ p["kernel"] + p["bias"]


def relu(x):
    return np.maximum(x, 0)


def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def concat_elu(x):
    return elu(np.concatenate([x, -x], -1))


def gated(x):
    """tanh(a) σ(b)"""
    a, b = np.split(x, 2, -1)
    return np.tanh(a) * expit(b)


def masked_conv(p, x, above=0, left=0, right=0, strict=False):
    """x: [H, W, G, C] -> [H, W, G, F], masks A (strict) and B of the pixel recurrent networks.

    A colour sees all colours of earlier pixels, and of its own pixel the earlier ones, and itself
    under mask B. Under mask A there is a channel of ones beside the values.
    """
    height, width, colours, _ = x.shape
    if strict:
        x = np.concatenate([x, np.ones((height, width, colours, 1))], -1)
    taps = [(-up, side) for up in range(above, 0, -1) for side in range(-left, right + 1)]
    taps += [(0, -back) for back in range(left, 0, -1)]
    taps += [(0, 0)] if not strict or colours > 1 else []
    kernel = p["kernel"].reshape(len(taps), colours, x.shape[-1], colours, -1)
    y = np.zeros((height, width, colours, kernel.shape[-1])) + p["bias"]
    for r, c, g in np.ndindex(height, width, colours):
        for weights, (down, side) in zip(kernel, taps, strict=True):
            if not (0 <= r + down < height and 0 <= c + side < width):
                continue
            own = (down, side) == (0, 0)
            for of in range(colours if not own else g if strict else g + 1):
                y[r, c, g] += x[r + down, c + side, of] @ weights[of, :, g]
    return y


def row_conv(p, x, above, reach=1, strict=False):
    """x: [H, W, C] -> [H, W, F]: the rows above, and unless strict the pixel's own, whole."""
    height, width, inputs = x.shape
    ups = range(above, 0 if strict else -1, -1)
    kernel = p["kernel"].reshape(len(ups), 2 * reach + 1, inputs, -1)
    y = np.zeros((height, width, kernel.shape[-1])) + p["bias"]
    for r, c in np.ndindex(height, width):
        for row, up in enumerate(ups):
            for side in range(-reach, reach + 1):
                if r >= up and 0 <= c + side < width:
                    y[r, c] += x[r - up, c + side] @ kernel[row, reach + side]
    return y


def with_ones(x):
    return np.concatenate([x, np.ones((*x.shape[:-1], 1))], -1)


def float64(tree):
    if isinstance(tree, dict):
        return {name: float64(leaf) for name, leaf in tree.items()}
    return np.asarray(tree, np.float64)


# PixelCNN, arXiv:1601.06759 -----------------------------------------------------------------------


def pixelcnn(network, params, f, y):
    """Figure 5, right: residual blocks of 2 h channels, h inside, then ReLU and 1x1 twice."""
    p = float64(params["params"])
    far, near = network.first_size // 2, network.size // 2
    x = masked_conv(p["first"], f, far, far, far, strict=True) + p["map"]["table"]
    for i in range(network.num_layers):
        h = masked_conv(p[f"blocks_{i}_0"], relu(x))
        h = masked_conv(p[f"blocks_{i}_1"], relu(h), near, near, near)
        h = h + dense(p[f"contexts_{i}"]["dense"], y)
        x = x + masked_conv(p[f"blocks_{i}_2"], relu(h))
    return masked_conv(p["last"], relu(masked_conv(p["hidden"], relu(x))))


# Gated PixelCNN, arXiv:1606.05328 -----------------------------------------------------------------


def gated_pixelcnn(network, params, f, y):
    """Figure 2: the vertical stack tells the horizontal one, which alone is residual."""
    p = float64(params["params"])
    height, width, colours, _ = f.shape
    v, h = with_ones(f.reshape(height, width, -1)), f
    for i in range(network.num_layers):
        reach, first = (network.size if i else network.first_size) // 2, i == 0
        v = row_conv(p["vertical"][f"convs_{i}"], v, reach, reach, strict=first)
        v = v + dense(p["vertical"][f"contexts_{i}"]["dense"], y)
        told = dense(p["vertical"][f"across_{i}"], v).reshape(height, width, colours, -1)
        v = gated(v)
        sums = masked_conv(p[f"convs_{i}"], h, left=reach, strict=first) + told
        out = masked_conv(p[f"outs_{i}"], gated(sums + dense(p[f"contexts_{i}"]["dense"], y)))
        h = out + p["map"]["table"] if first else h + out
    return masked_conv(p["last"], relu(masked_conv(p["hidden"], relu(h))))


# PixelRNN, arXiv:1601.06759 -----------------------------------------------------------------------


def lstm(gates, c):
    """Equation 3, the forget gate opened by 1; gates o, f, i, g: [G, 4 h], c: [G, h]."""
    o, f, i, g = np.split(gates, 4, -1)
    c = expit(f + 1.0) * c + expit(i) * np.tanh(g)
    return c, expit(o) * np.tanh(c)


def row_lstm(p, x, y, size=3):
    """Section 3.1: K_is and K_ss of `size` x 1, K_is masked; the state from the row above."""
    height, width, colours, _ = x.shape
    reach = size // 2
    gates = masked_conv(p["gates"], x, left=reach) + y
    h = np.zeros((*x.shape[:3], gates.shape[-1] // 4))
    c, kernel = h.copy(), p["recurrent"].reshape(size, h[0, 0].size, -1)
    for r, column in np.ndindex(height, width):
        sums, before = gates[r, column], np.zeros_like(h[0, 0])
        if r > 0:
            before = c[r - 1, column]
            for tap in range(size):
                if 0 <= column + tap - reach < width:
                    state = h[r - 1, column + tap - reach].reshape(-1)
                    sums = sums + (state @ kernel[tap]).reshape(colours, -1)
        c[r, column], h[r, column] = lstm(sums, before)
    return h


def _one_way(gates, kernel, side):
    """The diagonal LSTM whose cell comes from the left (side -1) or from the right (side 1)."""
    height, width, colours, _ = gates.shape
    h = np.zeros((height, width, colours, gates.shape[-1] // 4))
    c, (beside, above) = h.copy(), kernel.reshape(2, h[0, 0].size, -1)
    for r in range(height):
        for column in range(width)[::-side]:
            sums, before = gates[r, column], np.zeros_like(h[0, 0])
            if 0 <= column + side < width:
                before = c[r, column + side]
                sums = sums + (h[r, column + side].reshape(-1) @ beside).reshape(sums.shape)
            if r > 0:
                sums = sums + (h[r - 1, column].reshape(-1) @ above).reshape(sums.shape)
            c[r, column], h[r, column] = lstm(sums, before)
    return h


def diagonal_bilstm(p, x, y):
    """Section 3.2: both directions; the states of the right one are used one row below."""
    left, right = np.split(masked_conv(p["gates"], x) + y, 2, -1)
    out = _one_way(left, p["recurrent"][0], -1)
    out[1:] += _one_way(right, p["recurrent"][1], 1)[:-1]
    return out


def pixelrnn(network, params, f, y):
    """Table 1: LSTMs of h channels, each widened to 2 h and added to its input."""
    p = float64(params["params"])
    layer = {"RowLSTM": row_lstm, "DiagonalBiLSTM": diagonal_bilstm}[network.layer.__name__]
    far = network.first_size // 2
    x = masked_conv(p["first"], f, far, far, far, strict=True)
    for i in range(network.num_layers):
        h = layer(p[f"layers_{i}"], x, dense(p[f"contexts_{i}"]["dense"], y))
        x = x + masked_conv(p[f"widen_{i}"], h)
    return masked_conv(p["last"], relu(masked_conv(p["hidden"], relu(x))))


# PixelCNN++, arXiv:1701.05517 ---------------------------------------------------------------------


def gated_block(conv, p, x, given=0.0, bias=0.0):
    """x + a σ(b), as `gated_resnet` of the authors' code."""
    h = conv(p["first"], concat_elu(x)) + given
    a, b = np.split(conv(p["second"], concat_elu(h)) + bias, 2, -1)
    return x + a * expit(b)


def by_rows(p, x):
    """2 x 3: a row above and the own one of the stream, which is a row behind the pixels."""
    return row_conv(p, x[:, :, 0], above=1)[:, :, None]


def by_pixels(p, x):
    """2 x 2: above and to the left."""
    return masked_conv(p, x, above=1, left=1)


def doubled(p, x, shape):
    """A transposed convolution of 2 x 2, cut to [H, W, 1, C]."""
    y = np.zeros(shape)
    for r, c in np.ndindex(*shape[:2]):
        four = dense(p, x[r // 2, c // 2]).reshape(2, 2, 1, -1)
        y[r, c] = four[r % 2, c % 2]
    return y


def streams(rows, pixels, u, v, num_blocks, y):
    """Section 2: both streams down and up at one resolution, and at those below."""
    count = sum(name.startswith(("down", "up")) for name in rows)
    given = (dense(p["given"]["dense"], y) for p in (rows, pixels))
    blocks = iter(zip(range(count), *(np.split(bias, count) for bias in given), strict=True))

    def block(name, u, v, us, vs):
        number, bias_u, bias_v = next(blocks)
        u = gated_block(by_rows, rows[name], u, us, bias_u)
        told = dense(rows[f"across_{number}"], concat_elu(u))
        return u, gated_block(by_pixels, pixels[name], v, told + vs, bias_v)

    kept = [(u, v)]
    for i in range(num_blocks):
        kept.append(block(f"down_{i}", *kept[-1], 0.0, 0.0))
    if "coarser" in rows:
        u, v = by_rows(rows["shrink"], kept[-1][0]), by_pixels(pixels["shrink"], kept[-1][1])
        below = rows["coarser"]["level"], pixels["coarser"]["level"]
        u, v = streams(*below, u[::2, ::2], v[::2, ::2], num_blocks, y)
        shape = kept[0][0].shape
        u = doubled(rows["coarser"]["widen"], u, shape)
        v = doubled(pixels["coarser"]["widen"], v, shape)
    else:
        u, v = kept.pop()
    for i in range(len(kept)):
        us, vs = kept.pop()
        us = dense(rows[f"shortcuts_{i}"], concat_elu(us))
        vs = dense(pixels[f"shortcuts_{i}"], concat_elu(vs))
        u, v = block(f"up_{i}", u, v, us, vs)
    return u, v


def pixelcnnpp(network, params, f, y):
    """The stream of rows starts from the two rows above, that of pixels from the neighbours."""
    p = float64(params["params"])
    u = row_conv(p["rows"]["first"], with_ones(f[:, :, 0]), above=2, strict=True)[:, :, None]
    v = masked_conv(p["first"], f, 1, 1, 1, strict=True)
    _, v = streams(p["rows"]["level"], p["pixels"], u, v, network.num_blocks, y)
    return dense(p["last"], elu(v))


# PixelSNAIL, arXiv:1712.09763 ---------------------------------------------------------------------


def attention(p, asked, told, num_heads):
    """Element i reads the values of those before it; asked, told: [T, ..] -> [T, features]."""
    queries, both = dense(p["queries"], asked), dense(p["keys_values"], told)
    keys, values = np.split(both, [queries.shape[-1]], -1)
    read = np.zeros_like(values)
    heads = [np.array_split(np.arange(a.shape[-1]), num_heads) for a in (keys, values)]
    for of_keys, of_values in zip(*heads, strict=True):
        for i in range(len(asked)):
            scores = keys[: i + 1, of_keys] @ queries[i, of_keys] / np.sqrt(len(of_keys))
            read[i, of_values] = softmax(scores) @ values[: i + 1, of_values]
    return read


def pixelsnail(network, params, f, y):
    """Section 3: blocks of 2 x 2 as in PixelCNN++, then attention to (x, h, place) of the past.

    What element i reads begins with a start element, then comes what precedes i.
    """
    p = float64(params["params"])
    shape, inputs = network.shape, f.shape[-1]
    ends = [(np.arange(n) - (n - 1) / 2) / max(n - 1, 1) for n in shape]
    places = np.stack(np.meshgrid(*ends, indexing="ij"), -1).reshape(-1, len(shape))
    x = masked_conv(p["first"], f, 1, 1, 1, strict=True)
    nothing = np.append(np.zeros(inputs), 1.0)[None]
    values = np.concatenate([nothing, np.pad(f.reshape(-1, inputs), ((0, 0), (0, 1)))[:-1]])
    biases = np.split(dense(p["given"]["dense"], y), network.num_blocks * network.num_layers)
    for i in range(network.num_blocks):
        for j in range(network.num_layers):
            bias = biases[i * network.num_layers + j]
            x = gated_block(by_pixels, p[f"convs_{i}_{j}"], x, bias=bias)
        a, h = p[f"attentions_{i}"], x.reshape(len(places), -1)
        placed = np.concatenate([h, places], -1)
        before = np.concatenate([np.zeros_like(placed[:1]), placed[:-1]])
        told = gated_block(dense, a["tells"], np.concatenate([values, before], -1))
        asked = gated_block(dense, a["asks"], placed)
        read = attention(a["attention"], asked, told, network.num_heads)
        h = gated_block(dense, a["merge"], h, dense(a["read"], concat_elu(read)))
        x = h.reshape(x.shape)
    return dense(p["last"], elu(x))


# Heads --------------------------------------------------------------------------------------------


def categorical(raw, x):
    """log p of x: [...] under logits [..., K]."""
    return np.take_along_axis(log_softmax(raw, -1), x[..., None], -1).sum()


def coupled_logistics(raw, x, num_values, num_components):
    """PixelCNN++, section 2.2: log p of x: [H, W, G] under raw outputs [H, W, 1, P] of its pixels.

    One component for all colours; red moves the centre of green, and both that of blue. As `gm`
    starts them, centres are spread over (-1, 1), and scales are softplus around 1 / M.
    """
    colours = x.shape[-1]
    raw = raw.reshape(*x.shape[:2], -1, num_components)
    parts = [1, 1 + colours, 1 + 2 * colours]
    logits, loc, scale, coefficients = np.split(raw, parts, -2)
    loc = loc + (2 * np.arange(num_components) + 1) / num_components - 1
    scale = 1e-3 + np.logaddexp(0, scale + np.log(np.e - 1)) / num_components
    v, log_p, pair = 2 * x / (num_values - 1) - 1, log_softmax(logits[..., 0, :], -1), 0
    for g in range(colours):
        centre = loc[..., g, :]
        for h in range(g):
            centre = centre + np.tanh(coefficients[..., pair, :]) * v[..., h, None]
            pair += 1
        z = [(v[..., g, None] + s / (num_values - 1) - centre) / scale[..., g, :] for s in (-1, 1)]
        below = np.where(x[..., g, None] == 0, 0.0, expit(z[0]))
        above = np.where(x[..., g, None] == num_values - 1, 1.0, expit(z[1]))
        log_p = log_p + np.log(above - below)
    return logsumexp(log_p, -1).sum()
