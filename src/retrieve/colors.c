#include "base/buf.h"
#include "pixel/icc.h"
#include "pixelbox/pixelbox.h"
#include "retrieve/finish_priv.h"

/* The space that is wanted; false: the image's own. */
static bool space_wanted(enum nx_render_icc want, enum nx_color_space *ret)
{
	switch (want) {
	case NX_ICC_NONE:
	case NX_ICC_OWN:
		return false;
	case NX_ICC_SRGB:
		*ret = NX_COLOR_SRGB;
		return true;
	case NX_ICC_ADOBE_RGB:
		*ret = NX_COLOR_ADOBE_RGB;
		return true;
	case NX_ICC_ROMM_RGB:
		*ret = NX_COLOR_ROMM_RGB;
		return true;
	}
	return false;
}

static nx_rc convert(struct nx_pixelbox *box, const struct image *image, struct nx_raster *raster,
	struct nx_slice to, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) own;
	struct nx_slice from = image->icc;
	nx_rc rc = NX_OK;

	nx_buf_init(&own, NX_LIMIT_ICC, 0);
	if (!from.n)
		rc = nx_icc_profile(image->space, &own, err);
	if (!rc)
		rc = nx_pixelbox_convert(box, raster, from.n ? from : nx_buf_slice(&own), to, err);
	return rc == NX_E_MALFORMED
		? nx_err_prefix(err, NX_E_NOT_ACCEPTABLE, "the image's colors cannot be converted")
		: rc;
}

nx_rc colors_finish(struct nx_pixelbox *box, const struct image *image, enum nx_render_icc want,
	struct nx_raster *raster, struct nx_buf *profile, struct nx_slice *ret_profile,
	struct nx_err *err)
{
	enum nx_color_space space = image->space;
	const bool converted = space_wanted(want, &space);
	nx_rc rc;

	*ret_profile = nx_slice(NULL, 0);
	if (raster->samples != 3 || want == NX_ICC_NONE)
		return NX_OK;
	if (!converted && image->icc.n) {
		*ret_profile = image->icc;
		return NX_OK;
	}
	nx_buf_clear(profile);
	rc = nx_icc_profile(space, profile, err);
	if (!rc && (image->icc.n || space != image->space))
		rc = convert(box, image, raster, nx_buf_slice(profile), err);
	*ret_profile = nx_buf_slice(profile);
	return rc;
}
