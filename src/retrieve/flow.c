/*
 * Pixel data made of frames: native ones one behind the other, others as items (PS3.5 A.4), one a
 * frame, behind an empty Basic Offset Table, since lengths are not known beforehand.
 */
#include "retrieve/flow_priv.h"

#include <stdlib.h>

#include "retrieve/instances_priv.h"

enum {
	CHANGES = 4, /* elements that may come anew */
	ITEM_HEAD = 8
};

enum phase {
	PHASE_START,
	PHASE_FRAME,
	PHASE_BODY,
	PHASE_PAD,
	PHASE_END
};

struct pixel_flow {
	struct nx_frame_reader *reader;
	struct nx_transcoder *transcoder;
	struct frame_facts facts;
	bool encapsulated;
	bool was_lossy;
	uint32_t next; /* frame */
	enum phase phase;
	uint8_t head[ITEM_HEAD];
	struct nx_slice body; /* of the frame at hand */
	struct nx_slice now;  /* what is given out next */
};

struct pixel_flow *pixel_flow_free(struct pixel_flow *flow)
{
	if (!flow)
		return NULL;
	nx_transcoder_free(flow->transcoder);
	nx_frame_reader_free(flow->reader);
	free(flow);
	return NULL;
}
NX_DEFINE_AUTO(pixel_flow);

nx_rc pixel_flow_new(struct nx_instances *instances, const char *ts_uid, struct pixel_flow **ret,
	struct nx_err *err)
{
	NX_AUTO(pixel_flow) *f = calloc(1, sizeof(*f));
	const struct nx_pixel_codec *from, *to = nx_pixel_codec_find(ts_uid);
	nx_rc rc;

	if (!f || !to)
		return nx_err_set(err, NX_E_NOMEM, "no memory for frames");
	rc = nx_frame_reader_open(instances, instances->at, &f->reader, err);
	if (rc)
		return rc;
	f->facts = frame_reader_facts(f->reader);
	from = nx_pixel_codec_find(f->facts.ts_uid);
	f->was_lossy = from && from->flags & NX_PIXEL_LOSSY;
	f->encapsulated = !(to->flags & NX_PIXEL_NATIVE);
	rc = nx_transcoder_new(instances->retrieve, f->reader, ts_uid, &f->transcoder, err);
	if (!rc)
		rc = nx_transcoder_frame(f->transcoder, 0, &f->body, err);
	if (!rc)
		*ret = NX_STEAL(f);
	return rc;
}

/* ---- the data set around them ---- */

static const struct nx_elem *compressed_inside(const struct nx_dataset *ds)
{
	const struct nx_elem *found = NULL;

	for (size_t i = 0; i < ds->n && !found; i++) {
		const struct nx_elem *e = &ds->elems[i];

		for (size_t k = 0; k < e->n_items && !found; k++) {
			for (size_t m = 0; m < e->items[k]->n && !found; m++)
				if (e->items[k]->elems[m].is_encapsulated)
					found = &e->items[k]->elems[m];
			if (!found)
				found = compressed_inside(e->items[k]);
		}
	}
	return found;
}

/* In its place by tag; `ds` has room for it. */
static struct nx_elem *elem_put(struct nx_dataset *ds, const struct nx_elem *e)
{
	size_t at = 0;

	while (at < ds->n && ds->elems[at].tag < e->tag)
		at++;
	if (at == ds->n || ds->elems[at].tag != e->tag) {
		memmove(&ds->elems[at + 1], &ds->elems[at], (ds->n - at) * sizeof(*e));
		ds->n++;
	}
	ds->elems[at] = *e;
	return &ds->elems[at];
}

static void text_put(struct nx_dataset *ds, nx_tag tag, const char *text)
{
	elem_put(ds,
		&(struct nx_elem){.tag = tag, .vr = NX_VR('C', 'S'), .value = nx_slice_str(text)});
}

/* Offset tables are of the stored frames. */
static bool is_table(nx_tag tag)
{
	return tag == NX_TAG_EXTENDED_OFFSET_TABLE || tag == NX_TAG_EXTENDED_OFFSET_TABLE_LENGTHS ||
		tag == NX_TAG_ENCAPSULATED_PIXEL_DATA_VALUE_TOTAL_LENGTH;
}

static nx_rc elems_copy(const struct pixel_flow *f, struct nx_arena *arena, struct nx_dataset *ret,
	struct nx_err *err)
{
	const struct nx_dataset *ds = f->facts.ds;

	*ret = *ds;
	ret->n = 0;
	ret->elems = nx_arena_alloc_array(arena, ds->n + CHANGES, sizeof(*ret->elems));
	if (!ret->elems)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a data set");
	for (size_t i = 0; i < ds->n; i++)
		if (!is_table(ds->elems[i].tag))
			ret->elems[ret->n++] = ds->elems[i];
	return NX_OK;
}

nx_rc pixel_flow_dataset(struct pixel_flow *flow, struct nx_arena *arena, struct nx_dataset *ret,
	const struct nx_elem **ret_pixels, struct nx_err *err)
{
	static const uint8_t order[2][2] = {{0, 0}, {1, 0}};
	const struct nx_pixel_desc *desc = transcoder_desc(flow->transcoder);
	const bool words = desc->bits_allocated > 8 && !flow->encapsulated;
	const char *photometric = nx_photometric_term(desc->photometric);
	nx_rc rc;

	if (compressed_inside(flow->facts.ds))
		return nx_err_set(err, NX_E_NOT_ACCEPTABLE,
			"the data set has a compressed image within a sequence");
	rc = elems_copy(flow, arena, ret, err);
	if (rc)
		return rc;
	if (photometric[0])
		text_put(ret, NX_TAG_PHOTOMETRIC_INTERPRETATION, photometric);
	if (desc->samples > 1)
		elem_put(ret,
			&(struct nx_elem){.tag = NX_TAG_PLANAR_CONFIGURATION,
				.vr = NX_VR('U', 'S'),
				.value = nx_slice(order[desc->planar], 2)});
	if (flow->was_lossy && !nx_dataset_find(ret, NX_TAG_LOSSY_IMAGE_COMPRESSION))
		text_put(ret, NX_TAG_LOSSY_IMAGE_COMPRESSION, "01");
	*ret_pixels = elem_put(ret,
		&(struct nx_elem){.tag = NX_TAG_PIXEL_DATA,
			.vr = words ? NX_VR('O', 'W') : NX_VR('O', 'B'),
			.is_bulk = true,
			.is_encapsulated = flow->encapsulated,
			.bulk_length = pixel_flow_len(flow)});
	return NX_OK;
}

/* ---- the value ---- */

uint64_t pixel_flow_len(const struct pixel_flow *flow)
{
	const uint64_t bytes =
		(uint64_t)flow->facts.desc->frames * nx_pixel_frame_len(flow->facts.desc);

	return flow->encapsulated ? UINT64_MAX : bytes + bytes % 2;
}

static void item_put(struct pixel_flow *f, nx_tag tag, size_t length)
{
	const uint16_t group = (uint16_t)(tag >> 16), element = (uint16_t)tag;

	f->head[0] = (uint8_t)group;
	f->head[1] = (uint8_t)(group >> 8);
	f->head[2] = (uint8_t)element;
	f->head[3] = (uint8_t)(element >> 8);
	for (unsigned i = 0; i < 4; i++)
		f->head[4 + i] = (uint8_t)(length >> 8 * i);
	f->now = nx_slice(f->head, ITEM_HEAD);
}

static void pad_put(struct pixel_flow *f, bool odd)
{
	f->head[0] = 0;
	f->now = nx_slice(f->head, odd);
}

/* Behind the last frame. */
static void end_put(struct pixel_flow *f)
{
	f->phase = PHASE_END;
	if (f->encapsulated)
		item_put(f, NX_TAG_SEQUENCE_DELIMITATION_ITEM, 0);
	else
		pad_put(f, (uint64_t)f->facts.desc->frames * nx_pixel_frame_len(f->facts.desc) % 2);
}

static nx_rc frame_next(struct pixel_flow *f, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	if (f->next == f->facts.desc->frames) {
		end_put(f);
		return NX_OK;
	}
	rc = nx_transcoder_frame(f->transcoder, f->next++, &f->body, err);
	if (rc)
		return rc;
	if (f->encapsulated) {
		f->phase = PHASE_BODY;
		item_put(f, NX_TAG_ITEM, f->body.n + f->body.n % 2);
	} else {
		f->now = f->body;
	}
	return NX_OK;
}

static nx_rc step(struct pixel_flow *f, struct nx_err *err)
{
	switch (f->phase) {
	case PHASE_START:
		f->phase = PHASE_FRAME;
		if (f->encapsulated)
			item_put(f, NX_TAG_ITEM, 0);
		return NX_OK;
	case PHASE_FRAME:
		return frame_next(f, err);
	case PHASE_BODY:
		f->phase = PHASE_PAD;
		f->now = f->body;
		return NX_OK;
	case PHASE_PAD:
		f->phase = PHASE_FRAME;
		pad_put(f, f->body.n % 2);
		return NX_OK;
	case PHASE_END:
		break;
	}
	return NX_OK;
}

nx_rc pixel_flow_read(struct pixel_flow *flow, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	size_t done = 0, take;
	nx_rc rc = NX_OK;

	while (done < n && !rc && (flow->now.n || flow->phase != PHASE_END)) {
		if (!flow->now.n) {
			rc = step(flow, err);
			continue;
		}
		take = flow->now.n < n - done ? flow->now.n : n - done;
		memcpy((uint8_t *)p + done, flow->now.p, take);
		flow->now = nx_slice(flow->now.p + take, flow->now.n - take);
		done += take;
	}
	if (!rc)
		*ret_n = done;
	return rc;
}
