/*
 * The element machine (PS3.5 7).  Every step either makes progress or sets `wait`.  An element
 * header that is cut by the end of a span is completed in `hold`; values pass by reference unless
 * they are cut.
 */
#include "dicom/parser_priv.h"

#define CALL(ps, name, ...) ((ps)->cb.name ? (ps)->cb.name((ps)->payload, __VA_ARGS__, err) : NX_OK)

nx_rc nx_parser_fail(struct nx_dicom_parser *ps, nx_rc rc, const char *what, struct nx_err *err)
{
	return nx_err_set(err, rc, "%s at (%04x,%04x), offset %llu", what, ps->elem.tag >> 16,
		ps->elem.tag & 0xffff, (unsigned long long)ps->elem.offset);
}

/* ---- input ---- */

static size_t span_at(const struct nx_dicom_parser *ps)
{
	return ps->span.n - ps->rd.n;
}

const uint8_t *nx_parser_peek(struct nx_dicom_parser *ps, size_t n)
{
	size_t add;

	if (ps->hold_n == 0 && ps->rd.n >= n)
		return ps->rd.p;
	add = ps->hold_n < n ? n - ps->hold_n : 0;
	if (add > ps->rd.n)
		add = ps->rd.n;
	if (add && nx_rd_copy(&ps->rd, ps->hold + ps->hold_n, add))
		ps->hold_n += add;
	if (ps->hold_n >= n)
		return ps->hold;
	ps->wait = true;
	return NULL;
}

/* Consume the `n` bytes that the last peek showed. */
static void drop(struct nx_dicom_parser *ps, size_t n)
{
	if (ps->hold_n)
		ps->hold_n = 0;
	else
		(void)nx_rd_skip(&ps->rd, n);
	ps->pos += n;
}

/* Hand over the bytes that were passed since the last time, as what they are. */
static nx_rc run_deliver(struct nx_dicom_parser *ps, struct nx_err *err)
{
	struct nx_slice run = nx_slice(ps->span.p + ps->run_at, span_at(ps) - ps->run_at);

	ps->run_at = span_at(ps);
	if (run.n == 0)
		return NX_OK;
	if (ps->run == RUN_HELD) {
		nx_buf_put_slice(&ps->scratch, run);
		return nx_buf_check(&ps->scratch, err);
	}
	if (ps->inflated)
		return NX_OK;
	return ps->run == RUN_BULK ? CALL(ps, on_bulk_data, run) : CALL(ps, on_raw, run);
}

static nx_rc run_switch(struct nx_dicom_parser *ps, enum parser_run run, struct nx_err *err)
{
	nx_rc rc = run_deliver(ps, err);

	ps->run = run;
	return rc;
}

/* ---- limits of sequences and items ---- */

static uint64_t room(const struct nx_dicom_parser *ps)
{
	const struct parser_level *lv;

	if (ps->depth == 0)
		return UINT64_MAX - ps->pos;
	lv = &ps->levels[ps->depth - 1];
	return (lv->in_item ? lv->item_limit : lv->seq_limit) - ps->pos;
}

static nx_rc item_close(struct nx_dicom_parser *ps, struct nx_err *err)
{
	struct parser_level *lv = &ps->levels[ps->depth - 1];

	lv->in_item = false;
	return CALL(ps, on_item_end, &lv->item);
}

static nx_rc seq_close(struct nx_dicom_parser *ps, struct nx_err *err)
{
	struct parser_level *lv = &ps->levels[--ps->depth];

	ps->syn = lv->outer;
	return CALL(ps, on_seq_end, &lv->seq);
}

/* Items and sequences of defined length end without a mark. */
static nx_rc close_ended(struct nx_dicom_parser *ps, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	while (!rc && ps->depth) {
		const struct parser_level *lv = &ps->levels[ps->depth - 1];

		if (lv->in_item && ps->pos >= lv->item_end)
			rc = item_close(ps, err);
		else if (!lv->in_item && ps->pos >= lv->seq_end)
			rc = seq_close(ps, err);
		else
			break;
	}
	return rc;
}

static nx_rc seq_open(struct nx_dicom_parser *ps, struct nx_err *err)
{
	struct nx_dicom_elem *e = &ps->elem;
	uint64_t limit = ps->pos + room(ps);
	struct parser_level *lv;

	ps->too_deep = ps->depth == NX_LIMIT_DICOM_DEPTH;
	if (ps->too_deep)
		return nx_parser_fail(ps, NX_E_LIMIT, "sequences nested too deep", err);
	lv = &ps->levels[ps->depth++];
	lv->outer = ps->syn;
	if (e->vr == NX_VR('U', 'N')) /* PS3.5 6.2.2 note 2: implicit little endian inside */
		ps->syn = (struct parser_syntax){false, false};
	e->vr = NX_VR('S', 'Q');
	lv->seq = *e;
	lv->in_item = false;
	lv->n_items = 0;
	lv->seq_end = e->length == NX_DICOM_UNDEFINED ? UINT64_MAX : ps->pos + e->length;
	lv->seq_limit = lv->seq_end < limit ? lv->seq_end : limit;
	return CALL(ps, on_seq_begin, e);
}

/* ---- leaf values ---- */

static nx_rc value_deliver(struct nx_dicom_parser *ps, struct nx_slice value, struct nx_err *err)
{
	if (ps->in_meta && ps->elem.tag == NX_TAG_TRANSFER_SYNTAX_UID) {
		nx_rc rc = nx_part10_ts(ps, value, err);

		if (rc)
			return rc;
	}
	ps->state = STATE_ELEM;
	return CALL(ps, on_value, &ps->elem, value);
}

static nx_rc step_value(struct nx_dicom_parser *ps, struct nx_err *err)
{
	struct nx_slice part;
	size_t n = ps->left < ps->rd.n ? (size_t)ps->left : ps->rd.n;
	nx_rc rc;

	(void)nx_rd_bytes(&ps->rd, n, &part);
	ps->pos += n;
	ps->left -= n;
	if (ps->left == 0 && ps->scratch.len == 0)
		return value_deliver(ps, part, err);
	nx_buf_put_slice(&ps->scratch, part);
	rc = nx_buf_check(&ps->scratch, err);
	if (rc)
		return rc;
	if (ps->left) {
		ps->wait = true;
		return NX_OK;
	}
	rc = value_deliver(ps, nx_buf_slice(&ps->scratch), err);
	nx_buf_clear(&ps->scratch);
	return rc;
}

static nx_rc bulk_begin(struct nx_dicom_parser *ps, struct nx_err *err)
{
	return ps->inflated ? NX_OK : CALL(ps, on_bulk_begin, &ps->elem);
}

static nx_rc bulk_end(struct nx_dicom_parser *ps, uint64_t n, struct nx_err *err)
{
	nx_rc rc = run_switch(ps, RUN_RAW, err);

	if (rc)
		return rc;
	ps->state = STATE_ELEM;
	ps->bulk_sum += n;
	return ps->inflated ? CALL(ps, on_skipped, &ps->elem, n)
			    : CALL(ps, on_bulk_end, &ps->elem, n);
}

static nx_rc step_bulk(struct nx_dicom_parser *ps, struct nx_err *err)
{
	size_t n = ps->left < ps->rd.n ? (size_t)ps->left : ps->rd.n;

	(void)nx_rd_skip(&ps->rd, n);
	ps->pos += n;
	ps->left -= n;
	if (ps->left == 0)
		return bulk_end(ps, ps->elem.length, err);
	ps->wait = true;
	return NX_OK;
}

static nx_rc value_open(struct nx_dicom_parser *ps, struct nx_err *err)
{
	nx_rc rc;

	if (ps->elem.length > room(ps))
		return nx_parser_fail(ps, NX_E_MALFORMED, "value longer than its item", err);
	ps->left = ps->elem.length;
	if (ps->elem.length < ps->bulk_min) {
		ps->state = STATE_VALUE;
		return NX_OK;
	}
	rc = run_switch(ps, RUN_BULK, err);
	if (!rc)
		rc = bulk_begin(ps, err);
	ps->state = STATE_BULK;
	return rc;
}

/* ---- encapsulated values (PS3.5 A.4) ---- */

static nx_rc encap_open(struct nx_dicom_parser *ps, struct nx_err *err)
{
	if (ps->syn.big_endian)
		return nx_parser_fail(ps, NX_E_MALFORMED, "fragments in big endian", err);
	ps->encap_n = 0;
	ps->state = STATE_FRAG_HEAD;
	return run_switch(ps, RUN_HELD, err);
}

/* It is long enough: what was held, and what comes, is bulk. */
static nx_rc encap_to_bulk(struct nx_dicom_parser *ps, struct nx_err *err)
{
	nx_rc rc = bulk_begin(ps, err);

	if (!rc && ps->scratch.len && !ps->inflated)
		rc = CALL(ps, on_bulk_data, nx_buf_slice(&ps->scratch));
	nx_buf_clear(&ps->scratch);
	ps->run = RUN_BULK;
	return rc;
}

static nx_rc encap_small_end(struct nx_dicom_parser *ps, struct nx_err *err)
{
	struct nx_slice value = nx_slice(ps->span.p + ps->run_at, span_at(ps) - ps->run_at);
	bool whole = ps->scratch.len == 0;
	nx_rc rc;

	ps->run = whole ? RUN_RAW : ps->run;
	rc = whole ? NX_OK : run_deliver(ps, err);
	if (rc)
		return rc;
	ps->run = RUN_RAW;
	if (!whole) {
		value = nx_buf_slice(&ps->scratch);
		rc = ps->inflated ? NX_OK : CALL(ps, on_raw, value);
	}
	if (!rc)
		rc = value_deliver(ps, value, err);
	nx_buf_clear(&ps->scratch);
	return rc;
}

static nx_rc step_frag_head(struct nx_dicom_parser *ps, struct nx_err *err)
{
	const uint8_t *head = nx_parser_peek(ps, ELEM_HEAD_MIN);
	bool be = ps->syn.big_endian;
	uint32_t length;
	nx_tag tag;
	nx_rc rc = NX_OK;

	if (!head)
		return NX_OK;
	tag = NX_TAG(nx_get_u16(head, be), nx_get_u16(head + 2, be));
	length = tag == NX_TAG_ITEM ? nx_get_u32(head + 4, be) : 0;
	if (tag != NX_TAG_ITEM && tag != NX_TAG_SEQUENCE_DELIMITATION_ITEM)
		return nx_parser_fail(
			ps, NX_E_MALFORMED, "no item where a fragment is expected", err);
	if (length == NX_DICOM_UNDEFINED || (uint64_t)length + ELEM_HEAD_MIN > room(ps))
		return nx_parser_fail(ps, NX_E_MALFORMED, "bad fragment length", err);
	drop(ps, ELEM_HEAD_MIN);
	ps->encap_n += ELEM_HEAD_MIN + (uint64_t)length;
	ps->left = length;
	ps->state = STATE_FRAG;
	if (ps->run == RUN_HELD && ps->encap_n >= ps->bulk_min)
		rc = encap_to_bulk(ps, err);
	if (rc || tag == NX_TAG_ITEM)
		return rc;
	return ps->run == RUN_HELD ? encap_small_end(ps, err) : bulk_end(ps, ps->encap_n, err);
}

/* The preamble, or a fragment: bytes without a meaning here. */
static nx_rc step_skip(struct nx_dicom_parser *ps, enum parser_state next)
{
	size_t n = ps->left < ps->rd.n ? (size_t)ps->left : ps->rd.n;

	(void)nx_rd_skip(&ps->rd, n);
	ps->pos += n;
	ps->left -= n;
	if (ps->left)
		ps->wait = true;
	else
		ps->state = next;
	return NX_OK;
}

static void elem_set(struct nx_dicom_parser *ps, const struct parser_head *head)
{
	ps->elem = (struct nx_dicom_elem){
		.tag = head->tag,
		.vr = head->vr,
		.depth = ps->depth,
		.offset = ps->pos,
		.length = head->length,
		.value_offset = ps->pos + head->size,
		.vr_implied = head->implied,
	};
}

static nx_rc count_elem(struct nx_dicom_parser *ps, struct nx_err *err)
{
	if (++ps->n_elements > NX_LIMIT_DICOM_ELEMENTS)
		return nx_parser_fail(ps, NX_E_LIMIT, "too many elements", err);
	if (ps->pos - ps->bulk_sum > NX_LIMIT_DICOM_HEADER)
		return nx_parser_fail(ps, NX_E_LIMIT, "header too long", err);
	return NX_OK;
}

/* ---- steps ---- */

/*
 * Some vendors write private sequences in the byte order that the data set does not have: the item
 * tag shows it.
 */
static bool item_swapped(struct nx_dicom_parser *ps, const uint8_t *p)
{
	bool be = ps->syn.big_endian;
	nx_tag other = NX_TAG(nx_get_u16(p, !be), nx_get_u16(p + 2, !be));

	if (other != NX_TAG_ITEM)
		return false;
	ps->syn.big_endian = !be;
	return true;
}

/* Announced as implicit, but the first element of the item has the VR the dictionary says. */
static void item_syntax(struct nx_dicom_parser *ps, const uint8_t *p)
{
	nx_tag tag =
		NX_TAG(nx_get_u16(p, ps->syn.big_endian), nx_get_u16(p + 2, ps->syn.big_endian));
	uint16_t vr = NX_VR(p[4], p[5]);

	if (!ps->syn.explicit_vr && vr == nx_vr_implicit(tag) && vr != NX_VR('U', 'N'))
		ps->syn.explicit_vr = true;
}

static nx_rc item_open(struct nx_dicom_parser *ps, struct nx_err *err)
{
	struct parser_level *lv = &ps->levels[ps->depth - 1];
	uint32_t length = ps->elem.length;

	if (length != NX_DICOM_UNDEFINED && length > lv->seq_limit - ps->pos)
		return nx_parser_fail(ps, NX_E_MALFORMED, "item longer than its sequence", err);
	ps->elem.depth = ps->depth - 1;
	lv->item = ps->elem;
	lv->in_item = true;
	lv->item_end = length == NX_DICOM_UNDEFINED ? UINT64_MAX : ps->pos + length;
	lv->item_limit = lv->item_end < lv->seq_limit ? lv->item_end : lv->seq_limit;
	return CALL(ps, on_item_begin, &lv->item, lv->n_items++);
}

/* In a sequence, between items. */
static nx_rc step_seq(struct nx_dicom_parser *ps, struct nx_err *err)
{
	const uint8_t *p = nx_parser_peek(ps, ELEM_HEAD_MIN);
	struct parser_head head;
	nx_rc rc;

	if (!p)
		return NX_OK;
	if (item_swapped(ps, p))
		return NX_OK;
	(void)nx_parser_head(ps, &head);
	elem_set(ps, &head);
	rc = count_elem(ps, err);
	if (rc)
		return rc;
	if (room(ps) < ELEM_HEAD_MIN)
		return nx_parser_fail(ps, NX_E_MALFORMED, "sequence ends inside a tag", err);
	if (head.tag != NX_TAG_ITEM && head.tag != NX_TAG_SEQUENCE_DELIMITATION_ITEM)
		return nx_parser_fail(ps, NX_E_MALFORMED, "no item in a sequence", err);
	drop(ps, ELEM_HEAD_MIN);
	if (head.tag == NX_TAG_ITEM)
		return item_open(ps, err);
	if (ps->levels[ps->depth - 1].seq_end == UINT64_MAX)
		return seq_close(ps, err);
	return NX_OK; /* a delimiter too many, inside the defined length */
}

/* Group FFFE where an element is expected. */
static nx_rc step_delimiter(struct nx_dicom_parser *ps, struct nx_err *err)
{
	const struct parser_level *lv = ps->depth ? &ps->levels[ps->depth - 1] : NULL;
	bool open = lv && lv->item_end == UINT64_MAX;

	switch (ps->elem.tag) {
	case NX_TAG_SEQUENCE_DELIMITATION_ITEM:
		if (open) /* the item's own delimiter is missing; step_seq() takes this one */
			return item_close(ps, err);
		break;
	case NX_TAG_ITEM_DELIMITATION_ITEM:
		if (open) {
			drop(ps, ELEM_HEAD_MIN);
			return item_close(ps, err);
		}
		break;
	default:
		return nx_parser_fail(ps, NX_E_MALFORMED, "item outside a sequence", err);
	}
	drop(ps, ELEM_HEAD_MIN); /* a delimiter too many */
	return NX_OK;
}

static bool is_encapsulated(const struct nx_dicom_parser *ps)
{
	const struct nx_vr_info *info = nx_vr_info(ps->elem.vr);

	if (ps->elem.tag == NX_TAG_PIXEL_DATA)
		return ps->elem.vr != NX_VR('S', 'Q');
	return ps->syn.explicit_vr && info && (info->flags & NX_VR_BINARY) &&
		ps->elem.vr != NX_VR('U', 'N');
}

static nx_rc undefined_open(struct nx_dicom_parser *ps, struct nx_err *err)
{
	uint16_t vr = ps->elem.vr;

	if (is_encapsulated(ps))
		return encap_open(ps, err);
	/* Only SQ, UN and O* may have it; implicit VR does not tell, nor does a VR to come. */
	if (ps->syn.explicit_vr && vr != NX_VR('S', 'Q') && vr != NX_VR('U', 'N') && nx_vr_info(vr))
		return nx_parser_fail(ps, NX_E_MALFORMED, "undefined length", err);
	return seq_open(ps, err);
}

static nx_rc elem_open(struct nx_dicom_parser *ps, size_t head_size, struct nx_err *err)
{
	drop(ps, head_size);
	if (ps->elem.length == NX_DICOM_UNDEFINED)
		return undefined_open(ps, err);
	if (ps->elem.vr != NX_VR('S', 'Q'))
		return value_open(ps, err);
	if (ps->elem.length > room(ps))
		return nx_parser_fail(ps, NX_E_MALFORMED, "sequence longer than its item", err);
	return seq_open(ps, err);
}

/* At depth 0: file meta information, the first element, the end that the caller wants. */
static nx_rc top_level(struct nx_dicom_parser *ps, const uint8_t *p, struct nx_err *err)
{
	bool be = ps->syn.big_endian;
	nx_tag tag;

	if (ps->in_meta && nx_get_u16(p, false) != 2)
		return nx_part10_meta_end(ps, err);
	if (!ps->in_meta && ps->at_first) {
		ps->at_first = false;
		return nx_part10_first(ps, p, err);
	}
	tag = NX_TAG(nx_get_u16(p, be), nx_get_u16(p + 2, be));
	if (ps->stop_before && !ps->in_meta && tag >= ps->stop_before) {
		ps->stopped = true;
		ps->wait = true;
	} else if (ps->n_elements && tag == 0 && nx_get_u32(p + 4, false) == 0) {
		ps->state = STATE_TAIL;
	}
	return NX_OK;
}

static nx_rc step_elem(struct nx_dicom_parser *ps, struct nx_err *err)
{
	const struct parser_level *lv;
	const uint8_t *p;
	struct parser_head head;
	nx_rc rc = close_ended(ps, err);

	if (rc)
		return rc;
	lv = ps->depth ? &ps->levels[ps->depth - 1] : NULL;
	if (lv && !lv->in_item)
		return step_seq(ps, err);
	p = nx_parser_peek(ps, ELEM_HEAD_MIN);
	if (!p)
		return NX_OK;
	if (!lv) {
		bool first = ps->at_first, meta = ps->in_meta;

		rc = top_level(ps, p, err);
		if (rc || ps->wait || ps->state != STATE_ELEM || first != ps->at_first ||
			meta != ps->in_meta)
			return rc;
	} else if (ps->pos == lv->item.value_offset) {
		item_syntax(ps, p);
	}
	if (!nx_parser_head(ps, &head))
		return NX_OK;
	elem_set(ps, &head);
	rc = count_elem(ps, err);
	if (rc)
		return rc;
	if (head.size > room(ps))
		return nx_parser_fail(ps, NX_E_MALFORMED, "item ends inside a tag", err);
	if (nx_tag_group(head.tag) == 0xfffe)
		return step_delimiter(ps, err);
	return elem_open(ps, head.size, err);
}

static nx_rc step(struct nx_dicom_parser *ps, struct nx_err *err)
{
	switch (ps->state) {
	case STATE_ELEM:
		return step_elem(ps, err);
	case STATE_VALUE:
		return step_value(ps, err);
	case STATE_BULK:
		return step_bulk(ps, err);
	case STATE_FRAG_HEAD:
		return step_frag_head(ps, err);
	case STATE_FRAG:
		return step_skip(ps, STATE_FRAG_HEAD);
	case STATE_PREAMBLE:
		return step_skip(ps, STATE_ELEM);
	case STATE_START:
	case STATE_TAIL:
		break;
	}
	ps->pos += ps->rd.n;
	(void)nx_rd_skip(&ps->rd, ps->rd.n);
	ps->wait = true;
	return NX_OK;
}

nx_rc nx_parser_span(struct nx_dicom_parser *ps, struct nx_slice span, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	ps->span = span;
	ps->rd = nx_rd(span);
	ps->run_at = 0;
	ps->wait = false;
	while (!rc && !ps->wait)
		rc = step(ps, err);
	if (!rc)
		rc = run_deliver(ps, err);
	return rc;
}

/* ---- interface ---- */

nx_rc nx_dicom_feed(struct nx_dicom_parser *ps, const void *p, size_t n, struct nx_err *err)
{
	if (ps->failed)
		return nx_err_set(err, ps->failed, "the stream was refused before");
	if (ps->stopped || n == 0)
		return NX_OK;
	ps->failed = nx_part10_feed(ps, nx_slice(p, n), err);
	return ps->failed;
}

nx_rc nx_dicom_finish(struct nx_dicom_parser *ps, struct nx_err *err)
{
	if (ps->failed)
		return nx_err_set(err, ps->failed, "the stream was refused before");
	if (ps->stopped)
		return NX_OK;
	ps->failed = nx_part10_end(ps, err);
	return ps->failed;
}

nx_rc nx_dicom_feed_hole(struct nx_dicom_parser *ps, uint64_t n, struct nx_err *err)
{
	bool encap = ps->state == STATE_FRAG_HEAD && ps->encap_n == 0 && ps->hold_n == 0;
	bool known = (ps->state == STATE_BULK || ps->state == STATE_VALUE) &&
		ps->left == ps->elem.length && n == ps->left;
	nx_rc rc = NX_OK;

	if (!ps->failed && ps->state == STATE_START)
		return nx_part10_hole(ps, n, err);
	if (ps->failed || ps->inflated || (!encap && !known) || n > room(ps)) {
		ps->failed = nx_parser_fail(
			ps, NX_E_MALFORMED, "a value stored apart does not fit its header", err);
		return ps->failed;
	}
	ps->span = nx_slice("", 0);
	ps->rd = nx_rd(ps->span);
	ps->run_at = 0;
	ps->run = RUN_BULK;
	if (ps->state != STATE_BULK)
		rc = bulk_begin(ps, err);
	ps->pos += n;
	if (!rc)
		rc = bulk_end(ps, n, err);
	ps->failed = rc;
	return rc;
}

bool nx_dicom_failure(const struct nx_dicom_parser *ps, struct nx_dicom_failure *ret)
{
	*ret = (struct nx_dicom_failure){ps->elem.tag, ps->elem.offset, ps->too_deep};
	return ps->has_magic || ps->n_elements;
}

void nx_dicom_kept(const struct nx_dicom_parser *ps, struct nx_slice ret[2])
{
	ret[0] = ret[1] = nx_slice(NULL, 0);
	if (ps->state == STATE_START) {
		ret[0] = nx_slice(ps->start, ps->start_n);
	} else if (!ps->inflated) { /* what is deflated is passed on before it is looked at */
		if (ps->run == RUN_HELD)
			ret[0] = nx_buf_slice(&ps->scratch);
		ret[1] = nx_slice(ps->span.p + ps->run_at, ps->span.n - ps->run_at);
	}
}

bool nx_dicom_big_endian(const struct nx_dicom_parser *ps)
{
	return ps->syn.big_endian;
}

const char *nx_dicom_ts_uid(const struct nx_dicom_parser *ps)
{
	return ps->ts_uid;
}

uint64_t nx_dicom_dataset_offset(const struct nx_dicom_parser *ps)
{
	return ps->dataset_offset;
}
