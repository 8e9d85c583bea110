#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/rd.h"
#include "http/http_priv.h"

/*
 * RFC 2046 5.1.1, as RFC 2387 and PS3.18 8.6 use it.  Line ends are CRLF.  A delimiter line that
 * carries anything but padding is refused: whether it is one or is data is for no receiver to
 * guess.
 */
enum {
	BOUNDARY_MAX = 70,
	DELIM_MAX = BOUNDARY_MAX + 4
};

enum state {
	PREAMBLE,
	PADDING, /* after a delimiter: "--", or blanks and CRLF */
	HEADERS,
	DATA,
	EPILOGUE
};

struct nx_multipart {
	struct nx_multipart_cb cb;
	void *payload;
	enum state state;
	char delim[DELIM_MAX + 1]; /* CRLF "--" boundary */
	size_t delim_len;
	size_t held;  /* bytes of the delimiter seen at the end of the input so far */
	size_t given; /* how many of those stood for a CRLF that was not part of the data */
	size_t preamble;
	uint8_t pad_last; /* in PADDING: the byte before, 0 at the start */
	struct nx_buf head;
};

/* RFC 2046 5.1.1 bchars. */
static bool boundary_ok(struct nx_slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = (char)s.p[i];
		bool alnum = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');

		if (!alnum && (!c || !strchr("'()+_,-./:=? ", c)))
			return false;
	}
	return s.n >= 1 && s.n <= BOUNDARY_MAX && s.p[s.n - 1] != ' ';
}

static nx_rc boundary_get(const char *content_type, struct nx_slice *ret, struct nx_err *err)
{
	struct nx_slice text = nx_slice_str(content_type);
	struct nx_media media;

	if (!nx_media_next(&text, &media) || !nx_media_eq(media.type, nx_slice_str("multipart")) ||
		!nx_media_eq(media.subtype, nx_slice_str("related")))
		return nx_err_set(err, NX_E_UNSUPPORTED, "content is not multipart/related");
	if (!nx_media_param(&media, "boundary", ret) || !boundary_ok(*ret))
		return nx_err_set(err, NX_E_MALFORMED, "multipart without a proper boundary");
	return NX_OK;
}

nx_rc nx_multipart_new(const char *content_type, const struct nx_multipart_cb *cb, void *payload,
	struct nx_multipart **ret_mp, struct nx_err *err)
{
	struct nx_slice boundary;
	struct nx_multipart *mp;
	nx_rc rc;

	rc = boundary_get(content_type ? content_type : "", &boundary, err);
	if (rc)
		return rc;
	mp = calloc(1, sizeof(*mp));
	if (!mp)
		return nx_err_set(err, NX_E_NOMEM, "no memory for multipart");
	mp->cb = *cb;
	mp->payload = payload;
	memcpy(mp->delim, "\r\n--", 4);
	memcpy(mp->delim + 4, boundary.p, boundary.n);
	mp->delim_len = 4 + boundary.n;
	mp->held = mp->given = 2; /* the first delimiter needs no CRLF before it */
	nx_buf_init(&mp->head, NX_LIMIT_MULTIPART_HEADER, NX_BUF_WIPE);
	*ret_mp = mp;
	return NX_OK;
}

struct nx_multipart *nx_multipart_free(struct nx_multipart *mp)
{
	if (!mp)
		return NULL;
	nx_buf_done(&mp->head);
	free(mp);
	return NULL;
}

/* ---- data and preamble: everything up to the next delimiter ---- */

static nx_rc emit(struct nx_multipart *mp, const void *p, size_t n, struct nx_err *err)
{
	if (n == 0)
		return NX_OK;
	if (mp->state == DATA)
		return mp->cb.on_part_data(mp->payload, nx_slice(p, n), err);
	mp->preamble += n;
	if (mp->preamble > NX_LIMIT_MULTIPART_HEADER)
		return nx_err_set(err, NX_E_LIMIT, "no boundary in the first %zu bytes",
			NX_LIMIT_MULTIPART_HEADER);
	return NX_OK;
}

static nx_rc delimiter_seen(struct nx_multipart *mp, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	if (mp->state == DATA)
		rc = mp->cb.on_part_end(mp->payload, err);
	mp->held = mp->given = 0;
	mp->state = PADDING;
	mp->pad_last = 0;
	return rc;
}

/*
 * Go on with a delimiter that began in earlier input.  Its CR cannot occur again inside it, so
 * bytes that turn out not to be it hold no other start, and are the delimiter's own: nothing is
 * buffered.
 */
static nx_rc match_held(struct nx_multipart *mp, struct nx_rd *rd, struct nx_err *err)
{
	size_t n = mp->delim_len - mp->held, same = 0, given = mp->given, held = mp->held;

	if (n > rd->n)
		n = rd->n;
	while (same < n && rd->p[same] == (uint8_t)mp->delim[held + same])
		same++;
	mp->held += same;
	(void)nx_rd_skip(rd, same);
	if (mp->held == mp->delim_len)
		return delimiter_seen(mp, err);
	if (rd->n == 0)
		return NX_OK;
	held = mp->held;
	mp->held = mp->given = 0;
	return emit(mp, mp->delim + given, held - given, err);
}

static nx_rc scan(struct nx_multipart *mp, struct nx_rd *rd, struct nx_err *err)
{
	const uint8_t *hit, *tail;
	struct nx_slice data = {NULL, 0};
	size_t n = rd->n, back;
	nx_rc rc;

	if (mp->held)
		return match_held(mp, rd, err);
	hit = memmem(rd->p, rd->n, mp->delim, mp->delim_len);
	if (hit)
		n = (size_t)(hit - rd->p);
	(void)nx_rd_bytes(rd, n, &data);
	if (hit) {
		(void)nx_rd_skip(rd, mp->delim_len);
		rc = emit(mp, data.p, data.n, err);
		return rc ? rc : delimiter_seen(mp, err);
	}
	/* The start of a delimiter may be at the end: then it starts at the last CR. */
	back = data.n < mp->delim_len - 1 ? data.n : mp->delim_len - 1;
	tail = memrchr(data.p + data.n - back, '\r', back);
	if (tail && memcmp(tail, mp->delim, (size_t)(data.p + data.n - tail)) == 0) {
		mp->held = (size_t)(data.p + data.n - tail);
		data.n -= mp->held;
	}
	return emit(mp, data.p, data.n, err);
}

/* ---- after a delimiter ---- */

static nx_rc bad_delimiter(struct nx_err *err)
{
	return nx_err_set(err, NX_E_MALFORMED, "boundary followed by other characters");
}

static nx_rc padding(struct nx_multipart *mp, struct nx_rd *rd, struct nx_err *err)
{
	uint8_t c = 0, last = mp->pad_last;

	(void)nx_rd_u8(rd, &c);
	mp->pad_last = c;
	if (last == '-') {
		mp->state = EPILOGUE;
		return c == '-' ? NX_OK : bad_delimiter(err);
	}
	if (last == '\r') {
		mp->state = HEADERS;
		nx_buf_clear(&mp->head);
		return c == '\n' ? NX_OK : bad_delimiter(err);
	}
	if (c == '\r' || c == ' ' || c == '\t' || (c == '-' && last == 0))
		return NX_OK;
	return bad_delimiter(err);
}

/* ---- the headers of a part ---- */

struct part {
	char *content_type;
	char *content_location;
};

static bool is_field(struct nx_slice line, const char *name, struct nx_slice *ret)
{
	size_t n = strlen(name);

	if (line.n <= n || line.p[n] != ':' ||
		!nx_media_eq(nx_slice(line.p, n), nx_slice_str(name)))
		return false;
	for (n++; n < line.n && (line.p[n] == ' ' || line.p[n] == '\t'); n++)
		;
	*ret = nx_slice(line.p + n, line.n - n);
	while (ret->n && (ret->p[ret->n - 1] == ' ' || ret->p[ret->n - 1] == '\t'))
		ret->n--;
	return true;
}

static nx_rc keep(struct nx_slice value, char **ret, struct nx_err *err)
{
	if (*ret)
		return nx_err_set(err, NX_E_MALFORMED, "header field twice in a part");
	*ret = strndup((const char *)value.p, value.n);
	return *ret ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for a part");
}

/* RFC 2045 6.2: what stands for "as it is"; HTTP needs no other (PS3.18 8.7.3). */
static bool identity_encoding(struct nx_slice value)
{
	return nx_media_eq(value, nx_slice_str("binary")) ||
		nx_media_eq(value, nx_slice_str("8bit")) ||
		nx_media_eq(value, nx_slice_str("7bit"));
}

static nx_rc line_take(struct part *part, struct nx_slice line, struct nx_err *err)
{
	struct nx_slice value;

	if (memchr(line.p, '\0', line.n) || memchr(line.p, '\n', line.n) ||
		!memchr(line.p, ':', line.n) || line.p[0] == ' ' || line.p[0] == '\t')
		return nx_err_set(err, NX_E_MALFORMED, "bad header field in a part");
	if (is_field(line, "Content-Type", &value))
		return keep(value, &part->content_type, err);
	if (is_field(line, "Content-Location", &value))
		return keep(value, &part->content_location, err);
	if (is_field(line, "Content-Transfer-Encoding", &value) && !identity_encoding(value))
		return nx_err_set(err, NX_E_UNSUPPORTED, "part with a transfer encoding");
	return NX_OK;
}

static nx_rc part_begin(struct nx_multipart *mp, struct nx_err *err)
{
	struct nx_slice rest = nx_buf_slice(&mp->head);
	struct part part = {NULL, NULL};
	const uint8_t *eol;
	nx_rc rc = NX_OK;

	while (!rc && rest.p && rest.n > 2) {
		eol = memmem(rest.p, rest.n, "\r\n", 2);
		if (eol > rest.p)
			rc = line_take(&part, nx_slice(rest.p, (size_t)(eol - rest.p)), err);
		rest.n -= (size_t)(eol + 2 - rest.p);
		rest.p = eol + 2;
	}
	if (!rc)
		rc = mp->cb.on_part_begin(
			mp->payload, part.content_type, part.content_location, err);
	free(part.content_type);
	free(part.content_location);
	mp->state = DATA;
	mp->held = mp->given = 2; /* no data: the CRLF that ended the headers is the delimiter's */
	return rc;
}

/* Collect up to the empty line, which may be the first. */
static nx_rc headers(struct nx_multipart *mp, struct nx_rd *rd, struct nx_err *err)
{
	const struct nx_buf *head = &mp->head;
	uint8_t c;
	bool end;

	while (nx_rd_u8(rd, &c)) {
		nx_buf_put_u8(&mp->head, c);
		if (nx_buf_check(head, NULL))
			return nx_err_set(err, head->failed, "header fields of a part");
		if (c != '\n' || head->len < 2 || head->data[head->len - 2] != '\r')
			continue;
		end = head->len == 2 ||
			(head->len >= 4 && head->data[head->len - 3] == '\n' &&
				head->data[head->len - 4] == '\r');
		if (end)
			return part_begin(mp, err);
	}
	return NX_OK;
}

nx_rc nx_multipart_feed(struct nx_multipart *mp, const void *p, size_t n, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(nx_slice(p, n));
	nx_rc rc = NX_OK;

	while (rd.n && !rc) {
		switch (mp->state) {
		case PREAMBLE:
		case DATA:
			rc = scan(mp, &rd, err);
			break;
		case PADDING:
			rc = padding(mp, &rd, err);
			break;
		case HEADERS:
			rc = headers(mp, &rd, err);
			break;
		case EPILOGUE:
			return NX_OK; /* RFC 2046 5.1.1: to be ignored */
		}
	}
	return rc;
}

nx_rc nx_multipart_finish(struct nx_multipart *mp, struct nx_err *err)
{
	if (mp->state != EPILOGUE)
		return nx_err_set(err, NX_E_SHORT, "multipart without its closing boundary");
	return NX_OK;
}
