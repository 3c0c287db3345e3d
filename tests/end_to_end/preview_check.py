"""What preview.sh wants to know of sheets: the pictures and texts of an HTML sheet against the images that were packed, and its pictures in the PNG.

In: "make FOLDER" writes images; "html SHEET FOLDER" and "strength SHEET FOLDER" check a sheet of them; "png SHEET.png SHEET.html" compares two.
Out: exit status 0, or an assertion. Standard library only.
"""
import base64
import html
import re
import struct
import sys
import zlib

SIDE = 16
ZOOM = 11  # 176 / 16


def read_png(data):
    """Width, height, channels and rows of an 8-bit PNG."""
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        at += 12 + length
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
        elif kind == b"IDAT":
            packed += body
    assert depth == 8
    channels = {0: 1, 2: 3}[colour]
    raw, rows, before = zlib.decompress(packed), [], bytearray(width * channels)
    stride = width * channels
    for y in range(height):
        rule, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for i in range(stride):
            left, up, corner = (row[i - channels], before[i], before[i - channels]) if i >= channels else (0, before[i], 0)
            if rule == 4:
                guess = left + up - corner
                nearest = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]
                row[i] = (row[i] + nearest) & 255
            elif rule:
                row[i] = (row[i] + (left if rule == 1 else up if rule == 2 else (left + up) // 2)) & 255
        rows.append(row)
        before = row
    return width, height, channels, rows


def pixels_of(number):
    """An image that no other is like, with black and white in it."""
    return [[(37 * (x + 1) * (y + 3) + 101 * number + x * x * number) % 256 for x in range(SIDE)] for y in range(SIDE)]


def write_png(path, rows):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    raw = b"".join(b"\0" + bytes(row) for row in rows)
    with open(path, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0))
                  + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def make(folder):
    with open(folder + "/labels.csv", "w") as table:
        table.write("file,finding\n")
        for number in range(12):
            write_png("%s/i%d.png" % (folder, number), pixels_of(number))
            table.write("i%d.png,%d\n" % (number, number % 3))


def rows_of(path):
    """(title, [(title, picture, lines)]) of each row of an HTML sheet."""
    text = open(path, encoding="utf-8").read()
    for part in text.split("<h2>")[1:]:
        cells = []
        for cell in part.split('<div class="cell">')[1:]:
            pictures = [read_png(base64.b64decode(p)) for p in re.findall(r'base64,([^"]*)"', cell)]
            cells.append((re.search("<b>(.*?)</b>", cell).group(1), pictures[0], [html.unescape(p) for p in re.findall("<p>(.*?)</p>", cell)]))
        yield html.unescape(part[:part.index("</h2>")]), cells


def small(picture):
    """The picture without its enlargement, which is to be exact."""
    width, height, channels, rows = picture
    assert channels == 1 and width == height == SIDE * ZOOM, (width, height, channels)
    for y in range(height):
        for x in range(width):
            assert rows[y][x] == rows[y // ZOOM * ZOOM][x // ZOOM * ZOOM], "a pixel is not enlarged as a square"
    return [[rows[y * ZOOM][x * ZOOM] for x in range(SIDE)] for y in range(SIDE)]


def changed(have, pixels, gain, offset, slack):
    for y in range(SIDE):
        for x in range(SIDE):
            wanted = min(255, max(0, pixels[y][x] * gain + 255 * offset))
            assert abs(have[y][x] - wanted) <= slack, (x, y, have[y][x], pixels[y][x], gain, offset)


def check_html(path):
    seen, gains, offsets, same = set(), set(), set(), set()
    for title, cells in rows_of(path):
        number = int(re.search(r"i(\d+)\.png", title).group(1))
        seen.add(number)
        assert len(cells) == 5, "a sample, two copies of a view, and two other views"
        assert cells[0][0] == "sample, 16 x 16" and "finding %d" % (number % 3) in cells[0][2] and "black 0, white 1" in cells[0][2], cells[0]
        assert small(cells[0][1]) == pixels_of(number), "the sample's own pixels"
        for copy in (1, 2):
            name, picture, lines = cells[copy]
            assert name == "bright %d of 2, 16 x 16" % copy, name
            gain = float(re.fullmatch(r"random_intensity: gain ([0-9.]+)", " ".join(lines)).group(1))
            assert 0.5 <= gain < 0.9, gain
            gains.add(gain)
            changed(small(picture), pixels_of(number), gain, 0, 0.7)
        for (name, picture, lines), wanted, call, values in (cells[3], "moved", "moved_by", offsets), (cells[4], "together", "together", same):
            assert name == wanted + ", 16 x 16", name
            values.add(float(re.fullmatch(call + r": value (-?[0-9.e-]+)", " ".join(lines)).group(1)))
            changed(small(picture), pixels_of(number), 1, float(lines[0].split()[-1]), 0.8)
    # a draw at the top is one for all samples; in a call each has its own
    assert len(seen) == 3 and len(gains) == 6 and len(offsets) == 3 and len(same) == 1, (seen, gains, offsets, same)


def check_strength(path):
    number = int(re.search(r"i(\d+)\.png", open(path, encoding="utf-8").read()).group(1))
    rows = dict(rows_of(path))
    assert list(rows) == ["bright: random_intensity", "moved: moved_by", "together: together"], list(rows)
    strengths = ("low", "middle", "high")
    for (name, picture, lines), wanted, gain in zip(rows["bright: random_intensity"][1:], strengths, (0.5, 0.7, 0.9)):
        assert name.startswith(wanted) and lines == ["random_intensity: gain %g" % gain], (name, lines)
        changed(small(picture), pixels_of(number), gain, 0, 0.51)
    for view, call in ("moved", "moved_by"), ("together", "together"):
        for (name, picture, lines), wanted, offset in zip(rows[view + ": " + call][1:], strengths, (-0.1, 0, 0.1)):
            assert name.startswith(wanted) and lines == ["%s: value %g" % (call, offset)], (name, lines)
            changed(small(picture), pixels_of(number), 1, offset, 0.51)


def check_png(png, sheet):
    width, height, channels, rows = read_png(open(png, "rb").read())
    print("%d x %d" % (width, height))
    below = 0
    for _, cells in rows_of(sheet):
        at = 16  # the margin
        for _, (w, h, _, small_rows), _ in cells:
            wide = [bytes(v for p in row for v in (p, p, p)) for row in small_rows]
            y = next(y for y in range(below, height) if all(rows[y + k][3 * at:3 * (at + w)] == wide[k] for k in range(h) if y + h <= height) and y + h <= height)
            at += w + 14
            last = y + h
        below = last  # rows follow each other downwards


if __name__ == "__main__":
    {"make": make, "html": check_html, "strength": check_strength, "png": check_png}[sys.argv[1]](*sys.argv[2:])
