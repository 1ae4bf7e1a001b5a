"""Writes a checkpoint of two ranks with torch's own writer; run as a script: dcp.py FOLDER."""

from __future__ import annotations

import os
import sys

RANKS = 2


def tensors():
    """What is saved: a table in uneven row shards, a dense layer on every rank, a scalar."""
    import torch

    make = torch.Generator().manual_seed(3)
    return {
        "user_embedding.weight": torch.randn(1001, 6, generator=make, dtype=torch.float32),
        "item_embedding.weight": torch.randn(33, 4, generator=make).to(torch.bfloat16),
        "tower.weight": torch.randn(5, 7, generator=make),
        "step": torch.tensor(7),
    }


def save(rank: int, folder: str) -> None:
    import torch.distributed as dist
    import torch.distributed.checkpoint as dcp
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    dist.init_process_group(
        "gloo", init_method=f"file://{folder}.rendezvous", rank=rank, world_size=RANKS
    )
    mesh = init_device_mesh("cpu", (RANKS,))
    state = {
        name: distribute_tensor(tensor, mesh, [Shard(0) if "embedding" in name else Replicate()])
        for name, tensor in tensors().items()
    }
    writer = dcp.HuggingFaceStorageWriter(folder, save_distributed=True)
    dcp.save(state, storage_writer=writer)
    dist.destroy_process_group()


if __name__ == "__main__":
    import torch.multiprocessing as multiprocessing

    os.environ["OMP_NUM_THREADS"] = "1"
    multiprocessing.spawn(save, (sys.argv[1],), nprocs=RANKS)
