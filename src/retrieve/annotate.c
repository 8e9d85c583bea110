/* What is burned into a picture, as a table of attributes. */
#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "retrieve/finish_priv.h"

enum {
	VALUE_MAX = 64, /* bytes of a value; more of it is left out */
	TEXT_PER = 800, /* pixels of a side for each multiple of the font's size */
	MARGIN = 4
};

enum form {
	PLAIN,
	NUMBER, /* without the zeros at its end */
	NAME,   /* components with spaces between */
	DATE,   /* 2024-01-31 */
	TIME,   /* 10:15 */
};

/* Lines from top to bottom; what has no `line` of its own stands beside what is before. */
static const struct row {
	unsigned of; /* enum nx_render_annotation */
	bool line;
	enum form form;
	nx_tag tag;
	const char *before;
	const char *behind;
} rows[] = {
	{NX_ANNOTATE_PATIENT, true, NAME, NX_TAG_PATIENT_NAME, "", ""},
	{NX_ANNOTATE_PATIENT, true, PLAIN, NX_TAG_PATIENT_ID, "ID ", ""},
	{NX_ANNOTATE_PATIENT, true, DATE, NX_TAG_PATIENT_BIRTH_DATE, "*", ""},
	{NX_ANNOTATE_PATIENT, false, PLAIN, NX_TAG_PATIENT_SEX, "", ""},
	{NX_ANNOTATE_PATIENT, true, DATE, NX_TAG_STUDY_DATE, "", ""},
	{NX_ANNOTATE_PATIENT, false, TIME, NX_TAG_STUDY_TIME, "", ""},
	{NX_ANNOTATE_PATIENT, true, PLAIN, NX_TAG_ACCESSION_NUMBER, "Acc ", ""},
	{NX_ANNOTATE_TECHNIQUE, true, PLAIN, NX_TAG_MODALITY, "", ""},
	{NX_ANNOTATE_TECHNIQUE, false, PLAIN, NX_TAG_SERIES_DESCRIPTION, "", ""},
	{NX_ANNOTATE_TECHNIQUE, true, NUMBER, NX_TAG_KVP, "", " kV"},
	{NX_ANNOTATE_TECHNIQUE, false, NUMBER, NX_TAG_X_RAY_TUBE_CURRENT, "", " mA"},
	{NX_ANNOTATE_TECHNIQUE, false, NUMBER, NX_TAG_EXPOSURE_TIME, "", " ms"},
	{NX_ANNOTATE_TECHNIQUE, false, NUMBER, NX_TAG_EXPOSURE, "", " mAs"},
	{NX_ANNOTATE_TECHNIQUE, true, NUMBER, NX_TAG_REPETITION_TIME, "TR ", ""},
	{NX_ANNOTATE_TECHNIQUE, false, NUMBER, NX_TAG_ECHO_TIME, "TE ", ""},
	{NX_ANNOTATE_TECHNIQUE, false, NUMBER, NX_TAG_INVERSION_TIME, "TI ", ""},
	{NX_ANNOTATE_TECHNIQUE, false, NUMBER, NX_TAG_FLIP_ANGLE, "FA ", ""},
	{NX_ANNOTATE_TECHNIQUE, true, NUMBER, NX_TAG_SLICE_THICKNESS, "", " mm"},
	{NX_ANNOTATE_TECHNIQUE, false, PLAIN, NX_TAG_CONVOLUTION_KERNEL, "", ""},
	{NX_ANNOTATE_TECHNIQUE, true, PLAIN, NX_TAG_INSTANCE_NUMBER, "Im ", ""},
};

/* ---- values as they are read ---- */

static bool is_digits(const char *s, size_t n)
{
	return strspn(s, "0123456789") >= n;
}

/* Components, and the same in other characters (PS3.5 6.2.1). */
static void name_put(struct nx_buf *out, const char *value, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (value[i] == '^')
			nx_buf_put_u8(out, ' ');
		else if (value[i] == '=')
			nx_buf_put_str(out, "  ");
		else
			nx_buf_put_u8(out, (uint8_t)value[i]);
}

/* As much of a value as ends with a whole character. */
static size_t kept(const char *value)
{
	size_t n = strlen(value);

	if (n <= VALUE_MAX)
		return n;
	n = VALUE_MAX;
	while (n && ((uint8_t)value[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static void value_put(struct nx_buf *out, enum form form, const char *value)
{
	const size_t n = kept(value);

	switch (form) {
	case NUMBER:
		if (strspn(value, "+-.0123456789eE ") != strlen(value))
			break;
		nx_buf_printf(out, "%.6g", strtod(value, NULL));
		return;
	case NAME:
		name_put(out, value, n);
		return;
	case DATE:
		if (!is_digits(value, 8))
			break;
		nx_buf_printf(out, "%.4s-%.2s-%.2s", value, value + 4, value + 6);
		return;
	case TIME:
		if (!is_digits(value, 4))
			break;
		nx_buf_printf(out, "%.2s:%.2s", value, value + 2);
		return;
	case PLAIN:
		break;
	}
	nx_buf_put(out, value, n);
}

/* ---- lines ---- */

static nx_rc row_put(const struct image_source *source, const struct row *row, struct nx_buf *out,
	bool *line_is_empty, struct nx_err *err)
{
	const char *value = nx_dataset_text(source->ds, row->tag, source->arena);

	if (!value)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an annotation");
	if (row->line && !*line_is_empty) {
		nx_buf_put_u8(out, '\n');
		*line_is_empty = true;
	}
	if (!*value)
		return NX_OK;
	if (!*line_is_empty)
		nx_buf_put_str(out, "  ");
	nx_buf_put_str(out, row->before);
	value_put(out, row->form, value);
	nx_buf_put_str(out, row->behind);
	*line_is_empty = false;
	return NX_OK;
}

/* The window that the picture was made with, and which frame it is. */
static void shown_put(const struct image *image, const struct image_source *source, uint32_t frame,
	struct nx_buf *out)
{
	const struct nx_gray *g = &image->gray;
	int64_t frames;

	if (nx_dataset_int(source->ds, NX_TAG_NUMBER_OF_FRAMES, &frames) && frames > 1)
		nx_buf_printf(out, "  Fr %u/%lld", frame + 1, (long long)frames);
	if (g->voi == NX_VOI_LINEAR || g->voi == NX_VOI_LINEAR_EXACT || g->voi == NX_VOI_SIGMOID)
		nx_buf_printf(out, "  C %.6g W %.6g", g->center, g->width);
}

static nx_rc lines_make(const struct image_source *source, const struct image *image, unsigned of,
	uint32_t frame, struct nx_buf *out, struct nx_err *err)
{
	bool line_is_empty = true;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < NX_ARRAY_LEN(rows) && !rc; i++)
		if (rows[i].of == of)
			rc = row_put(source, &rows[i], out, &line_is_empty, err);
	if (!rc && of == NX_ANNOTATE_TECHNIQUE)
		shown_put(image, source, frame, out);
	return rc ? rc : nx_buf_check(out, err);
}

nx_rc annotate(const struct image_source *source, const struct image *image, unsigned what,
	uint32_t frame, struct nx_raster *raster, struct nx_err *err)
{
	static const unsigned all[] = {NX_ANNOTATE_PATIENT, NX_ANNOTATE_TECHNIQUE};
	const uint32_t side = raster->rows < raster->columns ? raster->rows : raster->columns;
	const unsigned scale = 1 + side / TEXT_PER;
	NX_AUTO_DONE(nx_buf) text;
	struct nx_canvas canvas;
	uint32_t columns, height;
	nx_rc rc = NX_OK;

	nx_buf_init(&text, NX_ARRAY_LEN(rows) * 2 * VALUE_MAX, NX_BUF_WIPE);
	nx_canvas_init(&canvas, raster);
	for (size_t i = 0; i < NX_ARRAY_LEN(all) && !rc; i++) {
		if (!(what & all[i]))
			continue;
		nx_buf_clear(&text);
		rc = lines_make(source, image, all[i], frame, &text, err);
		if (rc)
			break;
		nx_text_measure(nx_buf_cstr(&text), scale, &columns, &height);
		rc = nx_draw_text(&canvas, MARGIN,
			all[i] == NX_ANNOTATE_PATIENT ? MARGIN
						      : (int64_t)raster->rows - height - MARGIN,
			scale, nx_buf_cstr(&text), err);
	}
	return rc;
}
