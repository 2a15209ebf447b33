"""The short names that stand for models, samplers and data sets in a config; without torch."""

from graphattn.names import Named
from graphattn.raw_datasets import RAW_DATASETS

MODELS = {
    "largegt": Named("graphattn.models.largegt.LargeGT"),
    "mlp": Named("graphattn.models.mlp.MLP"),
    "gcn": Named("graphattn.models.gnn.GNN", {"conv": "gcn"}),
    "sage": Named("graphattn.models.gnn.GNN", {"conv": "sage"}),
    "gat": Named("graphattn.models.gnn.GNN", {"conv": "gat"}),
    "gcnii": Named("graphattn.models.gcnii.GCNII"),
    "sgformer": Named("graphattn.models.sgformer.SGFormer"),
    "gin_transformer": Named("graphattn.models.gin_transformer.GINTransformer"),
    "polynormer": Named("graphattn.models.polynormer.Polynormer"),
    "hypergraph_transformer": Named(
        "graphattn.models.hypergraph_transformer.HypergraphTransformer"
    ),
    "allset_transformer": Named("graphattn.models.allset_transformer.AllSetTransformer"),
    "edhnn": Named("graphattn.models.edhnn.EDHNN"),
    "hcha": Named("graphattn.models.hcha.HCHA"),
    "meta_hgnie": Named("graphattn.models.meta_hgnie.MetaHGNIE"),
}
SAMPLERS = {
    "bottom_k": Named("graphattn.sampling.bottom_k.BottomKSampler"),
    "neighborhood": Named("graphattn.ops.neighborhood.sample_neighborhood"),
    "walk": Named("graphattn.sampling.walk_neighborhood.walk_neighborhood"),
}
DATASETS = {
    "digits": Named("graphattn.datasets.bundled.digits"),
    "karate": Named("graphattn.datasets.bundled.karate"),
    "sbm": Named(
        "graphattn.datasets.synthetic.stochastic_block_model",
        {"sizes": [300, 300, 300], "p_in": 0.03, "p_out": 0.005},
    ),
    "ring": Named("graphattn.datasets.synthetic.ring", {"num_nodes": 300}),
    "grid": Named("graphattn.datasets.synthetic.grid", {"height": 20, "width": 20}),
    "barbell": Named("graphattn.datasets.synthetic.barbell", {"clique_size": 20, "path_length": 9}),
    "road": Named("graphattn.datasets.road.road"),
    "music10k_nie": Named(
        "graphattn.datasets.node_importance.node_importance", {"name": "music10k_nie"}
    ),
    "fb15k237_nie": Named(
        "graphattn.datasets.node_importance.node_importance", {"name": "fb15k237_nie"}
    ),
    "southern_women": Named("graphattn.datasets.hypergraphs.southern_women"),
    **RAW_DATASETS,
}
