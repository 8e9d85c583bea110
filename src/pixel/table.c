#include "pixel/pixel_priv.h"

#define OURS     "narthex"
#define TURBO    "libjpeg-turbo"
#define CHARLS   "CharLS"
#define OPENJPEG "OpenJPEG"
/* One stream of all frames: it goes out as it came. */
#define VIDEO(uid, name, bits)                                                     \
	{                                                                          \
		uid, name, NULL, NX_PIXEL_VIDEO | NX_PIXEL_LOSSY, bits, NULL, NULL \
	}
#define VIDEO_AND_FRAGMENTABLE(uid, name) \
	VIDEO(uid, name, 8), VIDEO(uid ".1", "Fragmentable " name, 8)

/* A syntax that no row has is stored and given back as it came, and cannot be decoded. */
const struct nx_pixel_codec nx_pixel_codecs[] = {
	{"1.2.840.10008.1.2", "Implicit VR Little Endian", OURS, NX_PIXEL_NATIVE, 64,
		nx_native_decode, nx_native_encode},
	{"1.2.840.10008.1.2.1", "Explicit VR Little Endian", OURS, NX_PIXEL_NATIVE, 64,
		nx_native_decode, nx_native_encode},
	{"1.2.840.10008.1.2.1.98", "Encapsulated Uncompressed", OURS, 0, 64, nx_native_decode,
		nx_native_encode},
	{"1.2.840.10008.1.2.1.99", "Deflated Explicit VR Little Endian", OURS, NX_PIXEL_NATIVE, 64,
		nx_native_decode, nx_native_encode},
	{"1.2.840.10008.1.2.2", "Explicit VR Big Endian", OURS,
		NX_PIXEL_NATIVE | NX_PIXEL_BIG_ENDIAN, 64, nx_native_decode, NULL},
	{"1.2.840.10008.1.2.8.1", "Deflated Image Frame", "zlib", 0, 64, nx_inflate_decode,
		nx_inflate_encode},
	{"1.2.840.10008.1.2.5", "RLE Lossless", OURS, 0, 64, nx_rle_decode, nx_rle_encode},
	{"1.2.840.10008.1.2.4.50", "JPEG Baseline (Process 1)", TURBO, NX_PIXEL_LOSSY, 8,
		nx_jpeg_decode, nx_jpeg_encode},
	{"1.2.840.10008.1.2.4.51", "JPEG Extended (Process 2 and 4)", TURBO ", " OURS,
		NX_PIXEL_LOSSY, 12, nx_jpeg_decode, NULL},
	{"1.2.840.10008.1.2.4.57", "JPEG Lossless (Process 14)", OURS, 0, 16, nx_jpeg_decode, NULL},
	{"1.2.840.10008.1.2.4.70", "JPEG Lossless SV1 (Process 14)", OURS, 0, 16, nx_jpeg_decode,
		NULL},
	{"1.2.840.10008.1.2.4.80", "JPEG-LS Lossless", CHARLS, 0, 16, nx_jls_decode, nx_jls_encode},
	{"1.2.840.10008.1.2.4.81", "JPEG-LS Near-Lossless", CHARLS, NX_PIXEL_LOSSY, 16,
		nx_jls_decode, nx_jls_encode},
	{"1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless", OPENJPEG, 0, 24, nx_j2k_decode,
		nx_j2k_encode},
	{"1.2.840.10008.1.2.4.91", "JPEG 2000", OPENJPEG, NX_PIXEL_LOSSY, 24, nx_j2k_decode,
		nx_j2k_encode},
	{"1.2.840.10008.1.2.4.201", "HTJ2K Lossless", OPENJPEG ", OpenJPH", 0, 24, nx_j2k_decode,
		nx_htj2k_encode},
	{"1.2.840.10008.1.2.4.202", "HTJ2K Lossless RPCL", OPENJPEG ", OpenJPH", 0, 24,
		nx_j2k_decode, nx_htj2k_encode},
	{"1.2.840.10008.1.2.4.203", "HTJ2K", OPENJPEG, NX_PIXEL_LOSSY, 24, nx_j2k_decode, NULL},
	VIDEO_AND_FRAGMENTABLE("1.2.840.10008.1.2.4.100", "MPEG2 Main Level"),
	VIDEO_AND_FRAGMENTABLE("1.2.840.10008.1.2.4.101", "MPEG2 High Level"),
	VIDEO_AND_FRAGMENTABLE("1.2.840.10008.1.2.4.102", "H.264 High Profile 4.1"),
	VIDEO_AND_FRAGMENTABLE("1.2.840.10008.1.2.4.103", "H.264 BD-compatible 4.1"),
	VIDEO_AND_FRAGMENTABLE("1.2.840.10008.1.2.4.104", "H.264 High Profile 4.2 2D"),
	VIDEO_AND_FRAGMENTABLE("1.2.840.10008.1.2.4.105", "H.264 High Profile 4.2 3D"),
	VIDEO_AND_FRAGMENTABLE("1.2.840.10008.1.2.4.106", "H.264 Stereo 4.2"),
	VIDEO("1.2.840.10008.1.2.4.107", "HEVC Main 5.1", 8),
	VIDEO("1.2.840.10008.1.2.4.108", "HEVC Main 10 5.1", 10),
	{NULL, NULL, NULL, 0, 0, NULL, NULL},
};

const struct nx_pixel_codec *nx_pixel_codec_find(const char *uid)
{
	for (const struct nx_pixel_codec *c = nx_pixel_codecs; c->uid; c++)
		if (strcmp(c->uid, uid) == 0)
			return c;
	return NULL;
}
