"""Who takes three values is told three; who takes words as well is told those."""

from cae_core.progress import detail, say, silent, stage


class Listener:
    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        self.told.append((stage, done, total))

    def detail(self, stage: str, words: str, /) -> None:
        self.told.append((stage, words))

    def say(self, words: str, /) -> None:
        self.told.append((words,))


def test_a_plain_function_is_told_no_words() -> None:
    told: list[tuple[object, ...]] = []

    def plain(*values: object) -> None:
        told.append(values)

    one = stage(plain, "asking")
    for progress in (plain, one, silent, None):
        detail(progress, "asking", "a.onnx")
        say(progress, "it goes on")
    one(1, 2, "more")
    assert told == [("asking", 1, 2)]


def test_a_stage_passes_words_on_under_its_own_name() -> None:
    listener = Listener()
    one = stage(listener, "asking the suspect")
    detail(one, "asking models", "a.onnx")
    say(one, "it goes on")
    one(1, 2)
    assert listener.told == [("asking the suspect", "a.onnx"), ("it goes on",), ("asking the suspect", 1, 2)]
