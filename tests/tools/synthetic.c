#include "synthetic.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "dicom/dicom.h"

enum {
	VALUE_MAX = 64,
	FIRST_YEAR = 2016,
	YEARS = 10,
};

const char *const synthetic_sop_classes[SYNTHETIC_MODALITIES] = {
	NX_UID_CT_IMAGE_STORAGE,
	NX_UID_MR_IMAGE_STORAGE,
	NX_UID_COMPUTED_RADIOGRAPHY_IMAGE_STORAGE,
	NX_UID_ULTRASOUND_IMAGE_STORAGE,
};

/* What a number was drawn for: the same patient has another for its sex than for its birth. */
enum draw {
	DRAW_PATIENT,
	DRAW_STUDIES,
	DRAW_STUDY_UID,
	DRAW_STUDY,
	DRAW_SERIES,
	DRAW_SERIES_UID,
	DRAW_INSTANCES,
	DRAW_SOP_UID,
	DRAW_PIXELS
};

/* splitmix64's last steps: neighbours have nothing in common. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static uint64_t draw(const struct synthetic *s, enum draw what, unsigned more)
{
	uint64_t place = (uint64_t)s->study << 40 | (uint64_t)s->series << 24 | s->instance;

	if (what <= DRAW_STUDIES)
		place = 0;
	else if (what <= DRAW_SERIES)
		place = (uint64_t)s->study << 40;
	else if (what <= DRAW_INSTANCES)
		place = (uint64_t)s->study << 40 | (uint64_t)s->series << 24;
	return mix(s->seed ^ mix(s->patient ^ mix(place ^ mix((uint64_t)what << 8 | more))));
}

static void uid_make(const struct synthetic *s, enum draw what, char ret[SYNTHETIC_UID + 1])
{
	const uint64_t half = 10000000000000000000ull; /* 19 digits */
	uint64_t high = draw(s, what, 0);

	(void)snprintf(ret, SYNTHETIC_UID + 1, "2.25.%u%019llu%019llu", 1 + (unsigned)(high & 1),
		(unsigned long long)(high % half), (unsigned long long)(draw(s, what, 1) % half));
}

/* 1 to 3 studies of a patient, 1 to 5 series of a study, 4 to 60 instances of a series. */
static unsigned studies_of(const struct synthetic *s)
{
	return 1 + (unsigned)(draw(s, DRAW_STUDIES, 0) % 3);
}

static unsigned series_of(const struct synthetic *s)
{
	return 1 + (unsigned)(draw(s, DRAW_SERIES, 0) % 5);
}

static unsigned instances_of(const struct synthetic *s)
{
	return 4 + (unsigned)(draw(s, DRAW_INSTANCES, 0) % 57);
}

/* ---- the text of a series ---- */

struct values {
	char name[VALUE_MAX], id[VALUE_MAX], birth[VALUE_MAX], date[VALUE_MAX], time[VALUE_MAX];
	char accession[VALUE_MAX], study_id[VALUE_MAX], series_number[VALUE_MAX], part[VALUE_MAX];
	char study_uid[SYNTHETIC_UID + 1], series_uid[SYNTHETIC_UID + 1];
	const char *sex, *modality;
};

/* Three syllables make 32,768 family names: a beginning of four letters finds few. */
static void name_make(const struct synthetic *s, char ret[VALUE_MAX])
{
	static const char syllables[32][3] = {"BA", "BE", "BI", "BO", "DA", "DE", "DI", "DO", "FA",
		"FE", "FI", "FO", "GA", "GE", "GI", "GO", "KA", "KE", "KI", "KO", "LA", "LE", "LI",
		"LO", "MA", "ME", "MI", "MO", "NA", "NE", "NI", "NO"};
	uint64_t d = draw(s, DRAW_PATIENT, 0);

	(void)snprintf(ret, VALUE_MAX, "%s%s%s^TEST%s%s", syllables[d & 31], syllables[d >> 5 & 31],
		syllables[d >> 10 & 31], syllables[d >> 15 & 31], syllables[d >> 20 & 31]);
}

static void date_make(uint64_t d, unsigned first_year, unsigned years, char ret[VALUE_MAX])
{
	(void)snprintf(ret, VALUE_MAX, "%04u%02u%02u", first_year + (unsigned)(d % years),
		1 + (unsigned)(d >> 16) % 12, 1 + (unsigned)(d >> 32) % 28);
}

static void values_make(struct synthetic *s, struct values *v)
{
	static const char *const modalities[SYNTHETIC_MODALITIES] = {"CT", "MR", "CR", "US"};
	static const char *const parts[] = {"CHEST", "ABDOMEN", "HEAD", "PELVIS"};
	uint64_t patient = draw(s, DRAW_PATIENT, 1);
	uint64_t study = draw(s, DRAW_STUDY, 0);
	unsigned modality = (unsigned)(study >> 60) % SYNTHETIC_MODALITIES;

	name_make(s, v->name);
	(void)snprintf(v->id, VALUE_MAX, "SYN-%llX-%08llu", (unsigned long long)s->seed,
		(unsigned long long)s->patient);
	date_make(patient, 1935, 80, v->birth);
	date_make(study, FIRST_YEAR, YEARS, v->date);
	(void)snprintf(v->time, VALUE_MAX, "%02u%02u00", 7 + (unsigned)(study >> 40) % 12,
		(unsigned)(study >> 48) % 60);
	(void)snprintf(v->accession, VALUE_MAX, "A%014llu",
		(unsigned long long)(draw(s, DRAW_STUDY, 1) % 100000000000000ull));
	(void)snprintf(v->study_id, VALUE_MAX, "%u", s->study + 1);
	(void)snprintf(v->series_number, VALUE_MAX, "%u", s->series + 1);
	(void)snprintf(v->part, VALUE_MAX, "%s", parts[study >> 56 & 3]);
	uid_make(s, DRAW_STUDY_UID, v->study_uid);
	uid_make(s, DRAW_SERIES_UID, v->series_uid);
	v->sex = patient >> 50 & 1 ? "F" : "M";
	v->modality = modalities[modality];
	s->sop_class = synthetic_sop_classes[modality];
}

/* ---- its data set, as a pattern ---- */

/* Of the final widths, and found nowhere else in it. */
static const char uid_mark[SYNTHETIC_UID + 1] = "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!";
static const char number_mark[] = "%%%%%%";

#define TEXT(group, element, vr0, vr1, text)                                                      \
	{                                                                                         \
		.tag = NX_TAG(group, element), .vr = NX_VR(vr0, vr1), .value = nx_slice_str(text) \
	}
#define SHORT(element, number)                                         \
	{                                                              \
		.tag = NX_TAG(0x0028, element), .vr = NX_VR('U', 'S'), \
		.value = nx_slice(number, 2)                           \
	}

static nx_rc pattern_write(
	struct synthetic *s, const struct values *v, struct nx_slice pixels, struct nx_err *err)
{
	static const uint8_t one[] = {1, 0}, columns[] = {32, 0}, zero[] = {0, 0};
	static const uint8_t allocated[] = {16, 0}, stored[] = {12, 0}, high[] = {11, 0};
	const uint8_t rows[] = {(uint8_t)(pixels.n / 64), (uint8_t)(pixels.n / 64 >> 8)};
	struct nx_elem elems[] = {
		TEXT(0x0008, 0x0005, 'C', 'S', "ISO_IR 100"),
		TEXT(0x0008, 0x0008, 'C', 'S', "ORIGINAL\\PRIMARY"),
		TEXT(0x0008, 0x0016, 'U', 'I', s->sop_class),
		TEXT(0x0008, 0x0018, 'U', 'I', uid_mark),
		TEXT(0x0008, 0x0020, 'D', 'A', v->date),
		TEXT(0x0008, 0x0021, 'D', 'A', v->date),
		TEXT(0x0008, 0x0023, 'D', 'A', v->date),
		TEXT(0x0008, 0x0030, 'T', 'M', v->time),
		TEXT(0x0008, 0x0031, 'T', 'M', v->time),
		TEXT(0x0008, 0x0050, 'S', 'H', v->accession),
		TEXT(0x0008, 0x0060, 'C', 'S', v->modality),
		TEXT(0x0008, 0x0070, 'L', 'O', "PHANTOM WORKS"),
		TEXT(0x0008, 0x0080, 'L', 'O', "TEST HOSPITAL"),
		TEXT(0x0008, 0x0090, 'P', 'N', "TEST^REFERRER"),
		TEXT(0x0008, 0x1010, 'S', 'H', "STATION-1"),
		TEXT(0x0008, 0x1030, 'L', 'O', v->part),
		TEXT(0x0008, 0x103e, 'L', 'O', v->part),
		TEXT(0x0010, 0x0010, 'P', 'N', v->name),
		TEXT(0x0010, 0x0020, 'L', 'O', v->id),
		TEXT(0x0010, 0x0030, 'D', 'A', v->birth),
		TEXT(0x0010, 0x0040, 'C', 'S', v->sex),
		TEXT(0x0018, 0x0015, 'C', 'S', v->part),
		TEXT(0x0018, 0x0050, 'D', 'S', "2.5"),
		TEXT(0x0018, 0x1030, 'L', 'O', "PHANTOM ROUTINE"),
		TEXT(0x0020, 0x000d, 'U', 'I', v->study_uid),
		TEXT(0x0020, 0x000e, 'U', 'I', v->series_uid),
		TEXT(0x0020, 0x0010, 'S', 'H', v->study_id),
		TEXT(0x0020, 0x0011, 'I', 'S', v->series_number),
		TEXT(0x0020, 0x0013, 'I', 'S', number_mark),
		TEXT(0x0020, 0x0037, 'D', 'S', "1\\0\\0\\0\\1\\0"),
		SHORT(0x0002, one),
		TEXT(0x0028, 0x0004, 'C', 'S', "MONOCHROME2"),
		SHORT(0x0010, rows),
		SHORT(0x0011, columns),
		SHORT(0x0100, allocated),
		SHORT(0x0101, stored),
		SHORT(0x0102, high),
		SHORT(0x0103, zero),
		{.tag = NX_TAG(0x7fe0, 0x0010), .vr = NX_VR('O', 'W'), .value = pixels},
	};
	const struct nx_dataset ds = {.elems = elems, .n = NX_ARRAY_LEN(elems)};

	nx_buf_clear(&s->dataset);
	return nx_dataset_write(&ds, NULL, &s->dataset, NULL, NULL, err);
}

static size_t mark_find(const struct synthetic *s, const char *mark)
{
	const uint8_t *at = memmem(s->dataset.data, s->dataset.len, mark, strlen(mark));

	return (size_t)(at - s->dataset.data);
}

static nx_rc series_begin(struct synthetic *s, struct nx_err *err)
{
	NX_AUTO_MEM uint8_t *pixels = calloc(1, s->pixel_len);
	struct values v;
	nx_rc rc;

	if (!pixels)
		return nx_err_set(err, NX_E_NOMEM, "no memory for pixels");
	for (size_t i = 0; i < s->pixel_len; i++)
		pixels[i] = i & 1 ? 0 : (uint8_t)draw(s, DRAW_PIXELS, (unsigned)i);
	values_make(s, &v);
	rc = pattern_write(s, &v, nx_slice(pixels, s->pixel_len), err);
	if (rc)
		return rc;
	s->uid_at = mark_find(s, uid_mark);
	s->number_at = mark_find(s, number_mark);
	s->pixels_at = s->dataset.len - s->pixel_len;
	return NX_OK;
}

/* ---- one after the other ---- */

nx_rc synthetic_init(struct synthetic *s, uint64_t seed, size_t pixel_len, uint64_t first,
	uint64_t step, struct nx_err *err)
{
	*s = (struct synthetic){
		.seed = seed, .pixel_len = pixel_len, .patient = first, .step = step};
	nx_buf_init(&s->dataset, pixel_len + 64 * NX_KIB, 0);
	if (pixel_len < 64 || pixel_len % 64)
		return nx_err_set(err, NX_E_INVAL, "pixels come in rows of 64 bytes");
	return NX_OK;
}

void synthetic_done(struct synthetic *s)
{
	nx_buf_done(&s->dataset);
}

static void step(struct synthetic *s)
{
	if (++s->instance < instances_of(s))
		return;
	s->instance = 0;
	if (++s->series < series_of(s))
		return;
	s->series = 0;
	if (++s->study < studies_of(s))
		return;
	s->study = 0;
	s->patient += s->step;
}

nx_rc synthetic_next(struct synthetic *s, struct nx_err *err)
{
	char number[sizeof(number_mark)];
	uint64_t own;
	nx_rc rc;

	if (s->dataset.len)
		step(s);
	if (s->instance == 0) {
		rc = series_begin(s, err);
		if (rc)
			return rc;
	}
	uid_make(s, DRAW_SOP_UID, s->sop_instance);
	memcpy(s->dataset.data + s->uid_at, s->sop_instance, SYNTHETIC_UID);
	(void)snprintf(number, sizeof(number), "%-6u", s->instance + 1);
	memcpy(s->dataset.data + s->number_at, number, sizeof(number) - 1);
	own = draw(s, DRAW_PIXELS, 0) & 0x00ff00ff00ff00ffull;
	memcpy(s->dataset.data + s->pixels_at, &own, sizeof(own));
	return NX_OK;
}
