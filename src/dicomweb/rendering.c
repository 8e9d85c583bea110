/* What a rendered image is asked to be (PS3.18 8.3.5.1). */
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "base/arena.h"
#include "dicomweb/dicomweb_priv.h"

enum {
	FIELD_MAX = 32,
	FIELDS_MAX = 6,
	QUALITY_MAX = 100,
	SIDE_MAX = 16384 /* of an image by WADO-URI */
};

/* ---- lists with commas ---- */

struct fields {
	char text[FIELDS_MAX][FIELD_MAX];
	size_t n;
};

static bool fields_split(const char *text, struct fields *ret)
{
	ret->n = 0;
	for (;;) {
		const size_t n = strcspn(text, ",");

		if (ret->n == FIELDS_MAX || n >= FIELD_MAX)
			return false;
		memcpy(ret->text[ret->n], text, n);
		ret->text[ret->n++][n] = 0;
		if (!text[n])
			return true;
		text += n + 1;
	}
}

static bool decimal(const char *text, double *ret)
{
	char *end;
	double v;

	if (strspn(text, "+-.0123456789eE") != strlen(text))
		return false;
	v = strtod(text, &end);
	if (end == text || *end || !isfinite(v))
		return false;
	*ret = v;
	return true;
}

static bool positive(const char *text, uint32_t *ret)
{
	double v;

	if (strspn(text, "0123456789") != strlen(text) || !decimal(text, &v) || v < 1 ||
		v > NX_LIMIT_VIEWPORT)
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* ---- parameters ---- */

nx_rc dw_window_parse(const char *text, struct nx_rendering *ret, struct nx_err *err)
{
	static const struct {
		const char *name;
		enum nx_voi voi;
		double least; /* width */
	} functions[] = {{"linear", NX_VOI_LINEAR, 1}, {"linear-exact", NX_VOI_LINEAR_EXACT, 0},
		{"sigmoid", NX_VOI_SIGMOID, 0}};
	double center, width;
	struct fields f;

	if (!fields_split(text, &f) || f.n != 3 || !decimal(f.text[0], &center) ||
		!decimal(f.text[1], &width))
		return nx_err_set(err, NX_E_INVAL, "window is not center,width,function");
	for (size_t i = 0; i < NX_ARRAY_LEN(functions); i++) {
		if (strcasecmp(f.text[2], functions[i].name) != 0)
			continue;
		if (width < functions[i].least || width <= 0)
			return nx_err_set(err, NX_E_INVAL, "window without a width");
		ret->has_window = true;
		ret->center = center;
		ret->width = width;
		ret->voi = functions[i].voi;
		return NX_OK;
	}
	return nx_err_set(
		err, NX_E_INVAL, "function of window is not linear, linear-exact or sigmoid");
}

nx_rc dw_viewport_parse(const char *text, struct nx_viewport *ret, struct nx_err *err)
{
	struct nx_viewport v = {.columns = 0};
	double *const parts[] = {&v.left, &v.top, &v.width, &v.height};
	struct fields f;

	if (!fields_split(text, &f) || f.n < 2 || !positive(f.text[0], &v.columns) ||
		!positive(f.text[1], &v.rows))
		return nx_err_set(err, NX_E_INVAL, "viewport is not columns,rows");
	if ((uint64_t)v.columns * v.rows > NX_LIMIT_VIEWPORT)
		return nx_err_set(
			err, NX_E_INVAL, "viewport of more than %zu pixels", NX_LIMIT_VIEWPORT);
	for (size_t i = 2; i < f.n; i++)
		if (f.text[i][0] && !decimal(f.text[i], parts[i - 2]))
			return nx_err_set(err, NX_E_INVAL, "region of viewport is not of numbers");
	v.has_region = f.n > 2;
	v.mirrored = v.width < 0;
	v.upturned = v.height < 0;
	for (size_t i = 0; i < NX_ARRAY_LEN(parts); i++)
		*parts[i] = fabs(*parts[i]);
	*ret = v;
	return NX_OK;
}

static nx_rc quality_parse(const char *text, struct nx_rendering *ret, struct nx_err *err)
{
	uint32_t quality;

	if (!positive(text, &quality) || quality > QUALITY_MAX)
		return nx_err_set(err, NX_E_INVAL, "quality is not 1 to 100");
	ret->quality = quality;
	return NX_OK;
}

static nx_rc icc_parse(const char *text, struct nx_rendering *ret, struct nx_err *err)
{
	static const struct {
		const char *word;
		enum nx_render_icc icc;
	} words[] = {{"no", NX_ICC_NONE}, {"yes", NX_ICC_OWN}, {"srgb", NX_ICC_SRGB},
		{"adobergb", NX_ICC_ADOBE_RGB}, {"rommrgb", NX_ICC_ROMM_RGB}};

	for (size_t i = 0; i < NX_ARRAY_LEN(words); i++)
		if (strcasecmp(text, words[i].word) == 0) {
			ret->icc = words[i].icc;
			return NX_OK;
		}
	return nx_err_set(err, NX_E_INVAL, "iccprofile is not no, yes, srgb, adobergb or rommrgb");
}

bool dw_annotation_parse(const char *text, struct nx_rendering *ret)
{
	static const struct {
		const char *word;
		unsigned annotation;
	} words[] = {{"patient", NX_ANNOTATE_PATIENT}, {"technique", NX_ANNOTATE_TECHNIQUE}};
	struct fields f = {.n = 0};
	bool all = fields_split(text, &f);

	for (size_t k = 0; k < f.n; k++) {
		size_t i = 0;

		while (i < NX_ARRAY_LEN(words) && strcmp(f.text[k], words[i].word) != 0)
			i++;
		if (i < NX_ARRAY_LEN(words))
			ret->annotations |= words[i].annotation;
		else
			all = false;
	}
	return all;
}

/* 8.3.5.1.1: values that are not supported are told of; what they are the client knows. */
static void annotation_read(const struct dw_call *call, const char *text, struct nx_rendering *ret)
{
	if (!dw_annotation_parse(text, ret))
		dw_warn(call, "The following annotation values are not supported: ",
			"others than patient and technique");
}

nx_rc dw_rendering_read(const struct dw_call *call, struct nx_rendering *ret, struct nx_err *err)
{
	const char *window = nx_http_query(call->req, "window");
	const char *viewport = nx_http_query(call->req, "viewport");
	const char *quality = nx_http_query(call->req, "quality");
	const char *icc = nx_http_query(call->req, "iccprofile");
	const char *annotation = nx_http_query(call->req, "annotation");
	nx_rc rc = NX_OK;

	if (window)
		rc = dw_window_parse(window, ret, err);
	if (!rc && viewport)
		rc = dw_viewport_parse(viewport, &ret->viewport, err);
	if (!rc && quality)
		rc = quality_parse(quality, ret, err);
	if (!rc && icc)
		rc = icc_parse(icc, ret, err);
	if (!rc && annotation)
		annotation_read(call, annotation, ret);
	return rc;
}

/* ---- WADO-URI ---- */

static nx_rc side_read(
	const struct dw_call *call, const char *name, uint32_t *ret, struct nx_err *err)
{
	const char *text = nx_http_query(call->req, name);

	if (text && (!positive(text, ret) || *ret > SIDE_MAX))
		return nx_err_set(err, NX_E_INVAL, "%s is no number of pixels", name);
	return NX_OK;
}

/* One side alone decides: the other gets as long as it may. */
static nx_rc sides_read(const struct dw_call *call, struct nx_viewport *ret, struct nx_err *err)
{
	nx_rc rc = side_read(call, "columns", &ret->columns, err);

	if (!rc)
		rc = side_read(call, "rows", &ret->rows, err);
	if (ret->columns && !ret->rows)
		ret->rows = UINT16_MAX;
	if (ret->rows && !ret->columns)
		ret->columns = UINT16_MAX;
	return rc;
}

/* "left,top,right,bottom" of 0 to 1. */
static nx_rc region_parse(const char *text, uint32_t columns, uint32_t rows,
	struct nx_viewport *ret, struct nx_err *err)
{
	double v[4] = {0};
	struct fields f;
	bool good = fields_split(text, &f) && f.n == NX_ARRAY_LEN(v);

	for (size_t i = 0; good && i < NX_ARRAY_LEN(v); i++)
		good = decimal(f.text[i], &v[i]) && v[i] >= 0 && v[i] <= 1;
	if (!good || v[0] >= v[2] || v[1] >= v[3])
		return nx_err_set(err, NX_E_INVAL, "region is not left,top,right,bottom of 0 to 1");
	ret->has_region = true;
	ret->left = v[0] * columns;
	ret->top = v[1] * rows;
	ret->width = (v[2] - v[0]) * columns;
	ret->height = (v[3] - v[1]) * rows;
	return NX_OK;
}

static nx_rc window_pair(const struct dw_call *call, struct nx_rendering *ret, struct nx_err *err)
{
	const char *center = nx_http_query(call->req, "windowCenter");
	const char *width = nx_http_query(call->req, "windowWidth");

	if (!center && !width)
		return NX_OK;
	if (!center || !width || !decimal(center, &ret->center) || !decimal(width, &ret->width) ||
		ret->width < 1)
		return nx_err_set(err, NX_E_INVAL, "windowCenter and windowWidth are no window");
	ret->has_window = true;
	ret->voi = NX_VOI_LINEAR;
	return NX_OK;
}

nx_rc dw_rendering_read_uri(const struct dw_call *call, uint32_t columns, uint32_t rows,
	struct nx_rendering *ret, struct nx_err *err)
{
	const char *region = nx_http_query(call->req, "region");
	const char *quality = nx_http_query(call->req, "imageQuality");
	const char *annotation = nx_http_query(call->req, "annotation");
	nx_rc rc = window_pair(call, ret, err);

	if (!annotation) /* Table 9.5.1-1 */
		annotation = nx_http_query(call->req, "imageAnnotation");
	if (!rc)
		rc = sides_read(call, &ret->viewport, err);
	if (!rc && region)
		rc = region_parse(region, columns, rows, &ret->viewport, err);
	if (!rc && quality)
		rc = quality_parse(quality, ret, err);
	if (!rc && annotation)
		annotation_read(call, annotation, ret);
	return rc;
}
