/*
 * The file around a data set (PS3.10 7): preamble, meta group, choice of the transfer syntax,
 * inflation of deflated data sets (PS3.5 A.5).
 */
#include "dicom/parser_priv.h"

#include <stdlib.h>

static nx_rc announce(struct nx_dicom_parser *ps, struct nx_err *err)
{
	if (ps->announced)
		return NX_OK;
	ps->announced = true;
	ps->dataset_offset = ps->pos;
	return ps->cb.on_meta_end ? ps->cb.on_meta_end(ps->payload, ps->ts_uid, err) : NX_OK;
}

/* ---- transfer syntax ---- */

/* What is not known is explicit little endian, PS3.5 A.4; it may be encapsulated. */
static void syntax_set(struct nx_dicom_parser *ps, const char *uid)
{
	const struct nx_ts *ts = nx_ts_find(uid);

	ps->syn.explicit_vr = !ts || ts->explicit_vr;
	ps->syn.big_endian = ts && ts->big_endian;
	ps->deflated = ts && ts->deflated;
}

nx_rc nx_part10_ts(struct nx_dicom_parser *ps, struct nx_slice value, struct nx_err *err)
{
	while (value.n && (value.p[value.n - 1] == '\0' || value.p[value.n - 1] == ' '))
		value.n--;
	if (value.n && !nx_uid_valid((const char *)value.p, value.n))
		return nx_parser_fail(ps, NX_E_MALFORMED, "bad transfer syntax UID", err);
	memcpy(ps->ts_uid, value.p, value.n);
	ps->ts_uid[value.n] = '\0';
	return NX_OK;
}

nx_rc nx_part10_meta_end(struct nx_dicom_parser *ps, struct nx_err *err)
{
	ps->in_meta = false;
	ps->dataset_offset = ps->pos;
	if (ps->ts_uid[0] == '\0') {
		ps->guess = true;
		return NX_OK;
	}
	syntax_set(ps, ps->ts_uid);
	if (ps->deflated) { /* feed_one() goes on with it */
		ps->deflate_rest = nx_slice(ps->rd.p, ps->rd.n);
		(void)nx_rd_skip(&ps->rd, ps->rd.n);
		ps->wait = true;
	}
	return announce(ps, err);
}

static nx_tag tag_at(const uint8_t *p, bool be)
{
	return NX_TAG(nx_get_u16(p, be), nx_get_u16(p + 2, be));
}

static bool tag_plausible(nx_tag tag)
{
	return nx_dict_find(tag) || (tag & 0xffff) == 0;
}

/* Nothing says what the data set is written in: its first element does. */
static nx_rc first_guess(struct nx_dicom_parser *ps, const uint8_t *p, struct nx_err *err)
{
	bool is_explicit = nx_vr_info(NX_VR(p[4], p[5]));
	bool be = is_explicit && nx_get_u16(p, false) > nx_get_u16(p, true);
	const char *uid = be  ? NX_UID_EXPLICIT_VR_BIG_ENDIAN
		: is_explicit ? NX_UID_EXPLICIT_VR_LITTLE_ENDIAN
			      : NX_UID_IMPLICIT_VR_LITTLE_ENDIAN;

	if (!ps->has_magic && (tag_at(p, be) == 0 || !tag_plausible(tag_at(p, be))))
		return nx_err_set(err, NX_E_MALFORMED, "not a DICOM stream");
	syntax_set(ps, uid);
	memcpy(ps->ts_uid, uid, strlen(uid) + 1);
	return announce(ps, err);
}

nx_rc nx_part10_first(struct nx_dicom_parser *ps, const uint8_t *p, struct nx_err *err)
{
	bool be = ps->syn.big_endian;
	bool known = nx_vr_info(NX_VR(p[4], p[5]));

	if (ps->guess)
		return first_guess(ps, p, err);
	if (known)
		ps->syn.explicit_vr = true;
	else if (!be && !nx_vr_is_word(p + 4) && (p[6] | p[7]) == 0)
		ps->syn.explicit_vr = false;
	return NX_OK;
}

/* ---- deflated data sets ---- */

static nx_rc inflate_begin(struct nx_dicom_parser *ps, struct nx_err *err)
{
	ps->inflate_out = malloc(INFLATE_LEN);
	if (!ps->inflate_out || inflateInit2(&ps->z, -MAX_WBITS) != Z_OK)
		return nx_err_set(err, NX_E_NOMEM, "no memory to inflate");
	ps->inflate_ready = true;
	ps->inflated = true;
	return NX_OK;
}

/* A bomb makes much of little; a short header may well be beyond the ratio. */
static nx_rc inflate_check(uint64_t in, uint64_t out, struct nx_err *err)
{
	if (out > NX_LIMIT_DICOM_HEADER && out / NX_LIMIT_DICOM_INFLATE_RATIO > in)
		return nx_err_set(err, NX_E_LIMIT, "deflated data set grows more than %u times",
			NX_LIMIT_DICOM_INFLATE_RATIO);
	return NX_OK;
}

static nx_rc inflate_part(struct nx_dicom_parser *ps, bool *ret_more, struct nx_err *err)
{
	nx_rc rc;
	int z;

	ps->z.next_out = ps->inflate_out;
	ps->z.avail_out = INFLATE_LEN;
	z = inflate(&ps->z, Z_NO_FLUSH);
	if (z == Z_MEM_ERROR)
		return nx_err_set(err, NX_E_NOMEM, "no memory to inflate");
	if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR)
		return nx_err_set(err, NX_E_MALFORMED, "deflated data set is corrupt at byte %llu",
			(unsigned long long)ps->z.total_in);
	ps->inflate_end = z == Z_STREAM_END;
	*ret_more = z == Z_OK && (ps->z.avail_in || ps->z.avail_out == 0);
	rc = inflate_check(ps->z.total_in, ps->z.total_out, err);
	if (rc)
		return rc;
	return nx_parser_span(ps, nx_slice(ps->inflate_out, INFLATE_LEN - ps->z.avail_out), err);
}

static nx_rc inflate_feed(struct nx_dicom_parser *ps, struct nx_slice data, struct nx_err *err)
{
	nx_rc rc = ps->inflate_ready ? NX_OK : inflate_begin(ps, err);

	while (!rc && data.n && !ps->inflate_end && !ps->stopped) {
		size_t n = data.n < NX_MIB ? data.n : NX_MIB; /* avail_in is an unsigned int */
		bool more = true;

		ps->z.next_in = data.p;
		ps->z.avail_in = (unsigned)n;
		while (!rc && more && !ps->stopped)
			rc = inflate_part(ps, &more, err);
		data = nx_slice(data.p + n, data.n - n);
	}
	return rc;
}

/* What was looked at to find the end of the meta group, and what followed it in the same span. */
static nx_rc inflate_first(struct nx_dicom_parser *ps, struct nx_err *err)
{
	uint8_t held[ELEM_HEAD_MAX];
	size_t n = ps->hold_n;
	nx_rc rc;

	memcpy(held, ps->hold, n);
	ps->hold_n = 0;
	rc = inflate_feed(ps, nx_slice(held, n), err);
	return rc ? rc : inflate_feed(ps, ps->deflate_rest, err);
}

/* ---- input ---- */

static nx_rc feed_one(struct nx_dicom_parser *ps, struct nx_slice data, struct nx_err *err)
{
	nx_rc rc;

	if (ps->deflated) {
		rc = ps->cb.on_raw ? ps->cb.on_raw(ps->payload, data, err) : NX_OK;
		return rc ? rc : inflate_feed(ps, data, err);
	}
	rc = nx_parser_span(ps, data, err);
	if (rc || !ps->deflated)
		return rc;
	return inflate_first(ps, err); /* the meta group ended in these bytes */
}

/* The letters may be part of a value, in a data set without preamble. */
static bool begins_with_element(const uint8_t *p)
{
	uint16_t vr = NX_VR(p[4], p[5]);

	return nx_vr_info(vr) && vr != NX_VR('U', 'N') && vr == nx_vr_implicit(tag_at(p, false));
}

static void start_decide(struct nx_dicom_parser *ps, const uint8_t *p, size_t n)
{
	ps->in_meta = true;
	ps->at_first = true;
	ps->syn = (struct parser_syntax){.explicit_vr = true}; /* PS3.10 7.1 */
	ps->state = STATE_ELEM;
	ps->has_magic = n >= PREAMBLE_LEN && memcmp(p + PREAMBLE_LEN - 4, "DICM", 4) == 0 &&
		!begins_with_element(p);
	if (ps->has_magic) {
		ps->state = STATE_PREAMBLE;
		ps->left = PREAMBLE_LEN;
	}
}

/* Parse what was kept to find the preamble. */
static nx_rc start_replay(struct nx_dicom_parser *ps, struct nx_err *err)
{
	size_t n = ps->start_n;

	start_decide(ps, ps->start, n);
	ps->start_n = 0;
	return feed_one(ps, nx_slice(ps->start, n), err);
}

static nx_rc start_feed(struct nx_dicom_parser *ps, struct nx_slice data, struct nx_err *err)
{
	size_t n = PREAMBLE_LEN - ps->start_n;
	nx_rc rc;

	if (ps->start_n == 0 && data.n >= PREAMBLE_LEN) {
		start_decide(ps, data.p, data.n);
		return feed_one(ps, data, err);
	}
	n = n < data.n ? n : data.n;
	memcpy(ps->start + ps->start_n, data.p, n);
	ps->start_n += n;
	if (ps->start_n < PREAMBLE_LEN)
		return NX_OK;
	rc = start_replay(ps, err);
	if (rc || n == data.n || ps->stopped)
		return rc;
	return feed_one(ps, nx_slice(data.p + n, data.n - n), err);
}

nx_rc nx_part10_feed(struct nx_dicom_parser *ps, struct nx_slice data, struct nx_err *err)
{
	nx_rc rc;

	if (ps->state == STATE_START)
		return start_feed(ps, data, err);
	rc = ps->in_meta || ps->guess ? NX_OK : announce(ps, err);
	return rc ? rc : feed_one(ps, data, err);
}

nx_rc nx_part10_hole(struct nx_dicom_parser *ps, uint64_t n, struct nx_err *err)
{
	ps->failed = start_replay(ps, err);
	return ps->failed ? ps->failed : nx_dicom_feed_hole(ps, n, err);
}

/* ---- end ---- */

/* The stream ended in the meta group, or with less than a tag after it. */
static nx_rc end_in_meta(struct nx_dicom_parser *ps, struct nx_err *err)
{
	nx_rc rc;

	if (ps->hold_n >= 2 && nx_get_u16(ps->hold, false) == 2)
		return NX_OK; /* found to be cut by nx_part10_end() */
	ps->span = nx_slice("", 0);
	ps->rd = nx_rd(ps->span);
	rc = nx_part10_meta_end(ps, err);
	return rc || !ps->deflated ? rc : inflate_first(ps, err);
}

static bool hold_is_zero(const struct nx_dicom_parser *ps)
{
	for (size_t i = 0; i < ps->hold_n; i++)
		if (ps->hold[i])
			return false;
	return true;
}

nx_rc nx_part10_end(struct nx_dicom_parser *ps, struct nx_err *err)
{
	bool between;
	nx_rc rc = NX_OK;

	if (ps->state == STATE_START && ps->start_n == 0)
		return nx_err_set(err, NX_E_SHORT, "empty stream");
	if (ps->state == STATE_START)
		rc = start_replay(ps, err);
	if (!rc)
		rc = nx_parser_span(ps, nx_slice("", 0), err);
	if (!rc && ps->in_meta && ps->state == STATE_ELEM)
		rc = end_in_meta(ps, err);
	if (!rc && !ps->stopped)
		rc = announce(ps, err);
	if (rc || ps->stopped)
		return rc;
	if (ps->deflated && !ps->inflate_end)
		return nx_err_set(err, NX_E_SHORT, "deflated data set is cut");
	between = ps->state == STATE_TAIL || (ps->state == STATE_ELEM && ps->depth == 0);
	if (!between || !hold_is_zero(ps))
		return nx_parser_fail(ps, NX_E_SHORT, "stream ends after the element", err);
	return NX_OK;
}

/* ---- objects ---- */

static nx_rc opts_apply(
	struct nx_dicom_parser *ps, const struct nx_dicom_parser_opts *opts, struct nx_err *err)
{
	ps->bulk_min = opts->bulk_min ? opts->bulk_min : NX_BULK_THRESHOLD;
	ps->stop_before = opts->stop_before;
	if (!opts->ts_uid)
		return NX_OK;
	if (!nx_uid_valid(opts->ts_uid, strlen(opts->ts_uid)))
		return nx_err_set(err, NX_E_INVAL, "bad transfer syntax UID");
	memcpy(ps->ts_uid, opts->ts_uid, strlen(opts->ts_uid) + 1);
	syntax_set(ps, ps->ts_uid);
	ps->has_magic = true;
	ps->at_first = true;
	ps->state = STATE_ELEM;
	return NX_OK;
}

nx_rc nx_dicom_parser_new(const struct nx_dicom_parser_opts *opts, const struct nx_dicom_cb *cb,
	void *payload, struct nx_dicom_parser **ret_parser, struct nx_err *err)
{
	static const struct nx_dicom_parser_opts none;
	NX_AUTO(nx_dicom_parser) *ps = calloc(1, sizeof(*ps));
	nx_rc rc;

	if (!ps)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a DICOM parser");
	ps->cb = *cb;
	ps->payload = payload;
	rc = opts_apply(ps, opts ? opts : &none, err);
	nx_buf_init(&ps->scratch, (size_t)ps->bulk_min + (size_t)2 * ELEM_HEAD_MAX, NX_BUF_WIPE);
	if (rc)
		return rc;
	*ret_parser = NX_STEAL(ps);
	return NX_OK;
}

struct nx_dicom_parser *nx_dicom_parser_free(struct nx_dicom_parser *ps)
{
	if (!ps)
		return NULL;
	nx_buf_done(&ps->scratch);
	if (ps->inflate_ready)
		(void)inflateEnd(&ps->z);
	if (ps->inflate_out)
		explicit_bzero(ps->inflate_out, INFLATE_LEN);
	free(ps->inflate_out);
	explicit_bzero(ps->hold, sizeof(ps->hold));
	explicit_bzero(ps->start, sizeof(ps->start));
	free(ps);
	return NULL;
}
