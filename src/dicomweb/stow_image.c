/*
 * Bulk parts that are PNG or GIF files: they become native pixel data (PS3.18 10.5.2, Table
 * 10.5.2-1), and what the Image Pixel Description Macro says of them is derived where metadata do
 * not say it.  A GIF of several frames is a multi-frame image, where the SOP class is of such.
 */
#include <string.h>

#include "base/arena.h"
#include "dicomweb/stow_priv.h"
#include "pixelbox/pixelbox.h"

enum {
	ATTRIBUTES = 16, /* room for what is derived */
	DELAY_LEN = 2,
	DIGITS = 8 /* of a delay, with what is between two of them */
};

/* SOP classes whose instances have one frame (PS3.3 A). */
static const char *const one_frame[] = {"1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1",
	"1.2.840.10008.5.1.4.1.1.1.1.1", "1.2.840.10008.5.1.4.1.1.1.2",
	"1.2.840.10008.5.1.4.1.1.1.2.1", "1.2.840.10008.5.1.4.1.1.1.3",
	"1.2.840.10008.5.1.4.1.1.1.3.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4",
	"1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.128",
	"1.2.840.10008.5.1.4.1.1.77.1.1", "1.2.840.10008.5.1.4.1.1.77.1.2",
	"1.2.840.10008.5.1.4.1.1.77.1.3", "1.2.840.10008.5.1.4.1.1.77.1.4"};

/* ---- a file that has arrived ---- */

/* The next frames of one value are as those before. */
static bool is_alike(const struct nx_pixel_desc *a, const struct nx_pixel_desc *b)
{
	return a->rows == b->rows && a->columns == b->columns && a->samples == b->samples &&
		a->bits_allocated == b->bits_allocated;
}

static nx_rc samples_take(void *payload, const struct nx_pixel_desc *desc, struct nx_slice samples,
	struct nx_slice delays, struct nx_err *err)
{
	struct stow_pixels *p = payload;
	const uint32_t frames = p->desc.frames;

	if (frames && !is_alike(&p->desc, desc))
		return nx_err_set(err, NX_E_CONFLICT, "frames of several sizes or depths");
	if (desc->frames > NX_LIMIT_PIXEL_FRAMES - frames)
		return nx_err_set(err, NX_E_LIMIT, "more than %u frames", NX_LIMIT_PIXEL_FRAMES);
	p->desc = *desc;
	p->desc.frames += frames;
	nx_buf_put(&p->delays, delays.p, delays.n);
	if (nx_buf_check(&p->delays, err))
		return nx_buf_check(&p->delays, err);
	return nx_ingest_value_put(p->value, samples.p, samples.n, err);
}

nx_rc stow_image_end(struct stow_pixels *p, struct nx_err *err)
{
	const struct nx_image_source source = {p->form, p->samples, nx_buf_slice(&p->fragment)};
	const struct nx_image_taker taker = {samples_take, p};

	return nx_pixelbox_image(p->box, &source, &taker, err);
}

/* ---- what the data set says then ---- */

static nx_rc disagree(struct nx_err *err, nx_tag tag)
{
	return nx_err_set(err, NX_E_MALFORMED, "(%04X,%04X) is not what the image has", tag >> 16,
		tag & 0xffff);
}

/* A number of the image: that of the metadata, or there is none yet. */
static nx_rc number_put(struct nx_model *model, nx_tag tag, uint16_t v, struct nx_err *err)
{
	uint8_t *bytes = nx_arena_alloc(model->arena, sizeof(v));
	int64_t known;

	if (nx_dataset_int(model->ds, tag, &known))
		return known == v ? NX_OK : disagree(err, tag);
	if (!bytes)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an image");
	bytes[0] = (uint8_t)v;
	bytes[1] = (uint8_t)(v >> 8);
	nx_dataset_put(model->ds,
		&(struct nx_elem){
			.tag = tag, .vr = NX_VR('U', 'S'), .value = nx_slice(bytes, sizeof(v))});
	return NX_OK;
}

/* Gray may be told the other way round; of color there is one form. */
static nx_rc photometric_put(
	struct nx_model *model, const struct nx_pixel_desc *desc, struct nx_err *err)
{
	const nx_tag tag = NX_TAG_PHOTOMETRIC_INTERPRETATION;
	const struct nx_elem *e = nx_dataset_find(model->ds, tag);
	const enum nx_photometric said =
		e && e->value.n ? nx_photometric_parse(e->value) : NX_PHOTO_UNKNOWN;

	if (!e || !e->value.n) {
		nx_dataset_put_text(model->ds, tag, nx_photometric_term(desc->photometric));
		return NX_OK;
	}
	return said == desc->photometric ||
			(said == NX_PHOTO_MONOCHROME1 && desc->photometric == NX_PHOTO_MONOCHROME2)
		? NX_OK
		: disagree(err, tag);
}

/* Fewer bits than are allocated may be in use. */
static nx_rc depth_put(struct nx_model *model, const struct nx_pixel_desc *desc, struct nx_err *err)
{
	int64_t stored = desc->bits_stored;
	nx_rc rc = number_put(model, NX_TAG_BITS_ALLOCATED, desc->bits_allocated, err);

	if (rc)
		return rc;
	(void)nx_dataset_int(model->ds, NX_TAG_BITS_STORED, &stored);
	if (stored < 1 || stored > desc->bits_allocated)
		return disagree(err, NX_TAG_BITS_STORED);
	rc = number_put(model, NX_TAG_BITS_STORED, (uint16_t)stored, err);
	if (!rc)
		rc = number_put(model, NX_TAG_HIGH_BIT, (uint16_t)(stored - 1), err);
	return rc ? rc : number_put(model, NX_TAG_PIXEL_REPRESENTATION, 0, err);
}

static nx_rc frames_put(struct nx_model *model, uint32_t frames, struct nx_err *err)
{
	const char *uid = nx_dataset_text(model->ds, NX_TAG_SOP_CLASS_UID, model->arena);
	const char *text = nx_arena_printf(model->arena, "%u", frames);
	int64_t known = 1;

	if (nx_dataset_int(model->ds, NX_TAG_NUMBER_OF_FRAMES, &known) && known != frames)
		return disagree(err, NX_TAG_NUMBER_OF_FRAMES);
	if (frames == 1 || known == frames)
		return NX_OK;
	if (!text || !uid)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an image");
	for (size_t i = 0; i < NX_ARRAY_LEN(one_frame); i++)
		if (strcmp(uid, one_frame[i]) == 0)
			return nx_err_set(err, NX_E_UNSUPPORTED,
				"%u frames for a SOP class whose images have one", frames);
	nx_dataset_put_text(model->ds, NX_TAG_NUMBER_OF_FRAMES, text);
	return NX_OK;
}

/* ---- how long frames are shown (C.7.6.5) ---- */

static unsigned delay_at(const struct stow_pixels *p, size_t i)
{
	return p->delays.data[DELAY_LEN * i] | (unsigned)p->delays.data[DELAY_LEN * i + 1] << 8;
}

static bool is_even(const struct stow_pixels *p)
{
	for (size_t i = 1; i < p->desc.frames; i++)
		if (delay_at(p, i) != delay_at(p, 0))
			return false;
	return true;
}

/* (0018,1065) has for each frame the time since the one before. */
static const char *vector_make(const struct stow_pixels *p, struct nx_arena *arena)
{
	char *text = nx_arena_alloc(arena, (size_t)p->desc.frames * DIGITS + 1);
	size_t n = 0;

	for (size_t i = 0; text && i < p->desc.frames; i++)
		n += (size_t)snprintf(
			text + n, DIGITS, "%s%u", i ? "\\" : "", i ? delay_at(p, i - 1) : 0);
	return text;
}

static nx_rc pointer_put(struct nx_model *model, nx_tag to, struct nx_err *err)
{
	const uint8_t value[] = {
		(uint8_t)(to >> 16), (uint8_t)(to >> 24), (uint8_t)to, (uint8_t)(to >> 8)};
	uint8_t *bytes = nx_arena_copy(model->arena, value, sizeof(value));

	if (!bytes)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an image");
	nx_dataset_put(model->ds,
		&(struct nx_elem){.tag = NX_TAG_FRAME_INCREMENT_POINTER,
			.vr = NX_VR('A', 'T'),
			.value = nx_slice(bytes, sizeof(value))});
	return NX_OK;
}

static nx_rc times_put(struct nx_model *model, const struct stow_pixels *p, struct nx_err *err)
{
	const bool even = is_even(p);
	const nx_tag tag = even ? NX_TAG_FRAME_TIME : NX_TAG_FRAME_TIME_VECTOR;
	const char *text;

	if (p->desc.frames < 2 || p->form != NX_IMAGE_GIF ||
		nx_dataset_find(model->ds, NX_TAG_FRAME_INCREMENT_POINTER) ||
		nx_dataset_find(model->ds, tag))
		return NX_OK;
	text = even ? nx_arena_printf(model->arena, "%u", delay_at(p, 0))
		    : vector_make(p, model->arena);
	if (!text)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an image");
	nx_dataset_put_text(model->ds, tag, text);
	return pointer_put(model, tag, err);
}

/* ---- all of it ---- */

/* The same data set with room for more. */
static nx_rc room_make(struct nx_model *model, struct nx_err *err)
{
	struct nx_dataset *ds = nx_dataset_new(model->arena, model->ds->n + ATTRIBUTES);

	if (!ds)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an image");
	ds->charset = model->ds->charset;
	for (size_t i = 0; i < model->ds->n; i++)
		nx_dataset_put(ds, &model->ds->elems[i]);
	model->ds = ds;
	return NX_OK;
}

nx_rc stow_image_describe(struct nx_model *model, const struct stow_pixels *p, struct nx_err *err)
{
	const struct nx_pixel_desc *desc = &p->desc;
	nx_rc rc = desc->frames ? room_make(model, err)
				: nx_err_set(err, NX_E_MALFORMED, "no image in the pixel data");

	if (!rc)
		rc = number_put(model, NX_TAG_SAMPLES_PER_PIXEL, desc->samples, err);
	if (!rc)
		rc = photometric_put(model, desc, err);
	if (!rc && desc->samples > 1)
		rc = number_put(model, NX_TAG_PLANAR_CONFIGURATION, 0, err);
	if (!rc)
		rc = number_put(model, NX_TAG_ROWS, (uint16_t)desc->rows, err);
	if (!rc)
		rc = number_put(model, NX_TAG_COLUMNS, (uint16_t)desc->columns, err);
	if (!rc)
		rc = depth_put(model, desc, err);
	if (!rc)
		rc = frames_put(model, desc->frames, err);
	return rc ? rc : times_put(model, p, err);
}
