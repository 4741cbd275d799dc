import io

from orthodx.cli.options import Voice


class Terminal(io.StringIO):
    def isatty(self):
        return True


def spoken(voice, file):
    voice.file = file
    with voice.progress() as tell:
        tell("knee-1  2.0 s", 1, 2)
        tell("knee-2  2.1 s", 2, 2)
    return file.getvalue()


def test_a_pipe_gets_plain_numbered_lines():
    assert spoken(Voice(False, False), io.StringIO()) == "[1/2] knee-1  2.0 s\n[2/2] knee-2  2.1 s\n"


def test_a_terminal_gets_a_bar_with_the_count():
    text = spoken(Voice(False, False), Terminal())
    assert "knee-1  2.0 s" in text
    assert "2/2" in text


def test_quiet_says_nothing():
    assert spoken(Voice(True, False), Terminal()) == ""
