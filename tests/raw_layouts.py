"""Small graphs in the raw layouts of public data sets, as their authors' programs write them."""

import collections
import io
import pickle
import struct

import numpy as np
from scipy.io import savemat
from scipy.sparse import csc_matrix, csr_matrix


def patents(folder, *, name="snap_patents", compressed=True, **changes):
    """LINKX's snap_patents.mat: 40 nodes, sparse features by column, years from 1970 on."""
    draw = np.random.default_rng(0)
    x = draw.integers(0, 3, (40, 6)) * (draw.random((40, 6)) < 0.4)
    parts = {
        "edge_index": draw.integers(0, 40, (2, 150)),
        "num_nodes": 40,
        "node_feat": csc_matrix(x.astype(np.float64)),
        "years": draw.integers(1970, 2000, (1, 40)),
    } | changes
    folder.mkdir(parents=True, exist_ok=True)
    kept = {key: value for key, value in parts.items() if value is not None}
    savemat(folder / f"{name}.mat", kept, do_compression=compressed)
    return parts


def pokec(folder, **changes):
    """LINKX's pokec.mat: 30 nodes, dense features, labels of which some are -1."""
    draw = np.random.default_rng(1)
    parts = {
        "edge_index": draw.integers(0, 30, (2, 90)).astype(np.float64),
        "node_feat": draw.normal(size=(30, 5)),
        "label": draw.integers(-1, 2, (1, 30)),
    } | changes
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / "pokec.mat", {k: v for k, v in parts.items() if v is not None})
    return parts


def heterophilous(path, num_classes=2, **changes):
    """Platonov's .npz: 24 nodes, pairs once, ten splits of 12/6/6."""
    draw = np.random.default_rng(2)
    pairs = np.array([(i, j) for i in range(24) for j in range(i + 1, 24)])
    masks = np.zeros((3, 10, 24), bool)
    for number in range(10):
        order = draw.permutation(24)
        for part, ids in enumerate(np.split(order, [12, 18])):
            masks[part, number, ids] = True
    parts = {
        "node_features": draw.normal(size=(24, 4)).astype(np.float32),
        "node_labels": draw.integers(0, num_classes, 24),
        "edges": draw.permutation(pairs)[:50],
        "train_masks": masks[0],
        "val_masks": masks[1],
        "test_masks": masks[2],
    } | changes
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **{k: v for k, v in parts.items() if v is not None})
    return parts


def shchur(path, num_classes=8, **changes):
    """Shchur's .npz: 50 nodes, a directed adjacency with self-loops, names as Python objects."""
    draw = np.random.default_rng(3)
    adj = csr_matrix((draw.random((50, 50)) < 0.06).astype(np.float32))
    attr = csr_matrix((draw.random((50, 9)) < 0.3) * draw.integers(1, 4, (50, 9)), dtype=np.float32)
    parts = {
        "labels": draw.integers(0, num_classes, 50),
        "class_names": np.array([f"c{i}" for i in range(num_classes)], dtype=object),
    }
    for key, matrix in (("adj", adj), ("attr", attr)):
        parts |= {
            f"{key}_data": matrix.data,
            f"{key}_indices": matrix.indices,
            f"{key}_indptr": matrix.indptr,
            f"{key}_shape": np.array(matrix.shape),
        }
    parts |= changes
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{key: value for key, value in parts.items() if value is not None})
    return parts


def planetoid_parts(num_classes=7, left_out=()):
    """What Planetoid's eight files hold: 620 nodes of allx, 14 to train on, 30 to test on."""
    draw = np.random.default_rng(4)
    known, channels = 620, 12
    rows = (draw.random((known + 30, channels)) < 0.2).astype(np.float32)
    y = np.arange(known + 30) % num_classes
    hot = np.eye(num_classes, dtype=np.int32)[y]
    span = [node for node in range(known, known + 30 + len(left_out)) if node not in left_out]
    test = draw.permutation(span)
    count = known + 30 + len(left_out)
    ends = draw.integers(0, count, (2, 900))
    ends = ends[:, ~np.isin(ends, left_out).any(axis=0)]
    graph = collections.defaultdict(list)
    for node in range(count):
        graph[node] = []
    for one, other in ends.T.tolist():  # some twice, some to themselves
        graph[one].append(other)
        graph[other].append(one)
    num_train = 2 * num_classes
    return {
        "x": csr_matrix(rows[:num_train]),
        "y": hot[:num_train],
        "allx": csr_matrix(rows[:known]),
        "ally": hot[:known],
        "tx": csr_matrix(rows[known:]),
        "ty": hot[known:],
        "graph": graph,
        "test.index": test,
    }


def planetoid(folder, name, parts, dump=None):
    """Writes the eight files; `dump` is `python2` or of pickle's form."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, value in parts.items():
        path = folder / f"ind.{name}.{part}"
        if part == "test.index":
            path.write_text("".join(f"{node}\n" for node in value))
        else:
            path.write_bytes((dump or python2)(value))


def python2(value):
    """A pickle as Python 2 wrote it in protocol 2: byte strings, and modules under old names."""
    out = io.BytesIO()
    out.write(b"\x80\x02")
    _write(out, value)
    out.write(b".")
    return out.getvalue()


def _write(out, value):
    if isinstance(value, csr_matrix):
        out.write(b"ccopy_reg\n_reconstructor\n(cscipy.sparse.csr\ncsr_matrix\n")
        out.write(b"c__builtin__\nobject\nNtR")
        parts = {"_shape": value.shape, "maxprint": 50, "data": value.data}
        _write(out, parts | {"indices": value.indices, "indptr": value.indptr})
        out.write(b"b")
    elif isinstance(value, np.ndarray):
        out.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85")
        out.write(b"U\x01b\x87R(K\x01")
        _write(out, tuple(int(size) for size in value.shape))
        out.write(b"cnumpy\ndtype\nU\x02" + value.dtype.str[1:].encode() + b"K\x00K\x01\x87R")
        out.write(b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
        raw = value.astype(value.dtype.newbyteorder("<")).tobytes()
        out.write(b"T" + struct.pack("<I", len(raw)) + raw + b"tb")
    elif isinstance(value, collections.defaultdict):
        out.write(b"ccollections\ndefaultdict\nc__builtin__\nlist\n\x85Rq\x01(")
        for key, items in value.items():
            _write(out, key)
            _write(out, items)
        out.write(b"u")
    elif isinstance(value, dict):
        out.write(b"}(")
        for key, item in value.items():
            out.write(b"U" + bytes([len(key)]) + key.encode())
            _write(out, item)
        out.write(b"u")
    elif isinstance(value, list):
        out.write(b"](")
        for item in value:
            _write(out, item)
        out.write(b"e")
    elif isinstance(value, tuple):
        out.write(b"(")
        for item in value:
            _write(out, item)
        out.write(b"t")
    else:
        out.write(b"J" + struct.pack("<i", int(value)))


def protocol(number):
    """Returns a function that pickles as Python 3 does."""
    return lambda value: pickle.dumps(value, protocol=number)
