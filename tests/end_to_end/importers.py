"""What other programs say of image files, against what `anlage inspect` says: DCMTK's for DICOM, nifti-bin's for NIfTI.
In: importers.py dicom|nifti ANLAGE FILE WORK; importers.py write FOLDER. Out: nothing, or what differs and exit status 1;
files that the tools of LibTIFF and DCMTK then convert."""
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import zlib


def say(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def inspect(anlage, path):
    found, last = {}, None
    for line in say(anlage, "inspect", path).splitlines()[1:]:
        key, value = line[2:13].strip(), line[13:].strip()
        if key:
            found[key], last = value, key
        else:
            found[last] += " " + value
    return found


def numbers(text):
    return [float(v) for v in text.split()]


class Differences:
    def __init__(self):
        self.count = 0

    def same(self, what, ours, theirs):
        if ours != theirs:
            print(f"{what}: {ours} here, {theirs} there")
            self.count += 1

    def near(self, what, ours, theirs, tolerance=1e-4):
        if len(ours) != len(theirs) or any(abs(a - b) > tolerance * max(1, abs(b)) for a, b in zip(ours, theirs)):
            print(f"{what}: {ours} here, {theirs} there")
            self.count += 1

    def end(self):
        sys.exit(1 if self.count else 0)


# ---- DICOM ----

TAGS = ["0002,0010", "0028,0002", "0028,0004", "0028,0006", "0028,0008", "0028,0010", "0028,0011", "0028,0030", "0028,0100", "0028,0101", "0028,0102", "0028,0103", "0028,1050",
        "0028,1051", "0028,1052", "0028,1053", "0020,0032", "0020,0037", "3004,000e", "0008,0060", "7fe0,0010"]


DECODERS = {"RLELossless": "dcmdrle", "JPEGLSLossless": "dcmdjpls", "JPEGLSLossy": "dcmdjpls"}


def dump(path, work):
    """Tag to value, of the first place in which it stands; and the files with pixel data that DCMTK writes: one if it is not compressed."""
    found, folder = {}, os.path.join(work, "raw")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for line in say("dcmdump", "-q", "+L", "+W", folder, *[a for t in TAGS for a in ("+P", t)], path).splitlines():
        if line[0] != "(":
            continue
        tag, value = line[1:10], line[15:].rsplit("#", 1)[0].strip()
        found.setdefault(tag, "" if value.startswith("(no value") else value.strip("[]"))
    return found, [os.path.join(folder, name) for name in os.listdir(folder)]


def read_pixels(path, work):
    """What the file says, and its pixel data: decompressed by DCMTK where need be."""
    header, files = dump(path, work)
    syntax = header.get("0002,0010", "").lstrip("=")
    tool = DECODERS.get(syntax, "dcmdjpeg" if syntax.startswith("JPEG") else None)
    if tool:
        plain = os.path.join(work, "plain.dcm")
        say(tool, *(["+px"] if tool == "dcmdjpeg" else []), path, plain)
        header, files = dump(plain, work)
    (name,) = files
    with open(name, "rb") as file:
        return header, file.read(), syntax


def samples(raw, count, header):
    """Values as the header says they are to be taken from words."""
    allocated, stored, high = (int(header[t]) for t in ("0028,0100", "0028,0101", "0028,0102"))
    if allocated == 1:
        return [raw[i // 8] >> i % 8 & 1 for i in range(count)]
    words = struct.unpack("<%d%s" % (count, {8: "B", 16: "H", 32: "I"}[allocated]), raw[: count * allocated // 8])
    shift, mask, sign = high + 1 - stored, (1 << stored) - 1, 1 << (stored - 1)
    values = [w >> shift & mask for w in words]
    return [v - (1 << stored) if v & sign else v for v in values] if header["0028,0103"] == "1" else values


def dicom(anlage, path, work):
    ours, differ = inspect(anlage, path), Differences()
    header, raw, syntax = read_pixels(path, work)
    height, width, channels = int(header["0028,0010"]), int(header["0028,0011"]), int(header["0028,0002"])
    frames = int(header.get("0028,0008") or 1)
    values = samples(raw, frames * height * width * channels, header)
    if channels == 3 and header.get("0028,0006") == "1":
        pixels = height * width
        values = [values[f * 3 * pixels + c * pixels + i] for f in range(frames) for i in range(pixels) for c in range(3)]
    stored = int(header["0028,0101"])
    if channels == 3 and stored == 8 and frames == 1:  # as DCMTK shows it
        shown = os.path.join(work, "shown.ppm")
        say("dcml2pnm" if syntax.startswith("JPEGLS") else "dcmj2pnm", "-q", path, shown)
        with open(shown, "rb") as file:
            values = list(file.read()[-height * width * 3:])
    signed = header["0028,0103"] == "1"
    if header["0028,0004"] == "MONOCHROME1" and "HU" not in ours.get("values", ""):
        values = [-1 - v if signed else (1 << stored) - 1 - v for v in values]
    code, name = ("h" if stored <= 16 else "i", "int16" if stored <= 16 else "int32") if signed else \
        (("B", "uint8") if stored <= 8 else ("H", "uint16") if stored <= 16 else ("d", "float64"))
    packed = struct.pack("<%d%s" % (len(values), code), *values)
    differ.same("type", ours["type"], f"{name} of {stored} bits")
    differ.same("voxels", ours["sha256"], hashlib.sha256(packed).hexdigest())
    differ.same("size", ours["size"].split(" of " if " of " in ours["size"] else " x ", 1)[-1] if frames > 1 else ours["size"],
                f"{height} x {width}, {channels} channel{'s' if channels > 1 else ''}")
    if header.get("0028,0030"):
        y, x = (float(v) for v in header["0028,0030"].split("\\"))
        differ.near("spacing", numbers(ours["spacing"].split(" mm")[0].replace("x", " "))[:2], [x, y])
    slope, intercept = header.get("0028,1053") or header.get("3004,000e"), header.get("0028,1052") or "0"
    if slope:
        said = ours["values"].split("stored * ")[1].rstrip(")").replace("- ", "-").replace("+ ", "").split()
        differ.near("scale", [float(v) for v in said], [float(slope), float(intercept)])
    else:
        differ.same("scale", "values" in ours, False)
    if header.get("0020,0037") and frames == 1:
        o, p = ([float(v) for v in header[t].split("\\")] for t in ("0020,0037", "0020,0032"))
        affine = numbers(ours["affine"])
        differ.near("place", [affine[i] for i in (0, 4, 8, 1, 5, 9, 3, 7, 11)], [v * x for v in o[:3]] + [v * y for v in o[3:]] + p, 1e-3)
    if header.get("0028,1050"):
        differ.near("window", [float(v) for v in ours["window"].split(",")], [float(header[t].split("\\")[0]) for t in ("0028,1050", "0028,1051")])
    differ.end()


# ---- NIfTI ----

TYPES = {2: ("uint8", "B"), 4: ("int16", "h"), 8: ("int32", "i"), 16: ("float32", "f"), 64: ("float64", "d"), 256: ("int16", "h"), 512: ("uint16", "H"),
         768: ("float64", "d"), 1024: ("float64", "d"), 1280: ("float64", "d")}


def nifti(anlage, path, work):
    ours, differ = inspect(anlage, path), Differences()
    fields = {}
    for line in say("nifti_tool", "-disp_nim", "-infiles", path).splitlines():
        parts = line.split(None, 3)
        if len(parts) == 4 and parts[1].isdigit():
            fields[parts[0]] = parts[3]
    nx, ny, nz, nt = (max(1, int(fields[f])) for f in ("nx", "ny", "nz", "nt"))
    name, code = TYPES[int(fields["datatype"])]
    differ.same("type", ours["type"].split()[0], name)
    lines = say("nifti_tool", "-disp_ci", "-1", "-1", "-1", "-1", "-1", "-1", "-1", "-infiles", path).splitlines()
    text = " ".join(line for line in lines if line and not line.startswith("dataset"))
    values = [float(v) if code in "fd" else int(v) for v in text.split()]
    differ.same("number of voxels", len(values), nx * ny * nz * nt)
    # The place of each voxel, by the library's own matrix: to the right, the front and the head.
    has_s, has_q = int(fields["sform_code"]) > 0, int(fields["qform_code"]) > 0
    size, axes, back = [nx, ny, nz], [0, 1, 2], [False] * 3
    if has_s or has_q:
        m = [float(v) for v in fields["sto_xyz" if has_s else "qto_xyz"].split()]
        for i in range(3):  # our axes run to the left, the back, the head; these files are nearly aligned to them
            axes[i] = max(range(3), key=lambda a: abs(m[4 * i + a]))
            back[i] = (m[4 * i + axes[i]] > 0) if i < 2 else (m[4 * i + axes[i]] < 0)
        differ.near("spacing", numbers(ours["spacing"].split(" mm")[0].replace("x", " ")),
                    [sum(m[4 * i + axes[a]] ** 2 for i in range(3)) ** 0.5 for a in range(3)])
        corner = [size[a] - 1 if back[axes.index(a)] else 0 for a in range(3)]
        origin = [sum(m[4 * i + a] * corner[a] for a in range(3)) + m[4 * i + 3] for i in range(3)]
        differ.near("place", numbers(ours["affine"])[3::4], [-origin[0], -origin[1], origin[2]], 1e-3)
    stride = [1, nx, nx * ny]
    turned = []
    for t in range(nt):
        for z in range(size[axes[2]]):
            for y in range(size[axes[1]]):
                at = t * nx * ny * nz
                for axis, v in ((2, z), (1, y)):
                    at += stride[axes[axis]] * (size[axes[axis]] - 1 - v if back[axis] else v)
                n, s = size[axes[0]], stride[axes[0]]
                row = values[at:at + (n - 1) * s + 1:s]
                turned += row[::-1] if back[0] else row
    differ.same("voxels", ours["sha256"], hashlib.sha256(struct.pack("<%d%s" % (len(turned), code), *turned)).hexdigest())
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope not in (0, 1) or (slope and intercept):
        said = ours["values"].split("stored * ")[1].rstrip(")").replace("- ", "-").replace("+ ", "").split()
        differ.near("scale", [float(v) for v in said], [slope, intercept])
    differ.end()


# ---- files for the tools to convert ----

WIDTH, HEIGHT = 61, 47


def value(x, y, c, most):
    """Smooth with some noise: compressions have something to do, and a shifted or exchanged pixel shows."""
    smooth = (x * 3 + y * 5 + c * 40) * most // 560
    return min(most, smooth ^ (zlib.crc32(bytes([x, y, c])) % (most // 16 + 1)))


UNSIGNED, SIGNED, REAL = 1, 2, 3  # as TIFF's sample format has them


def packed(values, bits):
    """A row of unsigned samples, from the highest bit on."""
    number = 0
    for v in values:
        number = number << bits | v
    spare = -len(values) * bits % 8
    return (number << spare).to_bytes((len(values) * bits + spare) // 8, "big")


def write_tiff(path, bits, channels=1, kind=UNSIGNED, grey=1, pattern=None):
    """An uncompressed file in one strip, and the SHA-256 of the voxels that it stands for. grey: 0 if white is 0, 1 if black is, 3: a palette."""
    most = (1 << min(bits, 31)) - 1
    values = [[pattern(x, y) if pattern else value(x, y, c, most) for x in range(WIDTH) for c in range(channels)] for y in range(HEIGHT)]
    if kind == SIGNED:
        values = [[v - (most + 1) // 2 for v in row] for row in values]
    if kind == REAL:
        values = [[v / 7 - 1000 for v in row] for row in values]
    code = {UNSIGNED: {8: "B", 16: "H", 32: "I"}, SIGNED: {8: "b", 16: "h", 32: "i"}, REAL: {32: "f", 64: "d"}}[kind].get(bits)
    data = b"".join(struct.pack("<%d%s" % (len(row), code), *row) if code else packed(row, bits) for row in values)
    short = lambda tag, *v: (tag, 3, v)
    entries = [short(256, WIDTH), short(257, HEIGHT), short(258, *[bits] * channels), short(259, 1), short(262, 2 if channels == 3 else grey), (273, 4, (8,)), short(277, channels),
               short(278, HEIGHT), (279, 4, (len(data),)), short(284, 1)] + ([short(320, *COLOURS)] if grey == 3 else []) + [short(339, *[kind] * channels)]
    directory = 8 + len(data) + (len(data) & 1)
    extra, at = b"", directory + 2 + 12 * len(entries) + 4
    with open(path, "wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, directory) + data + bytes(len(data) & 1) + struct.pack("<H", len(entries)))
        for tag, size, numbers_ in entries:
            content = struct.pack("<%d%s" % (len(numbers_), "HI"[size - 3]), *numbers_)
            file.write(struct.pack("<HHI", tag, size, len(numbers_)) + (content.ljust(4, b"\0") if len(content) <= 4 else struct.pack("<I", at + len(extra))))
            extra += content if len(content) > 4 else b""
        file.write(struct.pack("<I", 0) + extra)
    # What a reader must give: few bits are spread over 0 to 255, and types that it has not become wider.
    flat = [v for row in values for v in row]
    if grey == 3:
        flat = [COLOURS[256 * c + v] >> 8 for v in flat for c in range(3)]
    elif bits < 8:
        flat = [v * 255 // most for v in flat]
    if grey == 0:
        flat = [(255 if bits < 8 else most) - v for v in flat]
    ours = {UNSIGNED: "B" if bits <= 8 else "H" if bits <= 16 else "d", SIGNED: "h" if bits <= 16 else "i", REAL: code}[kind]
    with open(path + ".sha256", "w") as file:
        file.write(hashlib.sha256(struct.pack("<%d%s" % (len(flat), ours), *flat)).hexdigest())


def write_differences_of_reals(path):
    """A big-endian file with predictor 3, as Adobe's TIFF Technical Note 3 has it: of a row first all highest bytes, then the next, in either order of bytes."""
    values = [[value(x, y, 0, 65535) / 7 - 1000 for x in range(WIDTH)] for y in range(HEIGHT)]
    rows = b""
    for row in values:
        split = b"".join(struct.pack(">%df" % WIDTH, *row)[byte::4] for byte in range(4))
        rows += bytes((b - a) % 256 for a, b in zip(b"\0" + split, split))
    data = zlib.compress(rows)
    entries = [(256, 3, WIDTH), (257, 3, HEIGHT), (258, 3, 32), (259, 3, 8), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, HEIGHT), (279, 4, len(data)), (317, 3, 3), (339, 3, REAL)]
    with open(path, "wb") as file:
        file.write(struct.pack(">2sHI", b"MM", 42, 8 + len(data) + len(data) % 2) + data + bytes(len(data) % 2) + struct.pack(">H", len(entries)))
        for tag, size, v in entries:
            file.write(struct.pack(">HHIHH", tag, size, 1, v, 0) if size == 3 else struct.pack(">HHII", tag, size, 1, v))
        file.write(struct.pack(">I", 0))
    with open(path + ".sha256", "w") as file:
        file.write(hashlib.sha256(b"".join(struct.pack("<%df" % WIDTH, *row) for row in values)).hexdigest())


COLOURS = [(i * (7 + 6 * c) % 256) << 8 for c in range(3) for i in range(256)]


def element(tag, vr, content):
    content += (b"\0" if vr in ("UI", "OB", "OW") else b" ") * (len(content) & 1)
    head = struct.pack("<HH2s", tag >> 16, tag & 65535, vr.encode())
    return head + (struct.pack("<HI", 0, len(content)) if vr in ("OB", "OW", "SQ") else struct.pack("<H", len(content))) + content


def write_dicom(path, bits, channels, signed=False, frames=1):
    count = WIDTH * HEIGHT * channels
    most = (1 << bits) - 1
    values = [value(x, y, c + f, most) for f in range(frames) for y in range(HEIGHT) for x in range(WIDTH) for c in range(channels)]
    if signed:
        values = [v - (1 << (bits - 1)) for v in values]
    packed = struct.pack("<%d%s" % (count * frames, "B" if bits <= 8 else "h" if signed else "H"), *values)
    meta = element(0x00020002, "UI", b"1.2.840.10008.5.1.4.1.1.7") + element(0x00020003, "UI", b"1.2.3.5") + element(0x00020010, "UI", b"1.2.840.10008.1.2.1")
    us = lambda tag, v: element(tag, "US", struct.pack("<H", v))
    data = element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7") + element(0x00080018, "UI", b"1.2.3.5") + element(0x00080060, "CS", b"MR") + \
        element(0x00100020, "LO", b"17") + element(0x0020000D, "UI", b"1.2.3") + element(0x0020000E, "UI", b"1.2.3.4") + us(0x00280002, channels) + \
        element(0x00280004, "CS", b"RGB" if channels == 3 else b"MONOCHROME2") + (us(0x00280006, 0) if channels == 3 else b"") + \
        (element(0x00280008, "IS", b"%d" % frames) if frames > 1 else b"") + us(0x00280010, HEIGHT) + us(0x00280011, WIDTH) + \
        us(0x00280100, 8 if bits <= 8 else 16) + us(0x00280101, bits) + us(0x00280102, bits - 1) + us(0x00280103, int(signed)) + \
        element(0x7FE00010, "OB" if bits <= 8 else "OW", packed)
    with open(path, "wb") as file:
        file.write(bytes(128) + b"DICM" + element(0x00020000, "UL", struct.pack("<I", len(meta))) + meta + data)
    with open(path + ".sha256", "w") as file:
        file.write(hashlib.sha256(packed).hexdigest())


def write(folder):
    os.makedirs(folder, exist_ok=True)
    at = lambda name: os.path.join(folder, name)
    for bits in (1, 2, 4, 8, 10, 12, 14, 16, 32):
        write_tiff(at("grey%d.tif" % bits), bits)
    for bits in (8, 16, 32):
        write_tiff(at("signed%d.tif" % bits), bits, kind=SIGNED)
    for bits in (32, 64):
        write_tiff(at("real%d.tif" % bits), bits, kind=REAL)
    for bits in (8, 16):
        write_tiff(at("rgb%d.tif" % bits), bits, channels=3)
        write_tiff(at("white%d.tif" % bits), bits, grey=0)
    write_differences_of_reals(at("differences.tif"))
    write_tiff(at("palette.tif"), 8, grey=3)
    write_tiff(at("bilevel.tif"), 1, pattern=lambda x, y: (x // 7 + y // 5) % 2)
    write_dicom(at("grey8.dcm"), 8, 1)
    write_dicom(at("grey12.dcm"), 12, 1)
    write_dicom(at("grey16s.dcm"), 16, 1, signed=True)
    write_dicom(at("frames.dcm"), 12, 1, frames=3)
    write_dicom(at("rgb8.dcm"), 8, 3)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2])
    else:
        {"dicom": dicom, "nifti": nifti}[sys.argv[1]](*sys.argv[2:5])
