"""The study file: typed, every mistake named, the same whatever is written back; and the grid that follows from it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from snips.errors import InvalidValue
from snips.images import write_png
from snips_cli.study.grid import Grid, prints_of
from snips_cli.study.pictures import find_images
from snips_cli.study.spec import Images, Prior, Spec, read_spec
from snips_cli.study.toml import as_table, table

LEAST = 'priors = "ncsnv2"\nimages = "gray.png"\nsigmas = 0.1\n'
FULL = """
name = "faces"
samples = 3
sigmas = [0.1, "25/255"]
seeds = [3, 1]
metrics = ["psnr"]
snapshots = 4
keep_pictures = 5
keep_samples = 2
on_incompatible = "skip"
out_of_range = "clamp"
dtype = "float64"
batch = 2
[[priors]]
denoiser = "ffdnet"
options = { weights = "net.pth", loud = true, level = 0.5 }
[[priors]]
denoiser = "bm3d"
samples = 0
label = "BM3D"
[[tasks]]
task = "inpaint"
options = { mask = "rows:2" }
[[samplers]]
sampler = "langevin"
options = { steps_per_level = 3 }
[[images]]
from = ["faces", "bundled:coffee"]
size = 64
crop = 32
gray = true
limit = 3
"""


def read(text: str) -> Spec:
    Path("study.toml").write_text(text, encoding="utf-8")
    return read_spec("study.toml")


def test_what_is_not_said_has_a_default(here):
    spec = read(LEAST)
    assert spec.name == "study"
    assert spec.priors == (Prior("ncsnv2", label="ncsnv2"),)
    assert spec.images == (Images((str(here / "gray.png"),)),)
    assert spec.sigmas == (0.1,)
    assert [task.label for task in spec.tasks] == ["denoise"]
    assert (spec.samplers, spec.metrics, spec.seeds, spec.samples) == ((), (), (0,), 8)


def test_what_is_said_is_kept(here):
    Path("net.pth").touch()
    spec = read(FULL.replace("level = 0.5", 'level = 0.5, bank = "net.pth,none.pth"'))
    assert spec.sigmas == (0.1, 25 / 255)
    weights = str((here / "net.pth").resolve())
    bank = f"{weights},none.pth"
    assert spec.priors[0].options == {"weights": weights, "loud": "true", "level": "0.5", "bank": bank}
    assert [prior.label for prior in spec.priors] == ["ffdnet", "BM3D"]
    assert spec.tasks[0].label == "inpaint mask=rows:2"
    assert spec.samplers[0].label == "langevin steps_per_level=3"
    assert spec.images[0] == Images((str(here / "faces"), "bundled:coffee"), 64, 32, True, 3)
    assert [spec.keeps(i) for i in (4, 5)] == [True, False]


@pytest.mark.parametrize("text", [LEAST, FULL])
def test_written_down_and_read_again_it_is_the_same(here, text):
    spec = read(text)
    assert table(Spec)(json.loads(json.dumps(as_table(spec))), "again") == spec


BAD = {
    "a key misspelt": (LEAST + "sample = 3", "unknown key sample; did you mean samples"),
    "a key of a table misspelt": (LEAST + '[[tasks]]\ntsk = "x"', "tasks 1: unknown key tsk; did you mean task?"),
    "no key at all": (LEAST + "zzz = 1", "unknown key zzz; there are priors,"),
    "a key missing": ('priors = "x"\nsigmas = 0.1', "images is missing"),
    "a key of a table missing": (LEAST + "[[tasks]]\noptions = {}", "tasks 1: task is missing"),
    "no TOML": ("sigmas = = 1", "study.toml is no TOML: Invalid value (at line 1"),
    "σ over 1": (LEAST.replace("0.1", "25"), '25 is over 1, and pictures lie in [0, 1]; did you mean "25/255"?'),
    "σ no number": (LEAST.replace("0.1", '["loud"]'), "sigmas 1: 'loud' is no noise level"),
    "σ true": (LEAST.replace("0.1", "true"), "sigmas: True is no noise level"),
    "σ zero": (LEAST.replace("0.1", "0"), "sigmas: 0 is no noise level"),
    "σ twice": (LEAST.replace("0.1", '[0.2, "51/255"]'), "sigmas: a value stands there twice"),
    "no σ": (LEAST.replace("0.1", "[]"), "sigmas: is empty"),
    "no samples": (LEAST + "samples = 0", "samples: 0 is no whole number from 1 on"),
    "samples no number": (LEAST + "samples = true", "samples: True is no whole number"),
    "a word that is none": (LEAST + 'on_incompatible = "skp"', "'skp' is not possible; did you mean skip?"),
    "pictures kept": (LEAST + 'keep_pictures = "some"', "is not true, false or a number of pictures"),
    "gray": (LEAST.replace('"gray.png"', '{ from = "gray.png", gray = 1 }'), "gray: 1 is neither true nor false"),
    "options no table": (LEAST + '[[tasks]]\ntask = "x"\noptions = 3', "options: 3 is no table of options"),
    "an option no value": (LEAST + '[[tasks]]\ntask = "x"\noptions = { a = [1] }', "a = [1] is no text, number"),
    "one label twice": (LEAST.replace('"ncsnv2"', '["ncsnv2", "ncsnv2"]'), "priors: two are called ncsnv2"),
    "a number for a name": (LEAST.replace('"ncsnv2"', "3"), "priors: 3 is no table"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_named_with_its_place(here, case):
    text, says = BAD[case]
    with pytest.raises(InvalidValue) as caught:
        read(text)
    assert says in str(caught.value)
    assert str(caught.value).startswith("study.toml")
    assert "\n" not in str(caught.value)


def test_no_file(here):
    with pytest.raises(InvalidValue, match="absent.toml: no such file"):
        read_spec("absent.toml")


def test_a_study_file_is_read_without_torch(here):
    Path("study.toml").write_text(FULL)
    program = (
        "import sys; from snips_cli.study.spec import read_spec; read_spec('study.toml'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# Pictures


def names(*sources: str, **more) -> list[str]:
    return [image.name for image in find_images((Images(sources, **more),))]


def test_sources_of_pictures(here):
    Path("more").mkdir()
    for name in ("b.png", "a.png", ".hidden.png", "gray.png"):
        write_png(f"more/{name}", np.full((8, 9), 0.5))
    Path("more/notes.txt").touch()
    assert names("more") == ["a", "b", "gray"]
    assert names("gray.png", "more/*.png") == ["gray", "a", "b", "gray-2"]
    assert names("more", "colour.png", limit=2) == ["a", "b"]
    assert names("bundled:astronaut", "bundled:coins") == ["astronaut", "coins"]
    assert names("dead-leaves:2", size=16) == ["dead-leaves-000", "dead-leaves-001"]


def test_pictures_are_prepared_and_known_by_their_pixels(here):
    (image,) = find_images((Images(("colour.png",), size=12, crop=10, gray=True),))
    assert image.shape == (1, 10, 10)
    assert image.read().shape == (1, 10, 10)
    assert image == find_images((Images(("colour.png",), size=12, crop=10, gray=True),))[0]
    write_png("colour.png", np.full((18, 16), 0.25))
    changed = dataclasses.replace(image, name="changed")  # a process that has not read it yet
    with pytest.raises(Exception, match="its pixels are not those"):
        changed.read()


def test_dead_leaves_differ_and_are_the_same_each_time():
    one, two = find_images((Images(("dead-leaves:2",), size=16),))
    assert one.sha256 != two.sha256
    assert [one, two] == find_images((Images(("dead-leaves:2",), size=16),))
    assert one.shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("absent/*.png", "no picture at absent"),
        ("empty", "no picture at empty"),
        ("bundled:astronut", "did you mean astronaut"),
        ("dead-leaves:many", "say how many"),
        ("dead-leaves:0", "say how many"),
    ],
)
def test_no_pictures(here, source, says):
    Path("empty").mkdir()
    with pytest.raises(InvalidValue, match=says):
        find_images((Images((source,)),))


# The grid


def grid(text: str = LEAST) -> Grid:
    spec = read(text)
    return Grid(spec, tuple(find_images(spec.images)), prints_of(spec))


SEVERAL = """
priors = ["ncsnv2", "gaussian-field", { denoiser = "bm3d", samples = 0 }]
tasks = ["denoise", { task = "inpaint", options = { mask = "box" } }]
images = ["gray.png", "colour.png"]
sigmas = [0.1, 0.2, 0.3]
seeds = [0, 1]
"""


def test_every_combination_once_in_order(here):
    made = grid(SEVERAL)
    cells = list(made)
    assert len(made) == len(cells) == 3 * 2 * 2 * 3 * 2
    assert len({cell.id for cell in cells}) == len(cells)
    keys = [(c.prior.label, c.task.label, c.image.index, c.sigma, c.seed) for c in cells]
    priors, tasks = ["ncsnv2", "gaussian-field", "bm3d"], ["denoise", "inpaint mask=box"]
    assert keys == sorted(keys, key=lambda k: (priors.index(k[0]), tasks.index(k[1]), *k[2:]))
    best = {"denoise": "reverse-sde", "inpaint": "noise-split"}
    assert {(c.task.name, c.sampler.name) for c in cells if c.samples} == set(best.items())
    assert {c.sampler.name for c in cells if not c.samples} == {""}


def test_a_cell_is_the_same_in_any_study_and_another_with_anything_that_matters(here):
    cells = {cell.id for cell in grid(SEVERAL)}
    assert cells > {cell.id for cell in grid(SEVERAL.replace('["ncsnv2", ', "["))}
    assert cells == {cell.id for cell in grid(SEVERAL + "batch = 1\nname = 'other'")}
    sampled = SEVERAL.replace(', { denoiser = "bm3d", samples = 0 }', "")
    cells = {cell.id for cell in grid(sampled)}
    for changed in ("samples = 3", "metrics = ['psnr']", "dtype = 'float64'", "snapshots = 1", "keep_pictures = false"):
        assert cells.isdisjoint(cell.id for cell in grid(f"{changed}\n{sampled}")), changed
    write_png("gray.png", np.full((18, 16), 0.25))
    assert len(cells & {cell.id for cell in grid(sampled)}) == len(cells) // 2


def test_weights_and_masks_count_by_their_content(here):
    text = LEAST.replace('"ncsnv2"', '{ denoiser = "ncsnv2", options = { weights = "net.pth" } }')
    Path("net.pth").write_bytes(b"one")
    one = [cell.id for cell in grid(text)]
    Path("net.pth").rename("moved.pth")
    assert [cell.id for cell in grid(text.replace("net", "moved"))] == one
    Path("other.pth").write_bytes(b"two")
    assert [cell.id for cell in grid(text.replace("net", "other"))] != one


def test_the_seed_is_a_function_of_the_picture_and_the_studys_seed_alone(here):
    seeds: dict[tuple[str, int], set[int]] = {}
    for cell in grid(SEVERAL):
        seeds.setdefault((cell.image.name, cell.seed), set()).add(cell.own_seed)
    assert all(len(one) == 1 for one in seeds.values())
    assert len(set.union(*seeds.values())) == 4
