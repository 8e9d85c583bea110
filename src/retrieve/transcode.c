#include "retrieve/transcode_priv.h"

#include <stdlib.h>

#include "pixelbox/pixelbox.h"

struct nx_transcoder {
	struct nx_retrieve *retrieve;
	struct nx_frame_reader *reader;
	const struct nx_pixel_codec *from;
	const struct nx_pixel_codec *to;
	struct frame_samples frame;
	struct nx_buf made; /* the frame encoded */
	struct nx_pixel_desc desc;
	bool has_frame;
	uint32_t number; /* of it */
};

/* ---- what can be made ---- */

static const char *const targets[] = {NX_UID_EXPLICIT_VR_LITTLE_ENDIAN,
	NX_UID_IMPLICIT_VR_LITTLE_ENDIAN, "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90",
	"1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.5",
	"1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.1.98"};

const char *nx_transcode_target(size_t i)
{
	return i < NX_ARRAY_LEN(targets) ? targets[i] : NULL;
}

bool nx_transcodable(const char *from_ts_uid, const char *to_ts_uid)
{
	const struct nx_pixel_codec *from = nx_pixel_codec_find(from_ts_uid);

	if (!from || !from->decode)
		return false;
	for (size_t i = 0; i < NX_ARRAY_LEN(targets); i++)
		if (strcmp(targets[i], to_ts_uid) == 0)
			return true;
	return false;
}

/* ---- samples ---- */

void frame_samples_init(struct frame_samples *f)
{
	nx_buf_init(&f->stored, 2 * NX_LIMIT_PIXEL_FRAME, NX_BUF_WIPE);
	nx_buf_init(&f->samples, NX_LIMIT_PIXEL_FRAME + 1, NX_BUF_WIPE);
}

void frame_samples_done(struct frame_samples *f)
{
	nx_buf_done(&f->stored);
	nx_buf_done(&f->samples);
}

nx_rc frame_samples_get(struct frame_samples *f, struct nx_retrieve *retrieve,
	struct nx_frame_reader *reader, uint32_t number, unsigned flags, struct nx_err *err)
{
	const struct frame_facts facts = frame_reader_facts(reader);
	const size_t len = nx_pixel_frame_len(facts.desc);
	uint8_t *to;
	nx_rc rc;

	nx_buf_clear(&f->stored);
	nx_buf_clear(&f->samples);
	rc = frame_reader_whole(reader, number, &f->stored, err);
	if (rc)
		return rc;
	to = nx_buf_reserve(&f->samples, len);
	if (!to)
		return nx_buf_check(&f->samples, err);
	rc = nx_pixelbox_decode(retrieve->box, facts.ts_uid,
		&(struct nx_pixel_frame){
			.desc = facts.desc, .bytes = nx_buf_slice(&f->stored), .flags = flags},
		to, len, &f->desc, err);
	if (!rc)
		f->samples.len = len;
	return rc;
}

void frame_slot_take(struct nx_retrieve *r)
{
	(void)pthread_mutex_lock(&r->lock);
	while (r->rendering == r->rendering_max)
		(void)pthread_cond_wait(&r->rendered, &r->lock);
	r->rendering++;
	(void)pthread_mutex_unlock(&r->lock);
}

void frame_slot_give(struct nx_retrieve *r)
{
	(void)pthread_mutex_lock(&r->lock);
	r->rendering--;
	(void)pthread_cond_signal(&r->rendered);
	(void)pthread_mutex_unlock(&r->lock);
}

/* ---- a transcoder ---- */

/* Native frames of single bits lie behind each other without padding; here each has its own. */
static nx_rc check(const struct nx_transcoder *t, struct nx_err *err)
{
	const struct frame_facts facts = frame_reader_facts(t->reader);

	if (facts.pixels != NX_TAG_PIXEL_DATA)
		return nx_err_set(err, NX_E_NOT_ACCEPTABLE, "floating point is not transcoded");
	if (t->to->flags & NX_PIXEL_NATIVE && facts.desc->bits_allocated == 1 &&
		facts.desc->frames > 1 && nx_pixel_native_bits(facts.desc) % 8)
		return nx_err_set(err, NX_E_NOT_ACCEPTABLE, "frames of single bits are not joined");
	return NX_OK;
}

nx_rc nx_transcoder_new(struct nx_retrieve *retrieve, struct nx_frame_reader *reader,
	const char *ts_uid, struct nx_transcoder **ret, struct nx_err *err)
{
	NX_AUTO(nx_transcoder) *t = NULL;
	nx_rc rc;

	if (!nx_transcodable(frame_reader_facts(reader).ts_uid, ts_uid))
		return nx_err_set(
			err, NX_E_NOT_ACCEPTABLE, "frames are not made in this transfer syntax");
	t = calloc(1, sizeof(*t));
	if (!t)
		return nx_err_set(err, NX_E_NOMEM, "no memory for frames");
	t->retrieve = retrieve;
	t->reader = reader;
	t->from = nx_pixel_codec_find(frame_reader_facts(reader).ts_uid);
	t->to = nx_pixel_codec_find(ts_uid);
	frame_samples_init(&t->frame);
	nx_buf_init(&t->made, 2 * NX_LIMIT_PIXEL_FRAME, NX_BUF_WIPE);
	rc = check(t, err);
	if (!rc)
		*ret = NX_STEAL(t);
	return rc;
}

struct nx_transcoder *nx_transcoder_free(struct nx_transcoder *transcoder)
{
	if (!transcoder)
		return NULL;
	frame_samples_done(&transcoder->frame);
	nx_buf_done(&transcoder->made);
	free(transcoder);
	return NULL;
}

const struct nx_pixel_desc *transcoder_desc(const struct nx_transcoder *transcoder)
{
	return &transcoder->desc;
}

static nx_rc make(struct nx_transcoder *t, uint32_t number, struct nx_err *err)
{
	const unsigned flags = t->from->flags & NX_PIXEL_LOSSY ? NX_PIXEL_RGB : 0;
	nx_rc rc = frame_samples_get(&t->frame, t->retrieve, t->reader, number, flags, err);

	t->desc = t->frame.desc;
	nx_buf_clear(&t->made);
	if (!rc && !(t->to->flags & NX_PIXEL_NATIVE))
		rc = nx_pixelbox_encode(t->retrieve->box, t->to->uid,
			&(struct nx_pixel_frame){
				.desc = &t->frame.desc, .bytes = nx_buf_slice(&t->frame.samples)},
			NULL, &t->made, &t->desc, err);
	return rc;
}

nx_rc nx_transcoder_frame(
	struct nx_transcoder *transcoder, uint32_t number, struct nx_slice *ret, struct nx_err *err)
{
	struct nx_transcoder *t = transcoder;
	nx_rc rc = NX_OK;

	if (!t->has_frame || t->number != number) {
		t->has_frame = false;
		frame_slot_take(t->retrieve);
		rc = make(t, number, err);
		frame_slot_give(t->retrieve);
	}
	if (rc == NX_E_MALFORMED || rc == NX_E_SHORT || rc == NX_E_UNSUPPORTED)
		return nx_err_prefix(err, NX_E_NOT_ACCEPTABLE, "the frame cannot be transcoded");
	if (rc)
		return rc;
	t->has_frame = true;
	t->number = number;
	*ret = nx_buf_slice(t->to->flags & NX_PIXEL_NATIVE ? &t->frame.samples : &t->made);
	return NX_OK;
}
