"""Short names of the data sets that are read from raw files; imports neither torch nor PyG."""

from graphattn.names import Named

_OGB = ("ogbn-arxiv", "ogbn-products", "ogbn-papers100M", "ogbn-proteins", "ogbn-mag")
_ENDS = ("", "-plain")
_PUBLIC = (
    "snap-patents",
    "pokec",
    "heterophilous-roman-empire",
    "heterophilous-amazon-ratings",
    "heterophilous-minesweeper",
    "heterophilous-tolokers",
    "heterophilous-questions",
    "planetoid-cora",
    "planetoid-citeseer",
    "planetoid-pubmed",
    "shchur-amazon-computers",
    "shchur-amazon-photo",
    "shchur-coauthor-cs",
    "shchur-coauthor-physics",
    *(f"city-networks-{c}{end}" for c in ("paris", "shanghai", "la", "london") for end in _ENDS),
)
RAW_DATASETS = {
    **{name: Named("graphattn.datasets.ogb.load_ogb", {"name": name}) for name in _OGB},
    **{name: Named("graphattn.datasets.public.load_public", {"name": name}) for name in _PUBLIC},
}
