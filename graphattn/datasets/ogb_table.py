"""The node data sets of the Open Graph Benchmark: what is known of each before a byte is read.

Source: Hu et al. 2020, https://arxiv.org/abs/2005.00687, and https://ogb.stanford.edu/docs/nodeprop.
"""

from dataclasses import dataclass

_PLACE = "https://snap.stanford.edu/ogb/data/nodeproppred"


@dataclass(frozen=True)
class OgbSpec:
    """What OGB says of one data set.

    Attributes:
        name: As OGB and `--data.name` write it.
        archive: The archive's name, which is also that of the folder in it.
        gigabytes: Of the archive, about.
        version: Of the data, as the file `RELEASE_v<version>.txt` in its folder says.
        metric: "acc" or "rocauc".
        split: Name of the standard split.
        num_tasks: Labels a node.
        num_classes: Of each label.
        num_nodes: Nodes; of mag papers.
        num_edges: Lines of edges; of mag citations.
        channels: Features a node; of proteins those of an edge.
        parts: Nodes of the standard split: train, validation, test.
        inverse: Whether each line stands for an edge and its reverse.
        binary: Whether the files are .npz rather than .csv.gz.
        licence: Of the data.
        extra: A further file with a number a node, if there is one.

    Example:
        >>> OGB["ogbn-arxiv"].folder, OGB["ogbn-arxiv"].url
        ('ogbn_arxiv', 'https://snap.stanford.edu/ogb/data/nodeproppred/arxiv.zip')
    """

    name: str
    archive: str
    gigabytes: float
    metric: str
    split: str
    num_tasks: int
    num_classes: int
    num_nodes: int
    num_edges: int
    channels: int
    parts: tuple[int, int, int]
    licence: str
    version: int = 1
    inverse: bool = False
    binary: bool = False
    extra: str | None = None

    @property
    def folder(self) -> str:
        """The name of its folder under a root, as `ogb` chooses it."""
        return self.name.replace("-", "_")

    @property
    def url(self) -> str:
        """Where the archive lies."""
        return f"{_PLACE}/{self.archive}.zip"


OGB = {
    spec.name: spec
    for spec in (
        OgbSpec(
            name="ogbn-arxiv",
            archive="arxiv",
            gigabytes=0.08,
            metric="acc",
            split="time",
            num_tasks=1,
            num_classes=40,
            num_nodes=169_343,
            num_edges=1_166_243,
            channels=128,
            parts=(90_941, 29_799, 48_603),
            licence="ODC-BY",
            extra="node_year",
        ),
        OgbSpec(
            name="ogbn-products",
            archive="products",
            gigabytes=1.38,
            metric="acc",
            split="sales_ranking",
            num_tasks=1,
            num_classes=47,
            num_nodes=2_449_029,
            num_edges=61_859_140,
            channels=100,
            parts=(196_615, 39_323, 2_213_091),
            licence="Amazon licence",
            inverse=True,
        ),
        OgbSpec(
            name="ogbn-papers100M",
            archive="papers100M-bin",
            gigabytes=56.17,
            metric="acc",
            split="time",
            num_tasks=1,
            num_classes=172,
            num_nodes=111_059_956,
            num_edges=1_615_685_872,
            channels=128,
            parts=(1_207_179, 125_265, 214_338),
            licence="ODC-BY",
            binary=True,
            extra="node_year",
        ),
        OgbSpec(
            name="ogbn-proteins",
            archive="proteins",
            gigabytes=0.21,
            metric="rocauc",
            split="species",
            num_tasks=112,
            num_classes=2,
            num_nodes=132_534,
            num_edges=39_561_252,
            channels=8,
            parts=(86_619, 21_236, 24_679),
            licence="CC-0",
            inverse=True,
            extra="node_species",
        ),
        OgbSpec(
            name="ogbn-mag",
            archive="mag",
            gigabytes=0.4,
            metric="acc",
            split="time",
            num_tasks=1,
            num_classes=349,
            num_nodes=736_389,
            num_edges=5_416_271,
            channels=128,
            parts=(629_571, 64_879, 41_939),
            licence="ODC-BY",
            version=2,
            extra="node_year",
        ),
    )
}

MAG_NODES = {
    "author": 1_134_649,
    "field_of_study": 59_965,
    "institution": 8_740,
    "paper": 736_389,
}
MAG_EDGES = {
    ("author", "affiliated_with", "institution"): 1_043_998,
    ("author", "writes", "paper"): 7_145_660,
    ("paper", "cites", "paper"): 5_416_271,
    ("paper", "has_topic", "field_of_study"): 7_505_078,
}
