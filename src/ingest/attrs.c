#include <stdlib.h>

#include "ingest/ingest_priv.h"

enum {
	ATTR_MAX = 1024
}; /* bytes kept of a value that goes into a row */

static const nx_tag tags[A_COUNT] = {
	[A_META_CLASS] = NX_TAG_MEDIA_STORAGE_SOP_CLASS_UID,
	[A_META_INSTANCE] = NX_TAG_MEDIA_STORAGE_SOP_INSTANCE_UID,
	[A_CHARSET] = NX_TAG_SPECIFIC_CHARACTER_SET,
	[A_SOP_CLASS] = NX_TAG_SOP_CLASS_UID,
	[A_SOP_INSTANCE] = NX_TAG_SOP_INSTANCE_UID,
	[A_STUDY_DATE] = NX_TAG_STUDY_DATE,
	[A_SERIES_DATE] = NX_TAG_SERIES_DATE,
	[A_STUDY_TIME] = NX_TAG_STUDY_TIME,
	[A_SERIES_TIME] = NX_TAG_SERIES_TIME,
	[A_ACCESSION] = NX_TAG_ACCESSION_NUMBER,
	[A_MODALITY] = NX_TAG_MODALITY,
	[A_REFERRING] = NX_TAG_REFERRING_PHYSICIAN_NAME,
	[A_STATION] = NX_TAG_STATION_NAME,
	[A_STUDY_DESCRIPTION] = NX_TAG_STUDY_DESCRIPTION,
	[A_SERIES_DESCRIPTION] = NX_TAG_SERIES_DESCRIPTION,
	[A_PATIENT_NAME] = NX_TAG_PATIENT_NAME,
	[A_PATIENT_ID] = NX_TAG_PATIENT_ID,
	[A_ISSUER] = NX_TAG_ISSUER_OF_PATIENT_ID,
	[A_BIRTH_DATE] = NX_TAG_PATIENT_BIRTH_DATE,
	[A_SEX] = NX_TAG_PATIENT_SEX,
	[A_BODY_PART] = NX_TAG_BODY_PART_EXAMINED,
	[A_STUDY] = NX_TAG_STUDY_INSTANCE_UID,
	[A_SERIES] = NX_TAG_SERIES_INSTANCE_UID,
	[A_STUDY_ID] = NX_TAG_STUDY_ID,
	[A_SERIES_NUMBER] = NX_TAG_SERIES_NUMBER,
	[A_INSTANCE_NUMBER] = NX_TAG_INSTANCE_NUMBER,
	[A_FRAMES] = NX_TAG_NUMBER_OF_FRAMES,
	[A_ROWS] = NX_TAG_ROWS,
	[A_COLUMNS] = NX_TAG_COLUMNS,
	[A_PPS_DATE] = NX_TAG_PERFORMED_PROCEDURE_STEP_START_DATE,
	[A_PPS_TIME] = NX_TAG_PERFORMED_PROCEDURE_STEP_START_TIME,
};

nx_rc attrs_take(struct attrs *attrs, const struct nx_dicom_elem *e, struct nx_slice value,
	struct nx_arena *arena, struct nx_err *err)
{
	size_t lo = 0, hi = A_COUNT;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (tags[mid] < e->tag)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == A_COUNT || tags[lo] != e->tag)
		return NX_OK;
	value.n = value.n > ATTR_MAX ? ATTR_MAX : value.n;
	attrs->raw[lo].p = nx_arena_copy(arena, value.p, value.n);
	attrs->raw[lo].n = value.n;
	attrs->vr[lo] = e->vr;
	return attrs->raw[lo].p ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for an attribute");
}

/* Padding is a trailing space, or NUL for UIDs (PS3.5 6.2); leading spaces mean nothing here
 * either. */
static struct nx_slice trim(struct nx_slice s)
{
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == 0))
		s.n--;
	while (s.n && s.p[0] == ' ') {
		s.p++;
		s.n--;
	}
	return s;
}

const char *attrs_text(const struct attrs *attrs, enum attr a, struct nx_arena *arena)
{
	struct nx_slice value = trim(attrs->raw[a]);
	NX_AUTO_DONE(nx_buf) utf8 = {0};
	struct nx_err err;

	if (!value.n)
		return "";
	nx_buf_init(&utf8, (size_t)ATTR_MAX * 4, NX_BUF_WIPE);
	if (nx_charset_decode(attrs->raw[A_CHARSET], attrs->vr[a], value, &utf8, &err))
		return NULL;
	value = trim(nx_buf_slice(&utf8));
	return nx_arena_str(arena, (const char *)value.p, value.n);
}

int64_t attrs_int(const struct attrs *attrs, enum attr a, bool big_endian)
{
	struct nx_slice value = attrs->raw[a];
	char text[32];
	size_t n;

	if (attrs->vr[a] == NX_VR('U', 'S'))
		return value.n < 2   ? 0
			: big_endian ? value.p[0] << 8 | value.p[1]
				     : value.p[1] << 8 | value.p[0];
	value = trim(value);
	n = value.n < sizeof(text) - 1 ? value.n : sizeof(text) - 1;
	if (n)
		memcpy(text, value.p, n);
	text[n] = 0;
	return strtoll(text, NULL, 10);
}
