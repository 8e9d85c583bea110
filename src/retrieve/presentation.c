/* A presentation state as it is stored: its data set, and the images that it refers to (C.11.11).
 */
#include "retrieve/presentation_priv.h"

#include <stdlib.h>

#include "base/limits.h"

enum {
	STATE_ARENA_MAX = 512 * 1024 * 1024,
	FRAME_DIGITS = 8
};

bool presentation_is(const struct nx_instances *states, size_t i)
{
	struct nx_instance_info info;

	nx_instances_info(states, i, &info);
	return strcmp(info.sop_class, NX_UID_GRAYSCALE_SOFTCOPY_PRESENTATION_STATE_STORAGE) == 0;
}

struct presentation *presentation_free(struct presentation *p)
{
	if (!p)
		return NULL;
	nx_arena_free(p->arena);
	free(p);
	return NULL;
}

/* ---- what it refers to ---- */

/* IS: digits with backslashes between, from 1 on. */
static nx_rc frames_parse(
	struct presentation *p, struct presented *image, const char *text, struct nx_err *err)
{
	uint32_t *frames = nx_arena_alloc_array(p->arena, strlen(text) / 2 + 1, sizeof(*frames));

	if (!frames)
		return nx_err_set(err, NX_E_NOMEM, "no memory for frame numbers");
	image->frames = frames;
	while (*text) {
		const size_t n = strcspn(text, "\\");
		const unsigned long number = n <= FRAME_DIGITS ? strtoul(text, NULL, 10) : 0;

		if (number < 1 || number > NX_LIMIT_PIXEL_FRAMES)
			return nx_err_set(err, NX_E_MALFORMED, "(0008,1160) is no list of frames");
		frames[image->n++] = (uint32_t)number - 1;
		text += n + (text[n] == '\\');
	}
	return NX_OK;
}

static nx_rc image_add(struct presentation *p, const char *series, const struct nx_dataset *ref,
	struct nx_err *err)
{
	struct presented *image = &p->images[p->n_images];
	const char *frames = nx_dataset_text(ref, NX_TAG_REFERENCED_FRAME_NUMBER, p->arena);

	*image = (struct presented){.series = series};
	image->instance = nx_dataset_text(ref, NX_TAG_REFERENCED_SOP_INSTANCE_UID, p->arena);
	if (!frames || !image->instance)
		return nx_err_set(err, NX_E_NOMEM, "no memory for references");
	p->n_images++;
	return *frames ? frames_parse(p, image, frames, err) : NX_OK;
}

static nx_rc series_add(struct presentation *p, const struct nx_dataset *series, struct nx_err *err)
{
	const struct nx_elem *refs = nx_dataset_find(series, NX_TAG_REFERENCED_IMAGE_SEQUENCE);
	const char *uid = nx_dataset_text(series, NX_TAG_SERIES_INSTANCE_UID, p->arena);
	nx_rc rc = uid ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for references");

	for (size_t i = 0; refs && i < refs->n_items && !rc; i++)
		rc = image_add(p, uid, refs->items[i], err);
	return rc;
}

static nx_rc references_read(struct presentation *p, struct nx_err *err)
{
	const struct nx_elem *series = nx_dataset_find(p->ds, NX_TAG_REFERENCED_SERIES_SEQUENCE);
	const struct nx_elem *refs;
	size_t n = 0;
	nx_rc rc = NX_OK;

	for (size_t i = 0; series && i < series->n_items; i++) {
		refs = nx_dataset_find(series->items[i], NX_TAG_REFERENCED_IMAGE_SEQUENCE);
		n += refs ? refs->n_items : 0;
	}
	if (n > NX_LIMIT_RENDERED_PARTS)
		return nx_err_set(err, NX_E_LIMIT, "(0008,1115): more than %u images",
			NX_LIMIT_RENDERED_PARTS);
	p->images = nx_arena_alloc_array(p->arena, n + 1, sizeof(*p->images));
	if (!p->images)
		return nx_err_set(err, NX_E_NOMEM, "no memory for references");
	for (size_t i = 0; series && i < series->n_items && !rc; i++)
		rc = series_add(p, series->items[i], err);
	return rc;
}

nx_rc presentation_open(
	struct nx_instances *states, size_t i, struct presentation **ret, struct nx_err *err)
{
	NX_AUTO(presentation) *p = calloc(1, sizeof(*p));
	const struct nx_item *item;
	nx_rc rc;

	if (p)
		p->arena = nx_arena_new(STATE_ARENA_MAX, NX_ARENA_WIPE);
	if (!p || !p->arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a presentation state");
	p->states = states;
	p->at = i;
	rc = nx_instances_at(states, i, &item, err);
	if (!rc)
		rc = instances_header(states, p->arena, &p->ds, err);
	if (!rc)
		rc = references_read(p, err);
	if (rc)
		return rc == NX_E_MALFORMED
			? nx_err_prefix(err, NX_E_NOT_ACCEPTABLE, "presentation state")
			: rc;
	p->ts = nx_ts_find(item->ts_uid);
	*ret = NX_STEAL(p);
	return NX_OK;
}

nx_rc presentation_value(struct presentation *p, const struct nx_elem *e, struct nx_arena *arena,
	struct nx_slice *ret, struct nx_err *err)
{
	const struct nx_item *item;
	nx_rc rc = NX_OK;

	if (!p->states->reader || p->states->at != p->at)
		rc = nx_instances_at(p->states, p->at, &item, err);
	return rc ? rc : instances_value(p->states, p->ts, e, arena, ret, err);
}
