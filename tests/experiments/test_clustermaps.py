"""Cluster maps of experiments: what is kept, when it is made again, and that the steps are the segmenter's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylemixseg._util.paths import CacheWarning
from stylemixseg.experiments import clustermaps
from stylemixseg.experiments.clustermaps import cluster_maps, make_cluster_maps, map_key, query_latent
from stylemixseg.experiments.profile import load_profile
from stylemixseg.foreground import CornerMinority
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.mixing import query_image
from stylemixseg.segmenter import StyleMixSegmenter

PROFILE = load_profile("smoke").changed(
    method={"n": 4, "resolution": 32},
    queries={"first": 0, "count": 10},
    table4={"queries": 7, "ks": (2, 3), "color_spaces": ("lab", "rgb")},
)


@pytest.fixture(scope="module")
def world():
    return ToyWorld("portrait", resolution=32)


@pytest.fixture
def made(monkeypatch):
    """Counts how many summary tensors are really made."""
    calls, original = [], StyleMixSegmenter.summary

    def counting(self, ws, progress=False):
        calls.append(ws)
        return original(self, ws, progress)

    monkeypatch.setattr(StyleMixSegmenter, "summary", counting)
    return calls


def test_one_map_for_each_colour_space_and_k(cache, world):
    maps = cluster_maps(world, PROFILE, seed=5, cutoff=6)
    assert set(maps) == {"image", "lab.k2", "lab.k3", "rgb.k2", "rgb.k3"} and map_key("rgb", 3) == "rgb.k3"
    assert maps["image"].shape == (32, 32, 3) and maps["image"].dtype == np.uint8
    for name in ("lab.k3", "rgb.k3"):
        assert maps[name].shape == (32, 32) and maps[name].dtype == np.uint8 and set(np.unique(maps[name])) == {0, 1, 2}
    assert set(np.unique(maps["lab.k2"])) == {0, 1}


def test_colour_spaces_beside_the_profiles_own_are_for_the_ablation(cache, world):
    last = PROFILE.ablation_seeds[-1]
    assert last + 1 in PROFILE.queries.seeds
    assert "rgb.k3" in cluster_maps(world, PROFILE, last, 6)
    assert set(cluster_maps(world, PROFILE, last + 1, 6)) == {"image", "lab.k2", "lab.k3"}


def test_the_maps_are_the_segmenters(cache, world):
    maps = cluster_maps(world, PROFILE, seed=5, cutoff=6)
    w0 = query_latent(world, PROFILE, 5)
    assert torch.equal(w0, world.mapping(seeded_z(5, world.z_dim), PROFILE.queries.truncation))
    assert np.array_equal(maps["image"], query_image(world, w0))
    for space in PROFILE.table4.color_spaces:
        segmenter = StyleMixSegmenter(
            world, n=4, cutoff=6, k=3, color_space=space, style_seed=PROFILE.method.style_seed, rule=CornerMinority()
        )
        assert np.array_equal(maps[map_key(space, 3)], segmenter(w0).clusters)


def test_what_is_on_disk_is_not_made_again(cache, world, made):
    jobs = [(5, 6), (6, 6), (5, 4)]
    first = make_cluster_maps(world, PROFILE, jobs)
    assert len(first) == len(made) == 3
    files = sorted(path.name for path in (cache / "maps").glob("*/*"))
    assert files == ["seed00005-c04.npz", "seed00005-c06.npz", "seed00006-c06.npz"]
    again = make_cluster_maps(world, PROFILE, iter(jobs))
    assert len(made) == 3
    for old, new in zip(first, again):
        assert set(old) == set(new) and all(np.array_equal(old[key], new[key]) for key in old)


@pytest.mark.parametrize(
    "change",
    [
        {"method": {"n": 3}},
        {"queries": {"truncation": 0.5}},
        {"method": {"style_seed": 1}},
        {"method": {"resolution": 16}},
    ],
)
def test_other_settings_have_other_files(cache, world, made, change):
    cluster_maps(world, PROFILE, 5, 6)
    cluster_maps(world, PROFILE.changed(**change), 5, 6)
    assert len(made) == 2
    assert len(list((cache / "maps").iterdir())) == 2


def test_another_generator_has_other_files(cache, world, made):
    cluster_maps(world, PROFILE, 5, 6)
    cluster_maps(ToyWorld("portrait", resolution=32, subject="plant"), PROFILE, 5, 6)
    assert len(made) == 2


def test_a_part_of_the_grid_is_read_and_a_missing_part_is_made(cache, world, made):
    whole = cluster_maps(world, PROFILE, 5, 6)
    assert np.array_equal(cluster_maps(world, PROFILE.changed(table4={"ks": (3,)}), 5, 6)["lab.k3"], whole["lab.k3"])
    assert len(made) == 1
    assert "lab.k4" in cluster_maps(world, PROFILE.changed(table4={"ks": (2, 3, 4)}), 5, 6)
    assert len(made) == 2


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "flipped bits"])
def test_a_damaged_file_is_made_again(cache, world, made, damage):
    whole = cluster_maps(world, PROFILE, 5, 6)
    (path,) = (cache / "maps").glob("*/*")
    data = bytearray(path.read_bytes())
    if damage == "flipped bits":
        for place in range(200, 400):
            data[place] ^= 0xFF
        path.write_bytes(data)
    else:
        path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "text": b"hello"}[damage])
    again = cluster_maps(world, PROFILE, 5, 6)
    assert len(made) == 2 and all(np.array_equal(whole[key], again[key]) for key in whole)


def test_a_full_disk_leaves_nothing_and_costs_no_result(cache, world, monkeypatch):
    def full(path, **arrays):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(clustermaps.np, "savez_compressed", full)
    with pytest.warns(CacheWarning, match="No space left"):
        maps = cluster_maps(world, PROFILE, 5, 6)
    assert maps["lab.k2"].shape == (32, 32)
    assert list((cache / "maps").glob("*/*")) == []
