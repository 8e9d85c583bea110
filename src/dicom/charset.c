/*
 * Character sets (PS3.3 C.12.1.1.2, PS3.5 6.1): ISO 2022 designations are followed here, the code
 * tables are those of iconv(3).
 */
#include "dicom/dicom_priv.h"

#include <errno.h>
#include <iconv.h>
#include <string.h>

#include "base/buf.h"
#include "base/cast.h"

enum {
	TERMS_MAX = 16,
	RUN_MAX = 256, /* bytes for one call of iconv */
	ESC = 0x1b
};

/* What a byte stands for in a code area. */
enum set {
	SET_NONE, /* not designated */
	SET_ASCII,
	SET_LATIN1,
	SET_LATIN2,
	SET_LATIN3,
	SET_LATIN4,
	SET_CYRILLIC,
	SET_ARABIC,
	SET_GREEK,
	SET_HEBREW,
	SET_LATIN5,
	SET_LATIN9,
	SET_THAI,
	SET_KATAKANA, /* JIS X 0201 */
	SET_JISX0208,
	SET_JISX0212,
	SET_KSX1001,
	SET_GB2312,
	SET_UTF8, /* the last three take the whole byte range */
	SET_GB18030,
	SET_GBK,
	SET_COUNT
};

static const char *const iconv_names[SET_COUNT] = {
	[SET_LATIN1] = "ISO-8859-1",
	[SET_LATIN2] = "ISO-8859-2",
	[SET_LATIN3] = "ISO-8859-3",
	[SET_LATIN4] = "ISO-8859-4",
	[SET_CYRILLIC] = "ISO-8859-5",
	[SET_ARABIC] = "ISO-8859-6",
	[SET_GREEK] = "ISO-8859-7",
	[SET_HEBREW] = "ISO-8859-8",
	[SET_LATIN5] = "ISO-8859-9",
	[SET_LATIN9] = "ISO-8859-15",
	[SET_THAI] = "TIS-620",
	[SET_KATAKANA] = "SHIFT_JIS",
	[SET_JISX0208] = "EUC-JP",
	[SET_JISX0212] = "EUC-JP",
	[SET_KSX1001] = "EUC-KR",
	[SET_GB2312] = "GB2312",
	[SET_GB18030] = "GB18030",
	[SET_GBK] = "GBK",
};

/* Defined terms without spaces and punctuation, as writers differ there. */
static const struct {
	const char *term;
	enum set g1;
} terms[] = {
	{"ISOIR6", SET_NONE},
	{"ISOIR13", SET_KATAKANA},
	{"ISOIR58", SET_GB2312},
	{"ISOIR87", SET_NONE},
	{"ISOIR100", SET_LATIN1},
	{"ISOIR101", SET_LATIN2},
	{"ISOIR109", SET_LATIN3},
	{"ISOIR110", SET_LATIN4},
	{"ISOIR126", SET_GREEK},
	{"ISOIR127", SET_ARABIC},
	{"ISOIR138", SET_HEBREW},
	{"ISOIR144", SET_CYRILLIC},
	{"ISOIR148", SET_LATIN5},
	{"ISOIR149", SET_KSX1001},
	{"ISOIR159", SET_NONE},
	{"ISOIR166", SET_THAI},
	{"ISOIR192", SET_UTF8},
	{"ISOIR203", SET_LATIN9},
	{"GB18030", SET_GB18030},
	{"GBK", SET_GBK},
};

/* PS3.3 tables C.12-3 and C.12-4: the bytes after ESC. */
static const struct {
	const char *seq;
	bool g1;
	enum set set;
} escapes[] = {
	{"(B", false, SET_ASCII},
	{"(J", false, SET_ASCII}, /* JIS X 0201 romaji; 5C stays the delimiter, PS3.5 6.1.2.3 */
	{")I", true, SET_KATAKANA},
	{"-A", true, SET_LATIN1},
	{"-B", true, SET_LATIN2},
	{"-C", true, SET_LATIN3},
	{"-D", true, SET_LATIN4},
	{"-F", true, SET_GREEK},
	{"-G", true, SET_ARABIC},
	{"-H", true, SET_HEBREW},
	{"-L", true, SET_CYRILLIC},
	{"-M", true, SET_LATIN5},
	{"-T", true, SET_THAI},
	{"-b", true, SET_LATIN9},
	{"$B", false, SET_JISX0208},
	{"$@", false, SET_JISX0208}, /* the edition of 1978, as some writers still send */
	{"$(D", false, SET_JISX0212},
	{"$)C", true, SET_KSX1001},
	{"$)A", true, SET_GB2312},
};

struct decoder {
	struct nx_buf *out;
	uint16_t vr;
	enum set first_g1;
	enum set multi_g1; /* a multi-byte set among the later terms, for text without escapes */
	enum set g0;
	enum set g1;
	iconv_t cd; /* for cd_set */
	enum set cd_set;
	enum set run_set;
	size_t run_n;
	char run[RUN_MAX];
};

static void put_replacement(struct decoder *d)
{
	nx_buf_put_str(d->out, "\xef\xbf\xbd");
}

/* ---- conversion of a run of one set ---- */

static void cd_close(struct decoder *d)
{
	if (d->cd_set != SET_NONE)
		(void)iconv_close(d->cd);
	d->cd_set = SET_NONE;
}

static bool cd_open(struct decoder *d, enum set set)
{
	if (d->cd_set == set)
		return true;
	cd_close(d);
	d->cd = iconv_open("UTF-8", iconv_names[set]);
	if (d->cd == (iconv_t)-1) /* NOLINT(performance-no-int-to-ptr) */
		return false;
	d->cd_set = set;
	return true;
}

/* Convert all of it; bytes that are no character become U+FFFD one by one. */
static void convert(struct decoder *d, enum set set, char *p, size_t n)
{
	bool open = cd_open(d, set);

	while (n) {
		size_t room = (n < RUN_MAX ? n : RUN_MAX) * 4; /* UTF-8 takes at most 4 */
		char *to = (char *)nx_buf_reserve(d->out, room);
		size_t left = room, got = (size_t)-1;

		if (!to)
			return;
		if (open)
			got = iconv(d->cd, &p, &n, &to, &left);
		d->out->len += room - left;
		if (got != (size_t)-1)
			return;
		if (open && errno == E2BIG)
			continue;
		put_replacement(d);
		p++;
		n--;
		if (open)
			(void)iconv(d->cd, NULL, NULL, NULL, NULL);
	}
}

static void run_flush(struct decoder *d)
{
	size_t n = d->run_n;

	d->run_n = 0;
	if (n == 0)
		return;
	if (d->run_set == SET_ASCII)
		nx_buf_put(d->out, d->run, n);
	else
		convert(d, d->run_set, d->run, n);
}

/* One character of `n` bytes (at most 3) in the encoding that iconv_names[] gives for `set`. */
static void run_put(struct decoder *d, enum set set, const char *c, size_t n)
{
	if (d->run_set != set || d->run_n + n > RUN_MAX)
		run_flush(d);
	d->run_set = set;
	memcpy(d->run + d->run_n, c, n);
	d->run_n += n;
}

/* ---- ISO 2022 ---- */

static void reset(struct decoder *d)
{
	d->g0 = SET_ASCII;
	d->g1 = d->first_g1;
}

/* PS3.5 6.1.2.5.3: where the sets of the first term are in force again. */
static bool is_delimiter(const struct decoder *d, uint8_t c)
{
	const struct nx_vr_info *info = nx_vr_info(d->vr);

	if (c == '\r' || c == '\n' || c == '\f' || c == '\t')
		return true;
	if (d->vr == NX_VR('P', 'N') && (c == '^' || c == '='))
		return true;
	return c == '\\' && !(info && (info->flags & NX_VR_SINGLE));
}

static void escape(struct decoder *d, struct nx_slice *text)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(escapes); i++) {
		size_t n = strlen(escapes[i].seq);

		if (text->n < n || memcmp(text->p, escapes[i].seq, n) != 0)
			continue;
		*text = nx_slice(text->p + n, text->n - n);
		if (escapes[i].g1)
			d->g1 = escapes[i].set;
		else
			d->g0 = escapes[i].set;
		return;
	}
	run_flush(d);
	put_replacement(d);
}

/* Two bytes of a 94 x 94 set; the second is missing: U+FFFD. */
static void put_pair(struct decoder *d, enum set set, uint8_t c, struct nx_slice *text)
{
	char pair[3] = {(char)0x8f, (char)(c | 0x80), 0};
	uint8_t next = text->n ? text->p[0] & 0x7f : 0;

	if (next < 0x21) {
		run_flush(d);
		put_replacement(d);
		return;
	}
	*text = nx_slice(text->p + 1, text->n - 1);
	pair[2] = (char)(next | 0x80);
	if (set == SET_JISX0212) /* EUC code set 3 */
		run_put(d, set, pair, 3);
	else
		run_put(d, set, pair + 1, 2);
}

static void put_g1(struct decoder *d, uint8_t c, struct nx_slice *text)
{
	enum set set = d->g1 == SET_NONE ? d->multi_g1 : d->g1;

	if (set == SET_NONE || c < 0xa0 || (set == SET_KATAKANA && c > 0xdf)) {
		run_flush(d);
		put_replacement(d);
	} else if (set == SET_KSX1001 || set == SET_GB2312) {
		put_pair(d, set, c, text);
	} else {
		run_put(d, set, (const char *)&c, 1);
	}
}

static void decode_2022(struct decoder *d, struct nx_slice text)
{
	reset(d);
	while (text.n) {
		uint8_t c = text.p[0];

		text = nx_slice(text.p + 1, text.n - 1);
		if (c == ESC) {
			escape(d, &text);
		} else if (c >= 0x80) {
			put_g1(d, c, &text);
		} else if (c > 0x20 && d->g0 != SET_ASCII) {
			put_pair(d, d->g0, c, &text);
		} else {
			if (is_delimiter(d, c))
				reset(d);
			run_put(d, SET_ASCII, (const char *)&c, 1);
		}
	}
	run_flush(d);
}

/* ---- without code extensions ---- */

/* Length of the character at the begin of `s`, 0 when it is none (RFC 3629); glibc takes more. */
static size_t utf8_len(struct nx_slice s)
{
	uint8_t c = s.p[0], lo = 0x80, hi = 0xbf;
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (n > s.n)
		return 0;
	if (c == 0xe0)
		lo = 0xa0;
	else if (c == 0xed)
		hi = 0x9f;
	else if (c == 0xf0)
		lo = 0x90;
	else if (c == 0xf4)
		hi = 0x8f;
	for (size_t i = 1; i < n; i++) {
		if (s.p[i] < lo || s.p[i] > hi)
			return 0;
		lo = 0x80;
		hi = 0xbf;
	}
	return n;
}

static void decode_utf8(struct decoder *d, struct nx_slice text)
{
	size_t good = 0;

	while (good < text.n) {
		size_t n = utf8_len(nx_slice(text.p + good, text.n - good));

		if (n) {
			good += n;
			continue;
		}
		nx_buf_put(d->out, text.p, good);
		put_replacement(d);
		text = nx_slice(text.p + good + 1, text.n - good - 1);
		good = 0;
	}
	nx_buf_put_slice(d->out, text);
}

/* ---- interface ---- */

static enum set term_find(struct nx_slice term)
{
	char name[24];
	size_t n = 0;

	for (size_t i = 0; i < term.n && n < sizeof(name) - 1; i++) {
		uint8_t c = term.p[i];

		if (c >= 'a' && c <= 'z')
			c = (uint8_t)(c - 'a' + 'A');
		if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
			name[n++] = (char)c;
	}
	name[n] = '\0';
	if (strncmp(name, "ISO2022IR", 9) == 0)
		memmove(name + 3, name + 7, n - 7 + 1);
	for (size_t i = 0; i < NX_ARRAY_LEN(terms); i++)
		if (strcmp(name, terms[i].term) == 0)
			return terms[i].g1;
	return SET_NONE;
}

static void terms_parse(struct decoder *d, struct nx_slice charset)
{
	for (unsigned i = 0; i < TERMS_MAX; i++) {
		const uint8_t *end = charset.n ? memchr(charset.p, '\\', charset.n) : NULL;
		size_t n = end ? (size_t)(end - charset.p) : charset.n;
		enum set set = term_find(nx_slice(charset.p, n));

		if (i == 0)
			d->first_g1 = set;
		else if (set == SET_KSX1001 || set == SET_GB2312)
			d->multi_g1 = set;
		if (!end)
			return;
		charset = nx_slice(end + 1, charset.n - n - 1);
	}
}

static bool is_ascii(struct nx_slice text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] >= 0x80 || text.p[i] == ESC)
			return false;
	return true;
}

nx_rc nx_charset_decode(struct nx_slice charset, uint16_t vr, struct nx_slice text,
	struct nx_buf *out, struct nx_err *err)
{
	struct decoder d = {.out = out, .vr = vr};

	if (is_ascii(text)) { /* the same in every set, but in JIS X 0208 and 0212, behind ESC */
		nx_buf_put_slice(out, text);
		return nx_buf_check(out, err);
	}
	terms_parse(&d, charset);
	if (d.first_g1 == SET_UTF8)
		decode_utf8(&d, text);
	else if (d.first_g1 > SET_UTF8) /* iconv() does not write to its input */
		convert(&d, d.first_g1, nx_unconst(text.p), text.n);
	else
		decode_2022(&d, text);
	cd_close(&d);
	return nx_buf_check(out, err);
}
