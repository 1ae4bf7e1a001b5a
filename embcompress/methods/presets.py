"""Published names that are configurations of a method."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A published method and the command that gives it.

    Args:
        name: As published.
        command: The verb and options; INPUT and -o OUTPUT are left out.
        native: Whether the paper itself works after training.
        note: What differs from the paper, or what it is.
        source: The paper.
    """

    name: str
    command: str
    native: bool
    note: str
    source: str


PRESETS = (
    Preset(
        "two-stage binarization",
        "binarize --center mean --scale column",
        True,
        "signs about the column means, with the mean absolute deviation of each column as scale",
        "Zhou and Zha 2012, Learning binary codes for collaborative filtering; Zhang et al. 2014,"
        " Preference preserving hashing for efficient recommendation",
    ),
    Preset(
        "Guan uniform",
        "quantize --range greedy --bits 4",
        True,
        "the greedy range search; codes, scales and biases are PyTorch's, bit for bit",
        "Guan et al. 2019, Post-training 4-bit quantization on embedding tables, section 3",
    ),
    Preset(
        "Guan k-means",
        "kmeans --bits 4 --per row",
        True,
        "one codebook a row; the 1-D k-means is solved exactly",
        "Guan et al. 2019, section 4 (KMEANS)",
    ),
    Preset(
        "Guan k-means, grouped",
        "kmeans --bits 4 --per group",
        True,
        "similar rows share a codebook",
        "Guan et al. 2019, section 4 (KMEANS-CLS)",
    ),
    Preset(
        "ALPT",
        "quantize --range lsq --bits 4",
        False,
        "the paper learns the step in training; here the scale and bias are fitted to the table",
        "Li et al. 2023, Adaptive low-precision training for embeddings in CTR prediction",
    ),
    Preset(
        "Xu 16-bit",
        "cast --to fp16",
        False,
        "the paper trains in 16 bits; here the trained table is rounded",
        "Xu et al. 2021, Agile and accurate CTR prediction model training",
    ),
    Preset(
        "L2Q-GCN",
        "binarize --scale row",
        False,
        "the mean absolute value is the least-squares scale of sign codes; its training is left"
        " out",
        "Chen et al. 2021, Towards low-loss 1-bit quantization of user-item representations",
    ),
    Preset(
        "DCF",
        "binarize --rotate itq --center mean",
        False,
        "balanced, decorrelated codes by centring, PCA and ITQ; without training data DCF, DCMF"
        " and DPR cannot be told apart",
        "Zhang et al. 2016, Discrete collaborative filtering",
    ),
    Preset(
        "DCMF",
        "binarize --rotate itq --center mean",
        False,
        "as DCF: without training data DCF, DCMF and DPR cannot be told apart",
        "Lian et al. 2017, Discrete content-aware matrix factorization",
    ),
    Preset(
        "DPR",
        "binarize --rotate itq --center mean",
        False,
        "as DCF: without training data DCF, DCMF and DPR cannot be told apart",
        "Zhang et al. 2017, Discrete personalized ranking for fast collaborative filtering",
    ),
    Preset(
        "DFM",
        "binarize --rotate itq --center mean --per-field --fields FILE",
        False,
        "one rotation a field",
        "Liu et al. 2018, Discrete factorization machines for fast feature-based recommendation",
    ),
    Preset(
        "HashGNN",
        "binarize --scale row --keep-hot 0.1 --hot-as fp32 --frequencies FILE",
        False,
        "hot rows dense, cold rows by sign: our tiered reading of its partly binarized rows; its"
        " random mixing exists in training only",
        "Tan et al. 2020, Learning to hash with graph neural networks for recommender systems",
    ),
    Preset(
        "OPQ",
        "pq --rotate opq",
        True,
        "begins at principal axes dealt out to the segments, alternates codebooks and rotation",
        "Ge et al. 2013, Optimized product quantization",
    ),
    Preset(
        "LSQ",
        "aq --search lsq --codebooks 8 --bits 8",
        True,
        "faiss's residual books, refitted jointly with codes improved by local search",
        "Martinez et al. 2016, Revisiting additive quantization; 2018, LSQ++",
    ),
    Preset(
        "MGQE",
        'mgqe --groups "0.1:256,64" --frequencies FILE',
        False,
        "the paper trains the shared codebooks with the model; here nested k-means fits them",
        "Kang et al. 2020, Learning multi-granular quantized embeddings for large-vocab categorical"
        " features in recommender systems",
    ),
    Preset(
        "xLightFM",
        "xlightfm --budget 8x --fields FILE",
        False,
        "the paper searches the codewords of each field in training; here they are chosen by error"
        " drop per byte, which no search can better, since errors add up over fields",
        "Jiang et al. 2021, xLightFM: extremely memory-efficient factorization machine",
    ),
    Preset(
        "CIGAR",
        "binarize --scale row",
        False,
        "candidates by Hamming distance, ranked again with exact rows: search the output with"
        " neighbors OUTPUT --queries FILE --metric hamming --rerank INPUT; its annealed tanh exists"
        " in training only",
        "Kang and McAuley 2019, Candidate generation with binary codes for large-scale top-N"
        " recommendation",
    ),
    Preset(
        "Yang mixed precision",
        "quantize --bits 4 --keep-hot 0.05 --hot-as fp32 --frequencies FILE",
        False,
        "the paper's high-precision cache becomes a tier of the most frequent rows",
        "Yang et al. 2020, Mixed-precision embedding using a cache",
    ),
    Preset(
        "naive hash",
        "hash --scheme naive --budget 10x",
        False,
        "the hashing trick: the paper learns through collisions; here the rows of a bucket become"
        " their mean",
        "Weinberger et al. 2009, Feature hashing for large scale multitask learning",
    ),
    Preset(
        "QR",
        "hash --scheme qr --budget 10x",
        False,
        "quotient-remainder trick: two tables fitted to the trained one by least squares; --combine"
        " product for its element-wise product",
        "Shi et al. 2020, Compositional embeddings using complementary partitions for"
        " memory-efficient recommendation systems",
    ),
    Preset(
        "MEmCom",
        "hash --scheme memcom --budget 10x",
        False,
        "a shared row times a number of each row: the best rank-one fit of every bucket",
        "Pansare et al. 2022, Learning compressed embeddings for on-device inference",
    ),
    Preset(
        "BCH",
        "hash --scheme bch --budget 10x",
        False,
        "binary code hashing of row numbers, not of 64-bit feature ids, whose high bits are"
        " constant here; one table, groups of neighbouring bits, least squares",
        "Yan et al. 2021, Binary code based hash embedding for web-scale applications",
    ),
    Preset(
        "FDH",
        "hash --scheme qr --keep-hot 0.05 --hot-as fp32 --frequencies FILE",
        False,
        "hot rows dense, the others hashed twice by their original numbers",
        "Zhang et al. 2020, Model size reduction using frequency based double hashing for"
        " recommender systems",
    ),
    Preset(
        "ROBE",
        "hash --scheme robe --budget 10x",
        False,
        "blocks of 16 columns in one circular memory; slots are means in place of what training"
        " makes of them; --sign for hashed signs",
        "Desai et al. 2022, Random offset block embedding (ROBE) for compressed embedding tables in"
        " deep learning recommendation systems",
    ),
    Preset(
        "LMA",
        "hash --scheme lma --budget 10x",
        False,
        "the signature is of the trained row and is stored and counted; the paper takes it from"
        " co-occurrence data",
        "Desai et al. 2021, Semantically constrained memory allocation (SCMA) for embedding in"
        " efficient recommendation systems",
    ),
    Preset(
        "ANT",
        "ant --anchors 1024 --nonzeros 4",
        False,
        "the paper learns anchors and sparse transformations together in training; here they are"
        " fitted in turn to the trained table",
        "Liang et al. 2021, Anchor & Transform: learning sparse embeddings for large vocabularies",
    ),
    Preset(
        "DHE",
        "hash --scheme dhe --hidden 1024",
        False,
        "the network's shape without its training: one fixed random layer, and an output layer by"
        " least squares",
        "Kang et al. 2021, Learning to embed categorical features without embedding tables for"
        " recommendation",
    ),
    Preset(
        "DeepLight",
        "prune --scope global --keep 0.1",
        False,
        "one threshold over the magnitudes of all tables; the paper prunes step by step while it"
        " trains, so that what is left makes up for the loss",
        "Deng et al. 2021, DeepLight: deep lightweight feature interactions for accelerating CTR"
        " predictions in ad serving",
    ),
    Preset(
        "PEP",
        "prune --scope row --keep 0.25",
        False,
        "the paper learns thresholds; here the magnitudes of each row (--scope column, --scope"
        " global) compete for places; --soft shrinks as its code does and only adds error here",
        "Liu et al. 2021, Learnable embedding sizes for recommender systems",
    ),
    Preset(
        "DNIS",
        "prune --scope group --keep 0.25 --frequencies FILE",
        False,
        "the paper learns soft masks of columns by frequency group; here the columns of least"
        " energy a value are dropped",
        "Cheng et al. 2020, Differentiable neural input search for recommender systems",
    ),
    Preset(
        "OptEmbed",
        "prune --rows --keep 0.5 --frequencies FILE",
        False,
        "rows dropped by frequency times norm where the paper learns thresholds of norms; dropped"
        " rows decode to the mean of those of their field",
        "Lyu et al. 2022, OptEmbed: learning optimal embedding table for click-through rate"
        " prediction",
    ),
    Preset(
        "MDE",
        "mixdim --by field --rule power --alpha 0.3 --fields FILE",
        False,
        "dimensions by the paper's power of field size, alpha as given or found for a --budget; the"
        " paper trains projections, here each field is projected on its own strongest axes",
        "Ginart et al. 2021, Mixed dimension embeddings with application to memory-efficient"
        " recommendation systems",
    ),
    Preset(
        "CpRec",
        "mixdim --by frequency --rule power --alpha 0.5 --frequencies FILE",
        False,
        "groups by frequency with falling dimensions, each on its own axes; sharing weights"
        " between layers concerns the model, not the table",
        "Sun et al. 2020, A generic network compression framework for sequential recommender"
        " systems",
    ),
    Preset(
        "AutoDim",
        "mixdim --by field --rule budget --dims 2,4,8,16,32 --budget 8x --fields FILE",
        False,
        "one dimension a field out of a set, by knapsack on weighted error per byte instead"
        " of a trained search",
        "Zhao et al. 2021, AutoDim: field-aware embedding dimension search in recommender systems",
    ),
    Preset(
        "AutoIAS",
        "mixdim --by field --rule budget --dims 0,4,8,16,32 --budget 8x --fields FILE",
        False,
        "the table's share of the paper's search: dimensions by field; its search over layers"
        " concerns the model",
        "Wei et al. 2021, AutoIAS: automatic integrated architecture searcher for click-"
        " through rate prediction",
    ),
    Preset(
        "ESAPN",
        "mixdim --by frequency --rule monotone --dims 2,4,8,16,32 --budget 8x --frequencies FILE",
        False,
        "the paper's agents only ever enlarge a row's dimension as its frequency grows; here"
        " dimensions never fall with frequency, the best ones by dynamic programming",
        "Liu et al. 2020, Automated embedding size search in deep recommender systems",
    ),
    Preset(
        "AutoEmb",
        "mixdim --by frequency --rule monotone --dims 2,8,32 --budget 8x --frequencies FILE",
        False,
        "as ESAPN with the paper's few sizes; its soft weighting of sizes exists in training only",
        "Zhao et al. 2021, AutoEmb: automated embedding dimensionality search in streaming"
        " recommendations",
    ),
    Preset(
        "AMTL",
        "mixdim --by frequency --rule monotone --projection columns --budget 8x --frequencies FILE",
        False,
        "the paper's mask keeps a row's first columns, more of them for frequent rows; here"
        " the strongest columns of each group by frequency",
        "Yan et al. 2021, Learning effective and efficient embedding via an adaptively-masked"
        " twins-based layer",
    ),
    Preset(
        "NIS",
        "mixdim --by frequency --rule budget --projection columns --block 8 --budget 8x"
        " --frequencies FILE",
        False,
        "blocks of columns kept for each group by frequency, by knapsack: reconstruction"
        " error adds up over blocks, so that no search finds better; the paper's controller"
        " judges by training",
        "Joglekar et al. 2020, Neural input search for large scale recommendation models",
    ),
    Preset(
        "RULE",
        "mixdim --by frequency --rule budget --projection columns --block 10 --budget 8x"
        " --frequencies FILE",
        False,
        "the paper searches blocks by evolution with a trained estimator; the knapsack of"
        " reconstruction error leaves nothing to search for",
        "Chen et al. 2021, Learning elastic embeddings for customizing on-device recommenders",
    ),
    Preset(
        "OptEmbed field masks",
        "mixdim --by field --rule budget --projection columns --budget 8x --fields FILE",
        False,
        "columns kept by field, by knapsack instead of the paper's evolutionary search",
        "Lyu et al. 2022, OptEmbed: learning optimal embedding table for click-through rate"
        " prediction",
    ),
    Preset(
        "LightRec",
        "aq --codebooks 8 --bits 8",
        False,
        "the paper learns codes and codebooks in training; here they are fitted to the trained"
        " table",
        "Lian et al. 2020, LightRec: a memory and search-efficient recommender system",
    ),
    Preset(
        "LISA",
        "aq --codebooks 8 --bits 8",
        False,
        "as LightRec; inner products of two rows are sums over tables of codeword products, made"
        " when first asked for",
        "Wu et al. 2021, Linear-time self attention with codeword histogram for efficient"
        " recommendation",
    ),
    Preset(
        "MLET",
        "svd --rank-share 0.25",
        False,
        "the paper trains a table as a product of two and multiplies it out afterwards: there is"
        " no stored form of its own, and the nearest is the product of lower rank",
        "Deng et al. 2023, Enhancing cross-category learning in recommendation systems with"
        " multi-layer embedding training",
    ),
    Preset(
        "TT-Rec",
        "tt --rank 16",
        False,
        "the paper trains the cores; here they are fitted to a trained table, which needs its rows"
        " in a good order (--order cluster) to lose less",
        "Yin et al. 2021, TT-Rec: Tensor train compression for deep learning recommendation models",
    ),
    Preset(
        "LLRec",
        "tt --rank 16",
        False,
        "as TT-Rec; the paper trains the cores by distillation from a larger model",
        "Wang et al. 2020, Next point-of-interest recommendation on resource-constrained mobile"
        " devices",
    ),
    Preset(
        "STTD",
        "tt --rank 16 --columns first",
        False,
        "A ⋉ B = A(B ⊗ I_t) hands a factor t of the columns through to the first core, here all of"
        " them; --shape moves any other factor; the paper trains the cores",
        "Xia et al. 2022, On-device next-item recommendation with self-supervised knowledge"
        " distillation",
    ),
    Preset(
        "entropy-constrained trellis-coded quantization",
        "limit --states 8",
        True,
        "with a range coder, and records of exact length so that rows are found",
        "Fischer and Wang 1992, Entropy-constrained trellis-coded quantization",
    ),
    Preset(
        "entropy-constrained scalar quantization",
        "limit --states 1",
        True,
        "one uniform step on principal axes, range-coded",
        "Farvardin and Modestino 1984, Optimum quantizer performance for a class of non-Gaussian"
        " memoryless sources",
    ),
)
