/* DCMTK behind the C interface of dicom.h.
 * In: an open file. Out: values and frames as stored; for what cannot be had, the reason.
 * DCMTK trusts its files: depth, numbers of elements, sizes of frames and runs are checked here before it relies on them. */
#include <charconv>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include <unistd.h>
#include <zlib.h>

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmdata/dcfcache.h>
#include <dcmtk/dcmdata/dcistrma.h>
#include <dcmtk/dcmdata/dcpixel.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
#include <dcmtk/dcmjpeg/djdecode.h>
#include <dcmtk/dcmjpls/djdecode.h>
#include <dcmtk/oflog/oflog.h>
#include <dcmtk/oflog/spi/logevent.h>

extern "C" {
#include "data/scan.h"
}
#include "data/dicom.h"

namespace {

/* ---- the library, once for the process ---- */

/* What DCMTK says while this thread reads: the first error, and the first sign of a damaged frame, of which it would go on. */
struct said {
    char error[200], damage[200];
};
thread_local said heard;

void keep(char (&to)[200], const std::string &text)
{
    /* without the class that says it: "DcmElement: …" */
    const size_t colon = text.compare(0, 3, "Dcm") == 0 ? text.find(": ") : std::string::npos;
    if (!to[0])
        snprintf(to, sizeof to, "%s", text.c_str() + (colon == std::string::npos ? 0 : colon + 2));
}

/* libjpeg (inside of DCMTK) makes up pixels after these warnings. Extraneous bytes between markers cost none. */
bool is_damage(const std::string &text)
{
    return (text.compare(0, 17, "Corrupt JPEG data") == 0 && text.find("extraneous bytes") == std::string::npos) ||
           text.compare(0, 22, "Premature end of JPEG ") == 0 || text.compare(0, 24, "Inconsistent progression") == 0;
}

class listener : public dcmtk::log4cplus::Appender
{
  public:
    ~listener() { destructorImpl(); }
    void close() {}

  protected:
    void append(const dcmtk::log4cplus::spi::InternalLoggingEvent &event)
    {
        const std::string text(event.getMessage().c_str());
        if (event.getLogLevel() >= dcmtk::log4cplus::ERROR_LOG_LEVEL)
            keep(heard.error, text);
        else if (is_damage(text))
            keep(heard.damage, text);
    }
};

/* DCMTK keeps its loggers, codecs and dictionary for the whole process. */
void end_library()
{
    DJDecoderRegistration::cleanup();
    DJLSDecoderRegistration::cleanup();
}

void start_library()
{
    OFLog::configure(OFLogger::WARN_LOG_LEVEL);
    dcmtk::log4cplus::Logger root = dcmtk::log4cplus::Logger::getRoot();
    root.removeAllAppenders();
    root.addAppender(dcmtk::log4cplus::SharedAppenderPtr(new listener));
    dcmEnableUnknownVRConversion.set(OFTrue); /* UN that the dictionary knows */
    DJDecoderRegistration::registerCodecs(EDC_photometricInterpretation, EUC_never, EPC_colorByPixel);
    DJLSDecoderRegistration::registerCodecs(EJLSUC_never, EJLSPC_colorByPixel);
    std::atexit(end_library); /* before DCMTK forgets them: it was loaded before */
}

/* ---- bytes ---- */

/* A file, or what was inflated from it. Reads at any place, keeps no position. */
class source
{
  public:
    virtual ~source() {}
    virtual offile_off_t size() const = 0;
    virtual size_t read_at(offile_off_t at, void *to, size_t bytes) = 0;
};

class file_source : public source
{
  public:
    explicit file_source(FILE *file) : descriptor(fileno(file)), length(lseek(fileno(file), 0, SEEK_END)) {}
    offile_off_t size() const { return length; }
    size_t read_at(offile_off_t at, void *to, size_t bytes)
    {
        size_t done = 0;
        while (done < bytes) {
            ssize_t n = pread(descriptor, static_cast<char *>(to) + done, bytes - done, at + static_cast<off_t>(done));
            if (n <= 0)
                break;
            done += static_cast<size_t>(n);
        }
        return done;
    }

  private:
    const int descriptor;
    const offile_off_t length;
};

class memory_source : public source
{
  public:
    std::vector<unsigned char> bytes;
    offile_off_t size() const { return static_cast<offile_off_t>(bytes.size()); }
    size_t read_at(offile_off_t at, void *to, size_t count)
    {
        if (at >= size())
            return 0;
        const size_t left = bytes.size() - static_cast<size_t>(at);
        count = count < left ? count : left;
        memcpy(to, bytes.data() + at, count);
        return count;
    }
};

/* How far parsing may go. DCMTK calls itself for each level of sequences, so the stack is measured where it reads; and each element
 * becomes an object of some hundred bytes, however small it is in the file. */
const size_t most_stack = 512 * 1024;
const int64_t most_reads = 8 * 1000 * 1000;

struct bounds {
    const char *base = nullptr; /* of the stack; nullptr: not parsing */
    int64_t reads = 0;
    const char *broken = nullptr; /* which one */
};

class producer : public DcmProducer
{
  public:
    producer(source *from, bounds *limits, offile_off_t at) : from(from), limits(limits), position(at) {}
    OFBool good() const { return status_.good(); }
    OFCondition status() const { return status_; }
    OFBool eos() { return position >= from->size(); }
    offile_off_t avail() { return eos() ? 0 : from->size() - position; }
    offile_off_t read(void *to, offile_off_t bytes)
    {
        if (!check() || bytes <= 0)
            return 0;
        offile_off_t left = avail();
        bytes = bytes < left ? bytes : left;
        size_t done = bytes > most_kept ? from->read_at(position, to, static_cast<size_t>(bytes)) : read_kept(to, bytes);
        position += static_cast<offile_off_t>(done);
        return static_cast<offile_off_t>(done);
    }
    offile_off_t skip(offile_off_t bytes)
    {
        if (status_.bad() || bytes <= 0)
            return 0;
        offile_off_t left = avail();
        bytes = bytes < left ? bytes : left;
        position += bytes;
        return bytes;
    }
    void putback(offile_off_t bytes)
    {
        if (bytes > position)
            status_ = EC_PutbackFailed;
        else
            position -= bytes;
    }

  private:
    static const offile_off_t most_kept = 4096;

    bool check()
    {
        if (status_.good() && limits->base) {
            const ptrdiff_t used = limits->base - static_cast<const char *>(__builtin_frame_address(0));
            if (static_cast<size_t>(used < 0 ? -used : used) > most_stack)
                limits->broken = "its sequences are nested too deeply";
            else if (++limits->reads > most_reads)
                limits->broken = "it has more than some million data elements";
            if (limits->broken)
                status_ = EC_CorruptedData;
        }
        return status_.good();
    }

    /* Tags and lengths are read a few bytes at a time. */
    size_t read_kept(void *to, offile_off_t bytes)
    {
        if (position < kept_at || position + bytes > kept_at + static_cast<offile_off_t>(kept_length)) {
            kept_at = position;
            kept_length = from->read_at(position, kept, sizeof kept);
        }
        size_t left = kept_length - static_cast<size_t>(position - kept_at);
        size_t count = static_cast<size_t>(bytes) < left ? static_cast<size_t>(bytes) : left;
        memcpy(to, kept + (position - kept_at), count);
        return count;
    }

    source *const from;
    bounds *const limits;
    offile_off_t position;
    OFCondition status_ = EC_Normal;
    char kept[most_kept * 4];
    offile_off_t kept_at = 0;
    size_t kept_length = 0;
};

class stream;

/* Lets DCMTK come back for a large value. */
class factory : public DcmInputStreamFactory
{
  public:
    factory(source *from, bounds *limits, offile_off_t at) : from(from), limits(limits), at(at) {}
    DcmInputStream *create() const;
    DcmInputStreamFactory *clone() const { return new factory(from, limits, at); }
    DcmInputStreamFactoryType ident() const { return DFT_DcmInputFileStreamFactory; }

  private:
    source *const from;
    bounds *const limits;
    const offile_off_t at;
};

class stream : public DcmInputStream
{
  public:
    stream(source *from, bounds *limits, offile_off_t at) : DcmInputStream(&reads), reads(from, limits, at), from(from), limits(limits), at(at) {}
    DcmInputStreamFactory *newFactory() const { return new factory(from, limits, at + tell()); }

  private:
    producer reads;
    source *const from;
    bounds *const limits;
    const offile_off_t at; /* where it began */
};

DcmInputStream *factory::create() const { return new stream(from, limits, at); }

} // namespace

struct anl_dicom {
    explicit anl_dicom(FILE *file) : from(file) {}
    file_source from;
    memory_source inflated;
    bounds limits;
    DcmDataset data;
    std::string syntax; /* transfer syntax, as DCMTK calls it */
    E_TransferSyntax xfer = EXS_Unknown;
    DcmItem *shared = nullptr;
    std::vector<DcmItem *> per_frame;
    /* pixels */
    DcmElement *plain = nullptr;
    DcmPixelData *pixel_data = nullptr;
    DcmPixelSequence *pieces = nullptr;
    anl_dicom_kind kind = ANL_DICOM_NONE;
    DcmFileCache cache;
    Uint32 next_piece = 1; /* the first is a table of offsets */
    Uint32 next_frame = 0;
};

namespace {

anl_status damaged(char *reason, const OFCondition &condition)
{
    return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: %s", heard.error[0] ? heard.error : condition.text());
}

/* The rest of a deflated file (PS3.5, A.5): a raw deflate stream. */
anl_status inflate_rest(anl_dicom *d, offile_off_t at, char *reason)
{
    const size_t most = ANL_SCAN_MAX_BYTES + (size_t(64) << 20);
    z_stream z = {};
    if (inflateInit2(&z, -15) != Z_OK)
        return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "zlib cannot be started");
    std::vector<unsigned char> in(1 << 16);
    std::vector<unsigned char> &out = d->inflated.bytes;
    size_t filled = 0;
    int code = Z_OK;
    try {
        while (code == Z_OK) {
            if (z.avail_in == 0) {
                z.avail_in = static_cast<uInt>(d->from.read_at(at, in.data(), in.size()));
                z.next_in = in.data();
                at += z.avail_in;
                if (z.avail_in == 0)
                    break;
            }
            if (filled == out.size())
                out.resize(out.size() + out.size() / 2 + (1 << 16));
            z.next_out = out.data() + filled;
            z.avail_out = static_cast<uInt>(out.size() - filled < (1u << 30) ? out.size() - filled : 1u << 30);
            const uInt room = z.avail_out;
            code = inflate(&z, Z_NO_FLUSH);
            filled += room - z.avail_out;
            if (filled > most)
                break;
        }
    } catch (...) {
        inflateEnd(&z);
        throw;
    }
    inflateEnd(&z);
    if (filled > most)
        return anl_scan_refuse(reason, ANL_ERROR_LIMIT, "its deflated data set becomes larger than 1 GiB");
    if (code != Z_STREAM_END)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: its deflated data set %s",
                               code == Z_OK ? "ends early" : "cannot be inflated");
    out.resize(filled);
    return ANL_OK;
}

anl_status parse(anl_dicom *d, char *reason)
{
    d->limits.base = static_cast<const char *>(__builtin_frame_address(0));
    stream whole(&d->from, &d->limits, 0);
    DcmMetaInfo meta;
    meta.transferInit();
    OFCondition condition = meta.read(whole, EXS_Unknown, EGL_noChange, DCM_MaxReadLength);
    meta.transferEnd();
    if (condition.good()) {
        OFString uid;
        if (meta.findAndGetOFString(DCM_TransferSyntaxUID, uid).good() && !uid.empty()) {
            DcmXfer xfer(uid.c_str());
            if (xfer.getXfer() == EXS_Unknown)
                return anl_scan_refuse(reason, ANL_ERROR_FORMAT,
                                       "DICOM in the transfer syntax %s, which DCMTK %s does not know; decompress it first",
                                       uid.c_str(), OFFIS_DCMTK_VERSION_STRING);
            d->xfer = xfer.getXfer();
        }
        d->data.transferInit();
        if (DcmXfer(d->xfer).getStreamCompression() == ESC_zlib) {
            anl_status status = inflate_rest(d, whole.tell(), reason);
            if (status != ANL_OK)
                return status;
            stream rest(&d->inflated, &d->limits, 0);
            condition = d->data.read(rest, EXS_LittleEndianExplicit, EGL_noChange, DCM_MaxReadLength);
        } else
            condition = d->data.read(whole, d->xfer, EGL_noChange, DCM_MaxReadLength);
        d->data.transferEnd();
        const E_TransferSyntax found = d->data.getOriginalXfer();
        if (d->xfer == EXS_Unknown)
            d->xfer = found;
        d->syntax = DcmXfer(d->xfer).getXferName();
    }
    if (d->limits.broken)
        return anl_scan_refuse(reason, ANL_ERROR_LIMIT, "DICOM that is not read: %s", d->limits.broken);
    if (condition.bad())
        return damaged(reason, condition);
    d->limits.base = nullptr; /* what is read from now on is asked for */
    return ANL_OK;
}

DcmItem *first_item(DcmItem *in, const DcmTagKey &key)
{
    DcmItem *item = nullptr;
    return in && in->findAndGetSequenceItem(key, item, 0).good() ? item : nullptr;
}

void find_groups(anl_dicom *d)
{
    d->shared = first_item(&d->data, DCM_SharedFunctionalGroupsSequence);
    DcmSequenceOfItems *frames = nullptr;
    if (d->data.findAndGetSequence(DCM_PerFrameFunctionalGroupsSequence, frames).good() && frames)
        for (DcmObject *item = nullptr; (item = frames->nextInContainer(item));)
            d->per_frame.push_back(static_cast<DcmItem *>(item));
}

DcmTagKey key_of(uint32_t tag) { return DcmTagKey(static_cast<Uint16>(tag >> 16), static_cast<Uint16>(tag)); }

DcmElement *find(anl_dicom *d, const anl_dicom_place &place)
{
    DcmElement *element = nullptr;
    if (!place.sequence)
        return d->data.findAndGetElement(key_of(place.tag), element).good() ? element : nullptr;
    DcmItem *const homes[] = {place.frame >= 0 && static_cast<size_t>(place.frame) < d->per_frame.size()
                                  ? d->per_frame[static_cast<size_t>(place.frame)]
                                  : nullptr,
                              d->shared, &d->data};
    for (DcmItem *home : homes) {
        DcmItem *item = first_item(home, key_of(place.sequence));
        if (item && item->findAndGetElement(key_of(place.tag), element).good() && element && element->getLength() > 0)
            return element;
    }
    return nullptr;
}

std::string trimmed(const OFString &text)
{
    std::string s(text.c_str());
    const size_t first = s.find_first_not_of(" \t\r\n"), last = s.find_last_not_of(" \t\r\n");
    return first == std::string::npos ? std::string() : s.substr(first, last - first + 1);
}

/* DS and IS: decimal numbers, in any locale. */
bool parse_number(const OFString &text, double *value)
{
    const std::string s = trimmed(text);
    const char *begin = s.c_str(), *end = begin + s.size();
    if (begin < end && *begin == '+')
        begin++;
    const std::from_chars_result result = std::from_chars(begin, end, *value);
    return result.ec == std::errc() && result.ptr == end && begin < end && std::isfinite(*value);
}

bool number_at(DcmElement *element, unsigned long i, double *value)
{
    Uint16 u16;
    Sint16 s16;
    Uint32 u32;
    Sint32 s32;
    Float32 f32;
    Float64 f64;
    DcmTagKey tag;
    OFString text;
    switch (element->ident()) {
    case EVR_US:
    case EVR_xs:
    case EVR_lt:
    case EVR_OW:
        if (element->getUint16(u16, i).bad())
            return false;
        *value = u16;
        return true;
    case EVR_SS:
        if (element->getSint16(s16, i).bad())
            return false;
        *value = s16;
        return true;
    case EVR_UL:
    case EVR_up:
        if (element->getUint32(u32, i).bad())
            return false;
        *value = u32;
        return true;
    case EVR_SL:
        if (element->getSint32(s32, i).bad())
            return false;
        *value = s32;
        return true;
    case EVR_FL:
        if (element->getFloat32(f32, i).bad())
            return false;
        *value = f32;
        return std::isfinite(f32);
    case EVR_FD:
        if (element->getFloat64(f64, i).bad())
            return false;
        *value = f64;
        return std::isfinite(f64);
    case EVR_AT:
        if (static_cast<DcmAttributeTag *>(element)->getTagVal(tag, i).bad())
            return false;
        *value = static_cast<double>(uint32_t(tag.getGroup()) << 16 | tag.getElement());
        return true;
    case EVR_DS:
    case EVR_IS:
        return element->getOFString(text, i).good() && parse_number(text, value);
    default:
        return false;
    }
}

/* ---- compressed frames ---- */

anl_status get_piece(anl_dicom *d, Uint32 number, DcmPixelItem **item, Uint8 **bytes, size_t *length, char *reason)
{
    *bytes = nullptr;
    if (d->pieces->getItem(*item, number).bad() || !*item)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: the data of frame %u is missing", d->next_frame + 1u);
    *length = (*item)->getLength();
    OFCondition condition = (*item)->getUint8Array(*bytes);
    if (condition.bad() || !*bytes)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: the data of frame %u cannot be read", d->next_frame + 1u);
    return ANL_OK;
}

/* The frame header of a JPEG or JPEG-LS stream (ITU T.81, B.2.2). */
bool read_frame_header(const Uint8 *b, size_t length, anl_dicom_frame *out)
{
    size_t at = 2;
    if (length < 4 || b[0] != 0xFF || b[1] != 0xD8)
        return false;
    while (at + 4 <= length) {
        if (b[at] != 0xFF)
            return false;
        const int marker = b[at + 1];
        if (marker == 0xFF) { /* fill */
            at++;
            continue;
        }
        const bool frame = (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) || marker == 0xF7;
        if (frame) {
            if (at + 10 > length)
                return false;
            out->bits = b[at + 4];
            out->height = b[at + 5] << 8 | b[at + 6];
            out->width = b[at + 7] << 8 | b[at + 8];
            out->samples = b[at + 9];
            return true;
        }
        if (marker == 0xDA || marker == 0xD9) /* data, or the end */
            return false;
        at += 2 + (size_t(b[at + 2]) << 8 | b[at + 3]);
    }
    return false;
}

uint32_t little(const Uint8 *b) { return uint32_t(b[0]) | uint32_t(b[1]) << 8 | uint32_t(b[2]) << 16 | uint32_t(b[3]) << 24; }

/* One segment of PackBits (PS3.5, G.3.2): byte i goes to out[i * step]. Whether all were there. */
bool unpack(const Uint8 *in, size_t length, Uint8 *out, size_t count, size_t step)
{
    size_t done = 0, at = 0;
    while (done < count && at < length) {
        const int control = in[at++];
        if (control == 128)
            continue;
        size_t run = control < 128 ? size_t(control) + 1 : 257 - size_t(control);
        run = run < count - done ? run : count - done;
        if (control < 128) {
            if (run > length - at)
                return false;
            for (size_t i = 0; i < run; i++)
                out[(done + i) * step] = in[at + i];
            at += size_t(control) + 1;
        } else {
            if (at >= length)
                return false;
            for (size_t i = 0; i < run; i++)
                out[(done + i) * step] = in[at];
            at++;
        }
        done += run;
    }
    return done == count;
}

/* RLE (PS3.5, annex G) is read here and not by DCMTK, which trusts the offsets and fills up what is missing. A frame is one piece;
 * its segments are the bytes of each sample, the highest first. */
anl_status decode_rle(anl_dicom *d, const anl_dicom_frame *frame, int sample_bytes, void *out, char *reason)
{
    DcmPixelItem *item;
    Uint8 *bytes;
    size_t length;
    anl_status status = get_piece(d, d->next_piece, &item, &bytes, &length, reason);
    if (status != ANL_OK)
        return status;
    const size_t segments = size_t(frame->samples) * size_t(sample_bytes), pixels = size_t(frame->width) * size_t(frame->height);
    if (length < 64 || little(bytes) != segments || segments > 15)
        status = anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: frame %u has %u RLE segments, where %zu are needed",
                                 d->next_frame + 1u, length < 64 ? 0 : little(bytes), segments);
    for (size_t s = 0; s < segments && status == ANL_OK; s++) {
        const size_t from = little(bytes + 4 + 4 * s), to = s + 1 < segments ? little(bytes + 8 + 4 * s) : length;
        const size_t sample = s / size_t(sample_bytes), byte = s % size_t(sample_bytes);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        const size_t place = size_t(sample_bytes) - 1 - byte;
#else
        const size_t place = byte;
#endif
        if (from < 64 || from > to || to > length ||
            !unpack(bytes + from, to - from, static_cast<Uint8 *>(out) + sample * size_t(sample_bytes) + place, pixels, segments))
            status = anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: the RLE data of frame %u ends early", d->next_frame + 1u);
    }
    item->compact();
    d->next_piece++;
    return status;
}

anl_status check_frame(const anl_dicom *d, const anl_dicom_frame &is, const anl_dicom_frame *expected, char *reason)
{
    if (is.width == expected->width && is.height == expected->height && is.samples == expected->samples && is.bits == expected->bits)
        return ANL_OK;
    return anl_scan_refuse(reason, ANL_ERROR_FORMAT,
                           "damaged DICOM: frame %u is %d x %d pixels of %d samples of %d bits, where the file has %d x %d of %d of %d",
                           d->next_frame + 1u, is.width, is.height, is.samples, is.bits, expected->width, expected->height,
                           expected->samples, expected->bits);
}

anl_status decode_jpeg(anl_dicom *d, const anl_dicom_frame *expected, int sample_bytes, void *out, bool *rgb, char *reason)
{
    DcmPixelItem *item;
    Uint8 *bytes;
    size_t length;
    anl_status status = get_piece(d, d->next_piece, &item, &bytes, &length, reason);
    if (status != ANL_OK)
        return status;
    /* The codec trusts the data set for the size, and would leave pixels unset. */
    anl_dicom_frame is = {};
    if (!read_frame_header(bytes, length, &is))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: frame %u is no %s", d->next_frame + 1u, d->syntax.c_str());
    status = check_frame(d, is, expected, reason);
    if (status != ANL_OK)
        return status;
    size_t size = size_t(expected->width) * size_t(expected->height) * size_t(expected->samples) * size_t(sample_bytes);
    /* DCMTK asks for room for an even number of bytes, and as much as the bits allocated say. */
    std::vector<Uint8> room;
    Uint32 full = 0;
    if (d->pixel_data->getUncompressedFrameSize(&d->data, full).bad() || full < size)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: the sizes of its frames contradict each other");
    room.resize(size_t(full) + (full & 1));
    OFString model;
    OFCondition condition = d->pixel_data->getUncompressedFrame(&d->data, d->next_frame, d->next_piece, room.data(),
                                                                static_cast<Uint32>(room.size()), model, &d->cache);
    if (condition.bad() || heard.damage[0])
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: frame %u: %s", d->next_frame + 1u,
                               condition.good()       ? heard.damage
                               : heard.error[0]       ? heard.error
                                                      : condition.text());
    memcpy(out, room.data(), size);
    *rgb = model == "RGB";
    return ANL_OK;
}

/* No exception leaves the functions below. */
template <typename work> anl_status guarded(char *reason, work f)
{
    try {
        return f();
    } catch (const std::bad_alloc &) {
        return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory to read it");
    } catch (...) {
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: DCMTK gave up");
    }
}

} // namespace

static anl_status dicom_open(FILE *file, anl_dicom **out, char reason[ANL_REASON_SIZE])
{
    static std::once_flag started;
    *out = nullptr;
    return guarded(reason, [&] {
        std::call_once(started, start_library);
        heard = said();
        if (!dcmDataDict.isDictionaryLoaded())
            return anl_scan_refuse(reason, ANL_ERROR_FILE, "DCMTK does not find its dictionary (dicom.dic; DCMDICTPATH can name it)");
        anl_dicom *d = new anl_dicom(file);
        anl_status status = ANL_ERROR_MEMORY;
        try {
            status = parse(d, reason);
            if (status == ANL_OK)
                find_groups(d);
        } catch (...) {
            delete d;
            throw;
        }
        if (status == ANL_OK)
            *out = d;
        else
            delete d;
        return status;
    });
}

static void dicom_close(anl_dicom **dicom)
{
    delete *dicom;
    *dicom = nullptr;
}

static bool dicom_text(anl_dicom *d, anl_dicom_place place, char *text, size_t size)
{
    char ignored[ANL_REASON_SIZE];
    text[0] = 0;
    guarded(ignored, [&] {
        DcmElement *element = find(d, place);
        OFString value;
        if (element && element->getOFStringArray(value).good())
            snprintf(text, size, "%s", trimmed(value).c_str());
        return ANL_OK;
    });
    return text[0] != 0;
}

static int dicom_numbers(anl_dicom *d, anl_dicom_place place, double *values, int count)
{
    char ignored[ANL_REASON_SIZE];
    int found = 0;
    guarded(ignored, [&] {
        DcmElement *element = find(d, place);
        const unsigned long all = element ? element->getVM() : 0;
        for (unsigned long i = 0; i < all && i < static_cast<unsigned long>(count); i++)
            if (!number_at(element, i, &values[i]))
                return ANL_ERROR_FORMAT;
        found = all > INT_MAX ? INT_MAX : static_cast<int>(all);
        return ANL_OK;
    });
    return found;
}

static bool dicom_words(anl_dicom *d, anl_dicom_place place, uint16_t **words, size_t *count)
{
    char ignored[ANL_REASON_SIZE];
    *words = nullptr;
    *count = 0;
    return guarded(ignored, [&] {
               DcmElement *element = find(d, place);
               Uint16 *values = nullptr;
               if (!element || element->getLength() < 2 || element->getUint16Array(values).bad() || !values)
                   return ANL_ERROR_FORMAT;
               *count = element->getLength() / 2;
               *words = static_cast<uint16_t *>(malloc(*count * sizeof(uint16_t)));
               if (!*words)
                   return ANL_ERROR_MEMORY;
               memcpy(*words, values, *count * sizeof(uint16_t));
               return ANL_OK;
           }) == ANL_OK;
}

static int dicom_items(const anl_dicom *d, uint32_t sequence)
{
    DcmSequenceOfItems *items = nullptr;
    DcmDataset *data = const_cast<DcmDataset *>(&d->data);
    return data->findAndGetSequence(key_of(sequence), items).good() && items ? static_cast<int>(items->card()) : 0;
}

static int dicom_frame_groups(const anl_dicom *d) { return static_cast<int>(d->per_frame.size()); }

static anl_status find_pixels(anl_dicom *d, anl_dicom_pixels *out, char *reason)
{
    const DcmXfer xfer(d->xfer);
    out->big_endian = xfer.getByteOrder() == EBO_BigEndian;
    DcmElement *element = nullptr;
    if (d->data.findAndGetElement(DCM_PixelData, element).bad() || !element) {
        const bool single = d->data.findAndGetElement(DCM_FloatPixelData, element).good() && element;
        if (!single && (d->data.findAndGetElement(DCM_DoubleFloatPixelData, element).bad() || !element))
            return ANL_OK;
        out->kind = d->kind = single ? ANL_DICOM_FLOAT : ANL_DICOM_DOUBLE;
        out->bytes = element->getLengthField();
        d->plain = element;
        return ANL_OK;
    }
    d->pixel_data = dynamic_cast<DcmPixelData *>(element);
    if (!d->pixel_data)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: its pixel data is something else");
    const bool compressed = d->pixel_data->getLengthField() == DCM_UndefinedLength;
    if (!compressed) {
        if (xfer.isEncapsulated())
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: its pixels are not compressed, though it says %s",
                                   d->syntax.c_str());
        out->kind = d->kind = ANL_DICOM_PLAIN;
        out->bytes = d->pixel_data->getLengthField();
        d->plain = d->pixel_data;
        return ANL_OK;
    }
    switch (d->xfer) {
    case EXS_RLELossless:
        d->kind = ANL_DICOM_RLE;
        break;
    case EXS_JPEGLSLossless:
    case EXS_JPEGLSLossy:
        d->kind = ANL_DICOM_JPEG_LS;
        break;
    case EXS_JPEGProcess1:
    case EXS_JPEGProcess2_4:
    case EXS_JPEGProcess6_8:
    case EXS_JPEGProcess10_12:
    case EXS_JPEGProcess14:
    case EXS_JPEGProcess14SV1:
        d->kind = ANL_DICOM_JPEG;
        break;
    default:
        if (!xfer.isEncapsulated())
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: its pixels are compressed, though it says %s",
                                   d->syntax.c_str());
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT,
                               "DICOM compressed as %s, which DCMTK does not decode; decompress it first, e.g. with gdcmconv --raw",
                               d->syntax.c_str());
    }
    out->kind = d->kind;
    if (d->pixel_data->getEncapsulatedRepresentation(d->xfer, nullptr, d->pieces).bad() || !d->pieces)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: its pixel data is something else");
    const unsigned long parts = d->pieces->card();
    out->parts = parts < 1 ? 0 : parts > INT_MAX ? INT_MAX : static_cast<int>(parts - 1);
    /* Frames come out pixel by pixel, whatever the data set says; and the codecs want to find it said. */
    Uint16 samples = 1;
    d->data.findAndGetUint16(DCM_SamplesPerPixel, samples);
    if (samples > 1)
        d->data.putAndInsertUint16(DCM_PlanarConfiguration, 0);
    return ANL_OK;
}

static anl_status dicom_find_pixels(anl_dicom *d, anl_dicom_pixels *out, char reason[ANL_REASON_SIZE])
{
    *out = anl_dicom_pixels{ANL_DICOM_NONE, 0, 0, false};
    return guarded(reason, [&] { return find_pixels(d, out, reason); });
}

static anl_status dicom_read(anl_dicom *d, uint64_t offset, size_t bytes, void *out, char reason[ANL_REASON_SIZE])
{
    return guarded(reason, [&] {
        if (offset + bytes > UINT32_MAX)
            return anl_scan_refuse(reason, ANL_ERROR_LIMIT, "it has more than 4 GiB of pixels");
        OFCondition condition =
            d->plain->getPartialValue(out, static_cast<Uint32>(offset), static_cast<Uint32>(bytes), &d->cache, gLocalByteOrder);
        return condition.good() ? ANL_OK : damaged(reason, condition);
    });
}

static anl_status dicom_first_frame(anl_dicom *d, anl_dicom_frame *out, char reason[ANL_REASON_SIZE])
{
    *out = anl_dicom_frame{0, 0, 0, 0};
    return guarded(reason, [&] {
        DcmPixelItem *item;
        Uint8 *bytes;
        size_t length;
        anl_status status = get_piece(d, 1, &item, &bytes, &length, reason);
        if (status == ANL_OK && !read_frame_header(bytes, length, out))
            status = anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: frame 1 is no %s", d->syntax.c_str());
        return status;
    });
}

static anl_status dicom_decode(anl_dicom *d, const anl_dicom_frame *expected, int sample_bytes, void *out, bool *rgb,
                            char reason[ANL_REASON_SIZE])
{
    *rgb = false;
    anl_status status = guarded(reason, [&] {
        return d->kind == ANL_DICOM_RLE ? decode_rle(d, expected, sample_bytes, out, reason)
                                        : decode_jpeg(d, expected, sample_bytes, out, rgb, reason);
    });
    d->next_frame++;
    return status;
}

extern "C" const anl_dicom_library anl_dicom_module = {
    dicom_open,         dicom_close,       dicom_text, dicom_numbers,     dicom_words,  dicom_items,
    dicom_frame_groups, dicom_find_pixels, dicom_read, dicom_first_frame, dicom_decode,
};
