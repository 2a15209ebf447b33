"""Where the parts of an OGB data set lie, under its folder."""

from typing import NamedTuple

from graphattn.datasets.ogb_table import OgbSpec

PARTS = ("train", "valid", "test")
Triplet = tuple[str, str, str]
CITES: Triplet = ("paper", "cites", "paper")


class Files(NamedTuple):
    """Where the parts of a data set lie, relative to its folder.

    Attributes:
        edges: Lines of source and target, or the archive of everything.
        num_nodes: Their count.
        num_edges: Their count.
        features: Of nodes; of proteins, of edges.
        labels: A line a node.
        extra: A further number a node.
        split: Folder of the standard split.

    Example:
        >>> from graphattn.datasets.ogb_table import OGB
        >>> Files.of(OGB["ogbn-arxiv"]).split
        'split/time'
    """

    edges: str
    num_nodes: str
    num_edges: str
    features: str
    labels: str
    extra: str
    split: str

    @classmethod
    def of(cls, spec: OgbSpec) -> "Files":
        """Return the places of a data set's parts."""
        if spec.binary:
            data = "raw/data.npz"
            return cls(data, data, data, data, "raw/node-label.npz", data, f"split/{spec.split}")
        relation, node, label, split = "raw", "raw", "raw", f"split/{spec.split}"
        nodes = "raw/num-node-list.csv.gz"
        if spec.name == "ogbn-mag":
            relation, node = relation_folder(CITES), "raw/node-feat/paper"
            label, split, nodes = (
                "raw/node-label/paper",
                f"{split}/paper",
                "raw/num-node-dict.csv.gz",
            )
        features = "raw/edge-feat.csv.gz" if spec.num_tasks > 1 else f"{node}/node-feat.csv.gz"
        return cls(
            f"{relation}/edge.csv.gz",
            nodes,
            f"{relation}/num-edge-list.csv.gz",
            features,
            f"{label}/node-label.csv.gz",
            f"{node}/{spec.extra}.csv.gz",
            split,
        )


def relation_folder(triplet: Triplet) -> str:
    """Return where a relation of mag lies.

    Args:
        triplet: Types of source, relation and target.

    Example:
        >>> relation_folder(("paper", "cites", "paper"))
        'raw/relations/paper___cites___paper'
    """
    return f"raw/relations/{'___'.join(triplet)}"
