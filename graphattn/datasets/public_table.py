"""What is known of the public data sets that are read from the raw files of their authors."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublicSpec:
    """A public data set.

    Attributes:
        name: As `--data.name` takes it.
        family: Whose raw format it is in: "linkx", "heterophilous", "planetoid", "shchur" or
            "city_networks".
        files: Its raw files.
        num_classes: Classes.
        source: The publication, and where the files come from.
        licence: Of the data.
        split: The rule of its splits, in words.
        places: Folders under a root where the files may lie too, as PyG lays them out.
        metric: What it is judged by.
        both_ways: Whether a line of edges stands for an edge and its reverse.
        address: Folder on the web that holds the files, if it can be fetched.

    Example:
        >>> PUBLIC["pokec"].folder, PUBLIC["pokec"].files
        ('pokec', ('pokec.mat',))
    """

    name: str
    family: str
    files: tuple[str, ...]
    num_classes: int
    source: str
    licence: str
    split: str
    places: tuple[str, ...] = ()
    metric: str = "accuracy"
    both_ways: bool = True
    address: str | None = None

    @property
    def folder(self) -> str:
        """The name of its folder under a root; the files lie in `raw` there."""
        return self.name.replace("-", "_")

    @property
    def own_splits(self) -> str:
        """The name of a file beside the raw ones that replaces the splits, where it is."""
        return f"{self.name}-splits.npy"

    @property
    def urls(self) -> dict[str, str]:
        """Where each file can be fetched."""
        return {file: f"{self.address}/{file}" for file in self.files if self.address}


_LIM = (
    "Lim et al. 2021, https://arxiv.org/abs/2110.14446; "
    "https://github.com/CUAI/Non-Homophily-Large-Scale"
)
_CITY_NETWORKS = "https://github.com/LeonResearch/City-Networks"
_PLATONOV = "https://github.com/yandex-research/heterophilous-graphs"
_PLANETOID = "https://github.com/kimiyoung/planetoid"
_SHCHUR = "https://github.com/shchur/gnn-benchmark"


def _linkx(name: str, num_classes: int, origin: str) -> PublicSpec:
    return PublicSpec(
        name=name,
        family="linkx",
        files=(f"{name.replace('-', '_')}.mat",),
        num_classes=num_classes,
        source=f"{_LIM}; {origin}",
        licence="SNAP collection (cite Leskovec and Krevl 2014); MIT (repository)",
        split="5 random 50/25/25 of the labelled nodes, seeds 0 to 4",
        both_ways=False,
    )


def _heterophilous(name: str, num_classes: int) -> PublicSpec:
    place = name.replace("-", "_")
    return PublicSpec(
        name=f"heterophilous-{name}",
        family="heterophilous",
        files=(f"{place}.npz",),
        num_classes=num_classes,
        source=f"Platonov et al. 2023, https://arxiv.org/abs/2302.11640; {_PLATONOV}",
        licence="MIT (repository)",
        split="10 official 50/25/25",
        places=(f"{place}/raw",),
        metric="rocauc" if num_classes == 2 else "accuracy",
        address=f"{_PLATONOV}/raw/main/data",
    )


def _planetoid(name: str, num_classes: int, titled: str) -> PublicSpec:
    parts = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
    return PublicSpec(
        name=f"planetoid-{name}",
        family="planetoid",
        files=tuple(f"ind.{name}.{part}" for part in parts),
        num_classes=num_classes,
        source=f"Yang et al. 2016, https://arxiv.org/abs/1603.08861; {_PLANETOID}",
        licence="MIT (repository); data after Sen et al. 2008 (LINQS)",
        split="public: 20 a class, 500, 1,000",
        places=(f"{titled}/raw", f"{name}/raw"),
        both_ways=False,
        address=f"{_PLANETOID}/raw/master/data",
    )


def _shchur(name: str, file: str, num_classes: int, place: str) -> PublicSpec:
    return PublicSpec(
        name=f"shchur-{name}",
        family="shchur",
        files=(file,),
        num_classes=num_classes,
        source=f"Shchur et al. 2018, https://arxiv.org/abs/1811.05868; {_SHCHUR}",
        licence="MIT (repository)",
        split="10 random 60/20/20, seeds 0 to 9",
        places=(f"{place}/raw",),
        address=f"{_SHCHUR}/raw/master/data/npz",
    )


def _city(city: str, plain: bool) -> PublicSpec:
    return PublicSpec(
        name=f"city-networks-{city}{'-plain' if plain else ''}",
        family="city_networks",
        files=(f"{city}.tar.gz",),
        num_classes=10,
        source=f"Liang et al. 2025, https://arxiv.org/abs/2503.09008; {_CITY_NETWORKS}",
        licence="OpenStreetMap contributors, ODbL 1.0; the repository has no licence file",
        split="official 10/10/80",
        places=(f"city_networks_{city}/raw", f"{city}/raw"),
        both_ways=False,
        address=f"{_CITY_NETWORKS}/raw/refs/heads/main/data",
    )


CITIES = ("paris", "shanghai", "la", "london")
PUBLIC = {
    spec.name: spec
    for spec in (
        _linkx("snap-patents", 5, "patents after https://snap.stanford.edu/data/cit-Patents.html"),
        _linkx("pokec", 2, "users after https://snap.stanford.edu/data/soc-Pokec.html"),
        _heterophilous("roman-empire", 18),
        _heterophilous("amazon-ratings", 5),
        _heterophilous("minesweeper", 2),
        _heterophilous("tolokers", 2),
        _heterophilous("questions", 2),
        _planetoid("cora", 7, "Cora"),
        _planetoid("citeseer", 6, "CiteSeer"),
        _planetoid("pubmed", 3, "PubMed"),
        _shchur("amazon-computers", "amazon_electronics_computers.npz", 10, "Computers"),
        _shchur("amazon-photo", "amazon_electronics_photo.npz", 8, "Photo"),
        _shchur("coauthor-cs", "ms_academic_cs.npz", 15, "Cs"),
        _shchur("coauthor-physics", "ms_academic_phy.npz", 5, "Physics"),
        *(_city(city, plain) for city in CITIES for plain in (False, True)),
    )
}
