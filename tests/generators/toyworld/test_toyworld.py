"""The toy world: protocol, exact truth, structure below the cutoff, style above it, failure switches."""

import numpy as np
import pytest
import torch
from protocols import lacking

from stylemixseg.generators.base import Generator, seeded_z
from stylemixseg.generators.toyworld.world import CLASS_NAMES, FAILURE_MODES, THINGS, ToyFailures, ToyWorld

SCENES = ("room", "single", "portrait")


def latents(world: ToyWorld, seeds) -> torch.Tensor:
    return world.mapping(seeded_z(seeds, world.z_dim))


def mixes(world: ToyWorld, seed: int, cutoff: int, n: int = 6) -> torch.Tensor:
    """n style mixes of one structure latent."""
    ws = latents(world, range(500, 500 + n)).clone()
    ws[:, :cutoff] = latents(world, seed)[:, :cutoff]
    return ws


def mean_colours(world: ToyWorld, ws: torch.Tensor, kind: str) -> np.ndarray:
    """Mean colour of a class in every image (N, 3), by the truth of each image."""
    label = CLASS_NAMES.index(kind)
    pairs = zip(world.synthesis(ws).numpy(), world.truth(ws))
    return np.stack([image[:, truth.semantic == label].mean(1) for image, truth in pairs])


@pytest.mark.parametrize("scene", SCENES)
def test_protocol(scene):
    world = ToyWorld(scene, resolution=48)
    assert not lacking(world, Generator)
    ws = latents(world, [0, 1, 2])
    assert ws.shape == (3, world.num_ws, world.w_dim) and torch.equal(ws[:, 0], ws[:, -1])
    assert world.w_avg.shape == (world.w_dim,)
    images = world.synthesis(ws)
    assert images.shape == (3, 3, 48, 48) and images.dtype == torch.float32
    assert -1 <= images.min() < images.max() <= 1 and images.std() > 0.1


def test_truncation_pulls_to_the_average():
    world = ToyWorld(resolution=32)
    z = seeded_z(range(2000), world.z_dim)
    full, half, none = (world.mapping(z, psi)[:, 0] for psi in (1.0, 0.5, 0.0))
    assert torch.allclose(none, world.w_avg.expand_as(none))
    assert torch.allclose(half, 0.5 * (full + world.w_avg), atol=1e-6)
    assert (full.mean(0) - world.w_avg).norm() < 0.1 * full.std(0).norm()
    assert world.w_avg.norm() > 0.1


def test_deterministic_and_independent_of_the_batch():
    first, second = ToyWorld(resolution=48), ToyWorld(resolution=48)
    ws = latents(first, range(4))
    assert torch.equal(ws, latents(second, range(4)))
    together = first.synthesis(ws)
    assert torch.equal(together, second.synthesis(ws))
    alone = torch.cat([first.synthesis(row[None]) for row in ws])
    assert torch.allclose(together, alone, atol=1e-5)


def test_digest_names_the_parameters():
    digests = [
        ToyWorld(resolution=32).digest,
        ToyWorld(resolution=64).digest,
        ToyWorld("single", resolution=32).digest,
        ToyWorld("single", resolution=32, subject="lamp").digest,
        *(ToyWorld(resolution=32, failures=failures).digest for failures in FAILURE_MODES.values()),
    ]
    assert len(set(digests)) == len(digests) and all(len(d) == 64 for d in digests)
    assert ToyWorld(resolution=32).digest == digests[0]


def test_pictures_agree_across_resolutions():
    small, large = ToyWorld(resolution=64), ToyWorld(resolution=192)
    ws = latents(small, [3])
    shrunk = torch.nn.functional.avg_pool2d(large.synthesis(ws), 3)
    assert (shrunk - small.synthesis(ws)).abs().mean() < 0.04


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("cutoff", [6, 8, 11, 12])
def test_structure_stays_at_and_above_the_boundary(scene, cutoff):
    world = ToyWorld(scene, resolution=64)
    ws = mixes(world, 7, cutoff)
    reference = world.truth(latents(world, 7))[0]
    for truth in world.truth(ws):
        assert np.array_equal(truth.instance, reference.instance)
        assert np.array_equal(truth.semantic, reference.semantic)
        assert truth.boxes == reference.boxes
    spread = world.synthesis(ws).std(0).mean()
    assert spread == 0 if cutoff == 12 else spread > 0.01


def test_structure_moves_more_the_lower_the_cutoff():
    world = ToyWorld(resolution=64)

    def moved(cutoff):
        changes = []
        for seed in range(4):
            reference = world.truth(latents(world, seed))[0].semantic
            changes += [(truth.semantic != reference).mean() for truth in world.truth(mixes(world, seed, cutoff))]
        return np.mean(changes)

    shares = [moved(c) for c in (0, 2, 4, 5, 6)]
    assert shares[0] > shares[1] > shares[2] > shares[3] > shares[4] == 0
    assert shares[2] > 0.01


def test_style_varies_less_the_higher_the_cutoff():
    world = ToyWorld(resolution=32)
    spread = [float(world.synthesis(mixes(world, 1, c, 12)).std(0).mean()) for c in (6, 8, 10, 12)]
    assert spread[0] > spread[1] > spread[2] > spread[3] == 0


def test_pixels_of_a_class_vary_together():
    """Section 3.2: over style mixes, nearly every pixel is nearest to the mean of its own class."""
    world = ToyWorld(resolution=96)
    for seed in range(3):
        truth = world.truth(latents(world, seed))[0].semantic.ravel()
        images = world.synthesis(mixes(world, seed, 6, 20)).numpy()
        summary = images.transpose(2, 3, 0, 1).reshape(len(truth), -1)
        means = np.stack([summary[truth == c].mean(0) for c in range(len(CLASS_NAMES))])
        nearest = ((summary[:, None] - means) ** 2).sum(2).argmin(1)
        assert (nearest == truth).mean() > 0.98


@pytest.mark.parametrize("failures", [None, *FAILURE_MODES.values()])
@pytest.mark.parametrize("scene", SCENES)
def test_truth_is_consistent(scene, failures):
    world = ToyWorld(scene, resolution=64, failures=failures)
    for truth in world.truth(latents(world, range(5))):
        assert truth.semantic.shape == truth.instance.shape == truth.foreground.shape == (64, 64)
        assert truth.foreground.dtype == bool and 0 < truth.foreground.mean() < 1
        union = np.zeros_like(truth.foreground)
        for box in truth.boxes:
            mask = truth.instance == box.instance
            rows, columns = np.nonzero(mask)
            assert (box.x0, box.x1) == (columns.min(), columns.max() + 1)
            assert (box.y0, box.y1) == (rows.min(), rows.max() + 1)
            assert set(truth.semantic[mask]) == {CLASS_NAMES.index(box.label)}
            union |= mask
        assert np.array_equal(union, truth.foreground)
        assert np.array_equal(truth.foreground, truth.semantic >= CLASS_NAMES.index(THINGS[0]))


def test_a_room_has_every_kind_and_sometimes_several():
    world = ToyWorld(resolution=64)
    counts = {kind: [] for kind in THINGS}
    for truth in world.truth(latents(world, range(20))):
        for kind in THINGS:
            counts[kind].append(sum(box.label == kind for box in truth.boxes))
    assert len(THINGS) >= 5
    for kind, numbers in counts.items():
        assert min(numbers) >= 1 and max(numbers) >= 2, kind


def test_single_leaves_the_corners_free_and_a_portrait_reaches_the_bottom():
    for truth in (world := ToyWorld("single", resolution=64)).truth(latents(world, range(12))):
        corners = (
            truth.foreground[y, x] for y in (slice(0, 8), slice(-4, None)) for x in (slice(0, 4), slice(-4, None))
        )
        assert len(truth.boxes) == 1 and not any(corner.any() for corner in corners)
        assert truth.boxes[0].y1 < 64 and abs((truth.boxes[0].x0 + truth.boxes[0].x1) / 2 - 32) < 6
    bottom_corners = []
    for truth in (world := ToyWorld("portrait", resolution=64)).truth(latents(world, range(12))):
        assert len(truth.boxes) == 1 and truth.boxes[0].y1 == 64
        assert not truth.foreground[:8, :8].any() and not truth.foreground[:8, -8:].any()
        bottom_corners.append(truth.foreground[-1, 0])
    assert any(bottom_corners) and not all(bottom_corners)


def test_subject_is_obeyed():
    for subject in ("sofa", "table", "lamp", "plant"):
        world = ToyWorld("single", resolution=48, subject=subject)
        assert {b.label for truth in world.truth(latents(world, range(3))) for b in truth.boxes} == {subject}


def test_shared_paint_makes_two_classes_alike():
    plain, failing = ToyWorld(resolution=48), ToyWorld(resolution=48, failures=FAILURE_MODES["shared_paint"])
    gaps = []
    for world in (plain, failing):
        ws = mixes(world, 5, 6, 12)
        gaps.append(np.abs(mean_colours(world, ws, "sofa") - mean_colours(world, ws, "wall")).mean())
    assert gaps[1] < 0.35 * gaps[0]


def test_highlights_spread_the_pixels_of_a_class():
    plain, failing = ToyWorld(resolution=48), ToyWorld(resolution=48, failures=FAILURE_MODES["highlights"])
    spreads = []
    for world in (plain, failing):
        ws = mixes(world, 5, 6, 12)
        wall = world.truth(ws[:1])[0].semantic == 0
        spreads.append(float(world.synthesis(ws)[:, :, torch.from_numpy(wall)].std(2).mean()))
    assert spreads[1] > 1.3 * spreads[0]
    assert np.array_equal(plain.truth(ws)[0].instance, failing.truth(ws)[0].instance)


@pytest.mark.parametrize("scene", SCENES)
def test_corner_object_covers_the_top_corners(scene):
    plain = ToyWorld(scene, resolution=64)
    failing = ToyWorld(scene, resolution=64, failures=FAILURE_MODES["corner_object"])
    ws = latents(plain, range(6))
    for before, after in zip(plain.truth(ws), failing.truth(ws)):
        for corner in (after.semantic[:8, :8], after.semantic[:8, -8:]):
            assert (corner == CLASS_NAMES.index("plant")).mean() > 0.9
        assert not before.foreground[:2, :1].any()
        if scene != "room":
            assert {box.label for box in after.boxes} == {"plant"}


@pytest.mark.parametrize("scene", SCENES)
def test_structure_leak_moves_structure_with_style(scene):
    world = ToyWorld(scene, resolution=64, failures=FAILURE_MODES["structure_leak"])
    truths = world.truth(mixes(world, 2, 6, 5))
    changed = [(truth.semantic != truths[0].semantic).mean() for truth in truths[1:]]
    assert 0.005 < np.mean(changed) < 0.3


def test_occlusion_makes_boxes_overlap():
    def overlaps(world):
        count = 0
        for truth in world.truth(latents(world, range(10))):
            for i, a in enumerate(truth.boxes):
                for b in truth.boxes[i + 1 :]:
                    count += a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1
        return count

    assert overlaps(ToyWorld(resolution=64)) == 0
    assert overlaps(ToyWorld(resolution=64, failures=FAILURE_MODES["occlusion"])) >= 20
    for scene in ("single", "portrait"):
        world = ToyWorld(scene, resolution=64, failures=FAILURE_MODES["occlusion"])
        assert overlaps(world) == 10


def test_bad_input_is_named():
    world = ToyWorld(resolution=32)
    ws = latents(world, [0])
    with pytest.raises(ValueError, match="finite"):
        world.synthesis(ws * float("nan"))
    with pytest.raises(ValueError, match=r"ws must have shape \(N, 12, 32\)"):
        world.truth(ws[:, :6])
    with pytest.raises(TypeError, match="ws must be"):
        world.synthesis(ws.numpy())
    with pytest.raises(ValueError, match="z must have shape"):
        world.mapping(torch.zeros(1, 5))
    with pytest.raises(ValueError, match="truncation"):
        world.mapping(torch.zeros(1, 32), truncation=1.5)
    with pytest.raises(ValueError, match="did you mean 'room'"):
        ToyWorld("rooms")
    with pytest.raises(ValueError, match="resolution"):
        ToyWorld(resolution=8)
    with pytest.raises(ValueError, match="subject must be None"):
        ToyWorld("room", subject="sofa")
    with pytest.raises(ValueError, match="subject must be one of"):
        ToyWorld("portrait", subject="lamp")
    with pytest.raises(ValueError, match="did you mean 'sofa'"):
        ToyFailures(shared_paint=("sofe", "wall"))
    with pytest.raises(ValueError, match="two different class names"):
        ToyFailures(shared_paint=("sofa",))
    with pytest.raises(TypeError, match="highlights"):
        ToyFailures(highlights=1)
    with pytest.raises(TypeError, match="failures must be"):
        ToyWorld(failures={"occlusion": True})
