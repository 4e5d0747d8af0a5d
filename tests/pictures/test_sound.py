"""Sound that the new container cannot hold: encoded anew, at its time, and said in a line."""

import films
import numpy as np
import pytest

from pictures import video


def keep(frame):
    return frame


@pytest.mark.parametrize(
    ("given", "sound", "layout", "hertz", "suffix", "codec", "made"),
    [
        ("in.mp4", "aac", "stereo", 48_000, ".webm", "opus", "stereo"),
        ("in.avi", "pcm_u8", "stereo", 48_000, ".mp4", "aac", "stereo"),  # an AVI tells the number alone
        ("in.mov", "pcm_alaw", "mono", 8_000, ".mp4", "aac", "mono"),
        ("in.mkv", "pcm_s16le", "quad", 44_100, ".mp4", "aac", "stereo"),  # the codec is held, the places not
        ("in.mkv", "pcm_u8", "mono", 192_000, ".mp4", "aac", "mono"),
        ("in.mkv", "ac3", "5.1(side)", 48_000, ".webm", "opus", "5.1"),
    ],
)
def test_what_is_not_held_is_encoded_anew(tmp_path, capsys, given, sound, layout, hertz, suffix, codec, made):
    films.make(tmp_path / given, times=films.EVEN, sound=sound, layout=layout, hertz=hertz)
    out = tmp_path / f"out{suffix}"
    video.convert(tmp_path / given, out, keep)
    told = capsys.readouterr().err
    assert f"the sound ({sound}) is encoded anew ({codec.replace('opus', 'libopus')})" in told
    assert told.count("\n") == 1
    name, channels, begin, samples = films.hear(out)
    assert (name, channels) == (codec, made)
    assert abs(begin) < 0.03
    made_hertz = hertz if codec == "aac" and hertz < 96_000 else 48_000
    assert len(samples) / made_hertz == pytest.approx(2, abs=0.1)
    tone = np.abs(np.fft.rfft(samples[made_hertz // 2 :][:made_hertz])).argmax()  # in Hz: a second of it
    assert tone == pytest.approx(0.3 / (2 * np.pi) * hertz, abs=2)


@pytest.mark.parametrize(("given", "suffix"), [("in.mp4", ".mkv"), ("in.ts", ".mp4"), ("in.mkv", ".mov")])
def test_what_is_held_is_copied_without_a_word(tmp_path, capsys, given, suffix):
    films.make(tmp_path / given, times=films.EVEN, hertz=48_000)
    video.convert(tmp_path / given, tmp_path / f"out{suffix}", keep)
    assert capsys.readouterr().err == ""
    copied = [bytes(packet) for packet in films.read(tmp_path / f"out{suffix}")[2]]
    head = 7 if given == "in.ts" else 0  # of ADTS, which MPEG-TS wraps AAC in
    assert copied == [bytes(packet)[head:] for packet in films.read(tmp_path / given)[2]]


def test_a_track_of_an_unknown_codec_is_left_out_and_told(tmp_path, capsys):
    films.make(tmp_path / "in.mkv")
    data = (tmp_path / "in.mkv").read_bytes()
    (tmp_path / "in.mkv").write_bytes(data.replace(b"A_AAC", b"A_XYZ"))
    assert video.convert(tmp_path / "in.mkv", tmp_path / "out.mp4", keep) == len(films.TIMES)
    assert capsys.readouterr().err == "not copied into the new file: sound 1 (unknown codec)\n"
    assert films.read(tmp_path / "out.mp4")[2] is None


def test_sound_that_changes_from_mono_to_stereo_goes_on(tmp_path):
    for layout in ("mono", "stereo"):
        films.make(tmp_path / f"{layout}.ts", times=films.EVEN, hertz=48_000, layout=layout)
    both = [(tmp_path / f"{layout}.ts").read_bytes() for layout in ("mono", "stereo")]
    (tmp_path / "in.ts").write_bytes(b"".join(both))
    video.convert(tmp_path / "in.ts", tmp_path / "out.webm", keep)
    assert len(films.hear(tmp_path / "out.webm")[3]) / 48_000 == pytest.approx(4, abs=0.3)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_damaged_sound_is_passed_over(tmp_path, suffix):
    films.make(tmp_path / "in.ts", times=films.EVEN, hertz=48_000)
    data = bytearray((tmp_path / "in.ts").read_bytes())
    place = data.index(bytes(films.read(tmp_path / "in.ts")[2][5])[:40])
    data[place + 1], data[place + 6] = 0xF0, 0xFF  # a form of ADTS that FFmpeg puts into no MP4
    (tmp_path / "in.ts").write_bytes(data)
    assert video.convert(tmp_path / "in.ts", tmp_path / f"out{suffix}", keep) == 50
    _, _, begin, samples = films.hear(tmp_path / f"out{suffix}")
    assert abs(begin) < 0.1 and len(samples) / 48_000 > 1.8
