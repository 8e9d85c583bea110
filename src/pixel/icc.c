#include "pixel/icc.h"

#include <lcms2.h>

#include "base/buf.h"
#include "base/limits.h"

enum {
	PROFILE_DATE = 24, /* in its header (ICC.1 7.2) */
	PROFILE_DATE_LEN = 12,
	PROFILE_HEAD = 128,
	AT_ONCE = 1 << 20 /* pixels: a number that Little CMS counts with */
};

/* ---- well-known ones ---- */

/* ROMM RGB (ISO 22028-2): a power, straight at its dark end. */
static cmsToneCurve *romm_curve(void)
{
	const cmsFloat64Number parameters[] = {1.8, 1, 0, 1.0 / 16, 16.0 / 512};

	return cmsBuildParametricToneCurve(NULL, 4, parameters);
}

static cmsToneCurve *adobe_curve(void)
{
	return cmsBuildGamma(NULL, 563.0 / 256);
}

static const struct {
	cmsCIExyY white;
	cmsCIExyYTRIPLE primaries;
	cmsToneCurve *(*curve)(void);
} spaces[] = {
	[NX_COLOR_ADOBE_RGB] = {{0.3127, 0.3290, 1},
		{{0.64, 0.33, 1}, {0.21, 0.71, 1}, {0.15, 0.06, 1}}, adobe_curve},
	[NX_COLOR_ROMM_RGB] = {{0.3457, 0.3585, 1},
		{{0.7347, 0.2653, 1}, {0.1596, 0.8404, 1}, {0.0366, 0.0001, 1}}, romm_curve},
};

static cmsHPROFILE space_open(enum nx_color_space space)
{
	cmsHPROFILE profile = NULL;
	cmsToneCurve *curve;

	if (space == NX_COLOR_SRGB)
		return cmsCreate_sRGBProfile();
	curve = spaces[space].curve();
	if (curve) {
		cmsToneCurve *const curves[] = {curve, curve, curve};

		profile =
			cmsCreateRGBProfile(&spaces[space].white, &spaces[space].primaries, curves);
		cmsFreeToneCurve(curve);
	}
	return profile;
}

nx_rc nx_icc_profile(enum nx_color_space space, struct nx_buf *out, struct nx_err *err)
{
	static const uint8_t date[PROFILE_DATE_LEN] = {0x07, 0xe8, 0, 1, 0, 1};
	cmsHPROFILE profile = space_open(space);
	cmsUInt32Number n = 0;
	uint8_t *to = NULL;
	bool made = false;

	if (profile && cmsSaveProfileToMem(profile, NULL, &n) && n > PROFILE_HEAD)
		to = nx_buf_reserve(out, n);
	if (to)
		made = cmsSaveProfileToMem(profile, to, &n);
	if (profile)
		(void)cmsCloseProfile(profile);
	if (!made)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a color profile");
	memcpy(to + PROFILE_DATE, date, sizeof(date)); /* when it is made is no part of it */
	out->len += n;
	return NX_OK;
}

/* ---- conversion ---- */

static cmsHPROFILE profile_open(struct nx_slice bytes)
{
	cmsHPROFILE profile = bytes.n > PROFILE_HEAD && bytes.n <= NX_LIMIT_ICC
		? cmsOpenProfileFromMem(bytes.p, (cmsUInt32Number)bytes.n)
		: NULL;

	if (!profile || cmsGetColorSpace(profile) == cmsSigRgbData)
		return profile;
	(void)cmsCloseProfile(profile);
	return NULL;
}

nx_rc nx_icc_convert(struct nx_slice from, struct nx_slice to, const uint8_t *pixels, size_t n,
	uint8_t *ret_pixels, struct nx_err *err)
{
	cmsHPROFILE a = profile_open(from), b = profile_open(to);
	cmsHTRANSFORM transform = a && b
		? cmsCreateTransform(a, TYPE_RGB_8, b, TYPE_RGB_8, INTENT_PERCEPTUAL, 0)
		: NULL;

	if (a)
		(void)cmsCloseProfile(a);
	if (b)
		(void)cmsCloseProfile(b);
	if (!transform)
		return nx_err_set(err, NX_E_MALFORMED, "color profile that is none of RGB");
	for (size_t at = 0; at < n; at += AT_ONCE)
		cmsDoTransform(transform, pixels + 3 * at, ret_pixels + 3 * at,
			(cmsUInt32Number)(n - at < AT_ONCE ? n - at : AT_ONCE));
	cmsDeleteTransform(transform);
	return NX_OK;
}
