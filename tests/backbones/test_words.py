"""The word-level tokenizer: one token a word, any other text survives."""

import json

import pytest

from motionkit.backbones.tiny_tokenizer import build_tokenizer, known_words, unknown_words
from motionkit.weights import places

WORDS = "a the scar car cat cart art papa nananana banana ana yellow quadruped running wave ünïcode żółw".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    size = build_tokenizer(WORDS, folder, model_max_length=16)
    return folder, size


def _loaders():
    from transformers import AutoTokenizer, CLIPTokenizer

    return [CLIPTokenizer, AutoTokenizer]


@pytest.mark.parametrize("which", [0, 1], ids=["CLIPTokenizer", "AutoTokenizer"])
def test_every_word_is_one_token_and_round_trips(folder, which):
    tokenizer = _loaders()[which].from_pretrained(folder[0])
    assert len(tokenizer) == folder[1] and tokenizer.model_max_length == 16
    for word in WORDS:
        for text in (word, word.upper(), f" {word} "):
            begin, *inner, end = tokenizer(text)["input_ids"]
            assert (begin, end) == (folder[1] - 2, folder[1] - 1) and len(inner) == 1, (text, inner)
    sentence = "a yellow cat the scar"
    ids = tokenizer(sentence)["input_ids"]
    assert len(ids) == 5 + 2 and tokenizer.decode(ids, skip_special_tokens=True) == sentence
    assert len({tokenizer(w)["input_ids"][1] for w in WORDS}) == len(WORDS)


@pytest.mark.parametrize(
    "text", ["", "dinosaur 42!", "żółć 日本 🐢🐢", "x\ny\t\x00", "a-b_c'll", "<|endoftext|> cat", "é" * 300]
)
def test_any_text_falls_back_to_letters_and_bytes(folder, text):
    tokenizer = _loaders()[0].from_pretrained(folder[0])
    out = tokenizer(text, padding="max_length", truncation=True, max_length=16)["input_ids"]
    assert len(out) == 16 and max(out) < folder[1]
    inner = tokenizer(text, add_special_tokens=False)["input_ids"]
    if "<|" not in text:
        assert folder[1] - 1 not in inner  # the unknown token is never needed


def test_unknown_word_keeps_its_letters(folder):
    tokenizer = _loaders()[0].from_pretrained(folder[0])
    assert tokenizer.decode(tokenizer("zebra")["input_ids"], skip_special_tokens=True) == "zebra"


def test_order_of_the_words_does_not_matter(tmp_path, folder):
    build_tokenizer(reversed(WORDS + WORDS), tmp_path, model_max_length=16)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"):
        assert (tmp_path / name).read_bytes() == (folder[0] / name).read_bytes()


@pytest.mark.parametrize("bad", ["two words", "Cat", "t-shirt", "3d", ""])
def test_what_clip_would_split_is_refused(tmp_path, bad):
    with pytest.raises(ValueError, match="one CLIP token"):
        build_tokenizer([bad], tmp_path)


def test_the_words_of_a_small_vocabulary_are_listed_and_those_of_clip_are_not(tmp_path):
    build_tokenizer(["a", "orange", "fox", "running"], tmp_path / "tokenizer")
    assert known_words(tmp_path) == ("fox", "orange", "running")
    assert known_words(tmp_path / "nowhere") == ()
    (tmp_path / "clip" / "tokenizer").mkdir(parents=True)
    many = {f"{i}</w>": i for i in range(9000)}
    (tmp_path / "clip" / "tokenizer" / "vocab.json").write_text(json.dumps(many))
    assert known_words(tmp_path / "clip") == ()


def test_unknown_words_are_named_once_and_letters_and_numbers_are_none():
    known = ["fox", "running", "letter"]
    assert unknown_words("a ZEBRA, running with 2 zebras: zebra!", known) == ["zebra", "with", "zebras"]
    assert unknown_words("letter K running", known) == [] and unknown_words("", known) == []


@pytest.mark.parametrize("name", ["pocket-sd", "pocket-modelscope", "pocket-animatediff"])
def test_the_pocket_backbones_know_the_words_of_the_sprite_world(name):
    from motionkit.sprites import COLOURS, TRAIN_KINDS
    from motionkit.sprites.world import DOING

    known = known_words(places.assets() / name)
    assert {*COLOURS, *TRAIN_KINDS, *DOING.values(), "an"} <= set(known) and "zebra" not in known
