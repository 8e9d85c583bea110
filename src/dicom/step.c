#include "dicom/step.h"

#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "dicom/dicom_priv.h"

#define TAG_STUDY        NX_TAG(0x0020, 0x000d)
#define TAG_SERIES       NX_TAG(0x0020, 0x000e)
#define TAG_CLASS        NX_TAG(0x0008, 0x1150)
#define TAG_INSTANCE     NX_TAG(0x0008, 0x1155)
#define TAG_IMAGES       NX_TAG(0x0008, 0x1140)
#define TAG_NON_IMAGES   NX_TAG(0x0040, 0x0220)
#define TAG_SCHEDULED_ID NX_TAG(0x0040, 0x0009)
#define TAG_STATUS       NX_TAG(0x0040, 0x0252)
#define TAG_SCHEDULED    NX_TAG(0x0040, 0x0270)
#define TAG_PERFORMED    NX_TAG(0x0040, 0x0340)

/* What a request needs of an attribute.  The numbers are the types of PS3.5 7.4. */
enum need {
	NEED_VALUE = 1,
	NEED_ATTRIBUTE = 2,
	NEED_NOTHING = 3,
	NEED_SAME = 4 /* of a change: it may not be given, unless as it is */
};

struct rule {
	nx_tag tag;
	uint8_t create;
	uint8_t set;
	uint8_t final; /* of the step that is COMPLETED or DISCONTINUED by the request */
};

/* PS3.4 Table F.7.2-1.  What is not in it may be given with anything. */
static const struct rule rules[] = {
	{NX_TAG(0x0008, 0x0060), 1, 4, 1}, /* Modality */
	{NX_TAG(0x0008, 0x1032), 2, 3, 2}, /* Procedure Code Sequence */
	{NX_TAG(0x0008, 0x1120), 2, 4, 2}, /* Referenced Patient Sequence */
	{NX_TAG(0x0010, 0x0010), 2, 4, 2}, /* Patient's Name */
	{NX_TAG(0x0010, 0x0020), 2, 4, 2}, /* Patient ID */
	{NX_TAG(0x0010, 0x0021), 3, 4, 3}, /* Issuer of Patient ID */
	{NX_TAG(0x0010, 0x0024), 3, 4, 3}, /* Issuer of Patient ID Qualifiers Sequence */
	{NX_TAG(0x0010, 0x0030), 2, 4, 2}, /* Patient's Birth Date */
	{NX_TAG(0x0010, 0x0040), 2, 4, 2}, /* Patient's Sex */
	{NX_TAG(0x0010, 0x1002), 3, 4, 3}, /* Other Patient IDs Sequence */
	{NX_TAG(0x0020, 0x0010), 2, 4, 2}, /* Study ID */
	{NX_TAG(0x0038, 0x0010), 3, 4, 3}, /* Admission ID */
	{NX_TAG(0x0038, 0x0014), 3, 4, 3}, /* Issuer of Admission ID Sequence */
	{NX_TAG(0x0038, 0x0060), 3, 4, 3}, /* Service Episode ID */
	{NX_TAG(0x0038, 0x0062), 3, 4, 3}, /* Service Episode Description */
	{NX_TAG(0x0038, 0x0064), 3, 4, 3}, /* Issuer of Service Episode ID Sequence */
	{NX_TAG(0x0040, 0x0241), 1, 4, 1}, /* Performed Station AE Title */
	{NX_TAG(0x0040, 0x0242), 2, 4, 2}, /* Performed Station Name */
	{NX_TAG(0x0040, 0x0243), 2, 4, 2}, /* Performed Location */
	{NX_TAG(0x0040, 0x0244), 1, 4, 1}, /* Performed Procedure Step Start Date */
	{NX_TAG(0x0040, 0x0245), 1, 4, 1}, /* Performed Procedure Step Start Time */
	{NX_TAG(0x0040, 0x0250), 2, 3, 1}, /* Performed Procedure Step End Date */
	{NX_TAG(0x0040, 0x0251), 2, 3, 1}, /* Performed Procedure Step End Time */
	{TAG_STATUS, 1, 3, 1},
	{NX_TAG(0x0040, 0x0253), 1, 4, 1}, /* Performed Procedure Step ID */
	{NX_TAG(0x0040, 0x0254), 2, 3, 2}, /* Performed Procedure Step Description */
	{NX_TAG(0x0040, 0x0255), 2, 3, 2}, /* Performed Procedure Type Description */
	{NX_TAG(0x0040, 0x0260), 2, 3, 2}, /* Performed Protocol Code Sequence */
	{TAG_SCHEDULED, 1, 4, 1},
	{TAG_PERFORMED, 2, 3, 1},
};

/* Of items: what has type 1 there.  What has type 2 and is absent is read as empty. */
struct item_rule {
	nx_tag tag;
	bool is_uid;
};
static const struct item_rule of_scheduled[] = {{TAG_STUDY, true}, {0}};
static const struct item_rule of_series[] = {
	{TAG_SERIES, true}, {NX_TAG(0x0018, 0x1030), false} /* Protocol Name */, {0}};
static const struct item_rule of_reference[] = {{TAG_CLASS, true}, {TAG_INSTANCE, true}, {0}};

static const char *const words[] = {
	[NX_STEP_IN_PROGRESS] = "IN PROGRESS",
	[NX_STEP_COMPLETED] = "COMPLETED",
	[NX_STEP_DISCONTINUED] = "DISCONTINUED",
};

struct check {
	struct nx_arena *arena;
	struct nx_step_fault *fault;
	struct nx_err *err;
};

const char *nx_step_word(enum nx_step_state state)
{
	return words[state];
}

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a performed procedure step");
}

static nx_rc faulty(struct check *c, enum nx_step_why why, nx_tag tag)
{
	static const char *const texts[] = {
		[NX_STEP_MISSING] = "is missing",
		[NX_STEP_NO_VALUE] = "has no value",
		[NX_STEP_INVALID] = "has a value that cannot be",
		[NX_STEP_NOT_ALLOWED] = "may not be changed",
		[NX_STEP_FINAL] = "may no longer be updated",
	};

	*c->fault = (struct nx_step_fault){why, tag};
	if (!tag)
		return nx_err_set(c->err, NX_E_INVAL, "the step %s", texts[why]);
	return nx_err_set(
		c->err, NX_E_INVAL, "(%04X,%04X) %s", tag >> 16, tag & 0xffff, texts[why]);
}

/* ---- what must be there ---- */

static bool has_value(const struct nx_elem *elem)
{
	return elem->vr == NX_VR('S', 'Q') ? elem->n_items > 0 : elem->value.n > 0;
}

static nx_rc need_check(struct check *c, const struct nx_dataset *ds, nx_tag tag, unsigned need)
{
	const struct nx_elem *elem = nx_dataset_find(ds, tag);

	if (need > NEED_ATTRIBUTE)
		return NX_OK;
	if (!elem)
		return faulty(c, NX_STEP_MISSING, tag);
	/* What says that it is no sequence would have a value, and name nothing. */
	if (elem->value.n && nx_vr_implicit(tag) == NX_VR('S', 'Q'))
		return faulty(c, NX_STEP_INVALID, tag);
	return need == NEED_VALUE && !has_value(elem) ? faulty(c, NX_STEP_NO_VALUE, tag) : NX_OK;
}

static nx_rc items_check(
	struct check *c, const struct nx_elem *seq, const struct item_rule *of_items)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; seq && i < seq->n_items; i++) {
		for (const struct item_rule *r = of_items; r->tag && !rc; r++) {
			const char *text;

			rc = need_check(c, seq->items[i], r->tag, NEED_VALUE);
			if (rc || !r->is_uid)
				continue;
			text = nx_dataset_text(seq->items[i], r->tag, c->arena);
			if (!text)
				rc = no_memory(c->err);
			else if (!nx_uid_valid(text, strlen(text)))
				rc = faulty(c, NX_STEP_INVALID, r->tag);
		}
		if (rc)
			return rc;
	}
	return NX_OK;
}

static nx_rc series_check(struct check *c, const struct nx_dataset *ds)
{
	const struct nx_elem *series = nx_dataset_find(ds, TAG_PERFORMED);
	nx_rc rc = items_check(c, series, of_series);

	for (size_t i = 0; series && i < series->n_items && !rc; i++) {
		const struct nx_dataset *one = series->items[i];

		rc = items_check(c, nx_dataset_find(one, TAG_IMAGES), of_reference);
		if (!rc)
			rc = items_check(c, nx_dataset_find(one, TAG_NON_IMAGES), of_reference);
	}
	return rc;
}

static nx_rc state_get(struct check *c, const struct nx_dataset *ds, enum nx_step_state *ret)
{
	const char *text = nx_dataset_text(ds, TAG_STATUS, c->arena);

	if (!text)
		return no_memory(c->err);
	for (unsigned i = NX_STEP_IN_PROGRESS; i < NX_ARRAY_LEN(words); i++) {
		if (strcmp(words[i], text) != 0)
			continue;
		*ret = i;
		return NX_OK;
	}
	return faulty(c, NX_STEP_INVALID, TAG_STATUS);
}

/* PS3.4 Table F.7.2-1 wants a series of a discontinued step, too; one that was ended before the
 * first image has none in practice. */
static nx_rc final_check(struct check *c, const struct nx_dataset *ds, enum nx_step_state state)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < NX_ARRAY_LEN(rules) && !rc; i++) {
		const struct rule *r = &rules[i];
		bool may_lack = r->tag == TAG_PERFORMED && state == NX_STEP_DISCONTINUED;

		rc = need_check(c, ds, r->tag, may_lack ? NEED_ATTRIBUTE : r->final);
	}
	return rc;
}

nx_rc nx_step_create(const struct nx_dataset *given, struct nx_arena *arena,
	struct nx_dataset **ret, struct nx_step_fault *ret_fault, struct nx_err *err)
{
	struct check c = {arena, ret_fault, err};
	const struct nx_elem *scheduled = nx_dataset_find(given, TAG_SCHEDULED);
	enum nx_step_state state = NX_STEP_IN_PROGRESS;
	nx_rc rc = NX_OK;

	*ret_fault = (struct nx_step_fault){0};
	for (size_t i = 0; i < NX_ARRAY_LEN(rules) && !rc; i++)
		rc = need_check(&c, given, rules[i].tag, rules[i].create);
	if (!rc)
		rc = state_get(&c, given, &state);
	if (!rc && state != NX_STEP_IN_PROGRESS) /* PS3.4 F.7.2.1.2 */
		rc = faulty(&c, NX_STEP_INVALID, TAG_STATUS);
	if (!rc)
		rc = items_check(&c, scheduled, of_scheduled);
	if (!rc && scheduled->n_items > NX_LIMIT_STEP_STUDIES)
		rc = faulty(&c, NX_STEP_INVALID, TAG_SCHEDULED);
	if (!rc)
		rc = series_check(&c, given);
	return rc ? rc : nx_dataset_utf8(given, arena, ret, err);
}

/* ---- changes ---- */

static nx_rc given_check(
	struct check *c, const struct nx_dataset *there, const struct nx_dataset *given)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < NX_ARRAY_LEN(rules) && !rc; i++) {
		const struct nx_elem *old = nx_dataset_find(there, rules[i].tag);
		const struct nx_elem *now = nx_dataset_find(given, rules[i].tag);

		if (now && rules[i].set == NEED_SAME && (!old || !nx_elem_same(old, now)))
			rc = faulty(c, NX_STEP_NOT_ALLOWED, rules[i].tag);
	}
	return rc;
}

/* Attribute by attribute: what is given takes the place of what is there, sequences as a whole. */
static struct nx_dataset *merged(
	struct nx_arena *arena, const struct nx_dataset *there, const struct nx_dataset *given)
{
	struct nx_dataset *ds = nx_arena_alloc(arena, sizeof(*ds));
	struct nx_elem *elems =
		nx_arena_alloc_array(arena, there->n + given->n + 1, sizeof(*elems));
	size_t a = 0, b = 0;

	if (!ds || !elems)
		return NULL;
	*ds = (struct nx_dataset){.elems = elems, .charset = given->charset};
	while (a < there->n || b < given->n) {
		bool old = b == given->n ||
			(a < there->n && there->elems[a].tag < given->elems[b].tag);

		if (!old && a < there->n && there->elems[a].tag == given->elems[b].tag)
			a++;
		elems[ds->n++] = old ? there->elems[a++] : given->elems[b++];
	}
	return ds;
}

nx_rc nx_step_set(const struct nx_dataset *there, const struct nx_dataset *given,
	struct nx_arena *arena, struct nx_dataset **ret, struct nx_step_fault *ret_fault,
	struct nx_err *err)
{
	struct check c = {arena, ret_fault, err};
	enum nx_step_state state = NX_STEP_IN_PROGRESS;
	struct nx_dataset *now, *changed = NULL;
	nx_rc rc;

	*ret_fault = (struct nx_step_fault){0};
	rc = state_get(&c, there, &state);
	if (!rc && state != NX_STEP_IN_PROGRESS)
		rc = faulty(&c, NX_STEP_FINAL, 0);
	if (!rc)
		rc = nx_dataset_utf8(given, arena, &now, err);
	if (!rc)
		rc = given_check(&c, there, now);
	if (rc)
		return rc;
	changed = merged(arena, there, now);
	if (!changed)
		return no_memory(err);
	rc = state_get(&c, changed, &state);
	if (!rc && state != NX_STEP_IN_PROGRESS)
		rc = final_check(&c, changed, state);
	if (!rc)
		rc = series_check(&c, changed);
	if (!rc)
		*ret = changed;
	return rc;
}

/* ---- what a step says ---- */

static nx_rc studies_read(const struct nx_dataset *ds, struct nx_arena *arena, struct nx_step *ret,
	struct nx_err *err)
{
	const struct nx_elem *seq = nx_dataset_find(ds, TAG_SCHEDULED);
	size_t n = seq ? seq->n_items : 0;
	const char **studies = nx_arena_alloc_array(arena, n + 1, sizeof(*studies));
	struct nx_step_of *of = nx_arena_alloc_array(arena, n + 1, sizeof(*of));

	if (!studies || !of)
		return no_memory(err);
	for (size_t i = 0; i < n; i++) {
		const char *uid = nx_dataset_text(seq->items[i], TAG_STUDY, arena);
		bool known = false;

		of[i] = (struct nx_step_of){
			uid, nx_dataset_text(seq->items[i], TAG_SCHEDULED_ID, arena)};
		if (!uid || !of[i].scheduled)
			return no_memory(err);
		for (size_t k = 0; k < ret->n_studies && !known; k++)
			known = strcmp(studies[k], uid) == 0;
		if (!known)
			studies[ret->n_studies++] = uid;
	}
	ret->studies = studies;
	ret->of = of;
	ret->n_of = n;
	return NX_OK;
}

static const nx_tag ref_tags[] = {TAG_IMAGES, TAG_NON_IMAGES};

static size_t refs_count(const struct nx_elem *series)
{
	size_t n = 0;

	for (size_t i = 0; series && i < series->n_items; i++)
		for (size_t k = 0; k < NX_ARRAY_LEN(ref_tags); k++) {
			const struct nx_elem *seq = nx_dataset_find(series->items[i], ref_tags[k]);

			n += seq ? seq->n_items : 0;
		}
	return n;
}

static nx_rc refs_of(const struct nx_elem *seq, const char *series, struct nx_arena *arena,
	struct nx_step_ref **at, struct nx_err *err)
{
	for (size_t i = 0; seq && i < seq->n_items; i++) {
		struct nx_step_ref *ref = (*at)++;

		ref->series = series;
		ref->sop_class = nx_dataset_text(seq->items[i], TAG_CLASS, arena);
		ref->sop_instance = nx_dataset_text(seq->items[i], TAG_INSTANCE, arena);
		if (!ref->sop_class || !ref->sop_instance)
			return no_memory(err);
	}
	return NX_OK;
}

static nx_rc refs_read(const struct nx_dataset *ds, struct nx_arena *arena, struct nx_step *ret,
	struct nx_err *err)
{
	const struct nx_elem *series = nx_dataset_find(ds, TAG_PERFORMED);
	size_t n = refs_count(series);
	struct nx_step_ref *refs = nx_arena_alloc_array(arena, n + 1, sizeof(*refs)), *at = refs;
	nx_rc rc = NX_OK;

	if (!refs)
		return no_memory(err);
	for (size_t i = 0; series && i < series->n_items && !rc; i++) {
		const struct nx_dataset *one = series->items[i];
		const char *uid = nx_dataset_text(one, TAG_SERIES, arena);

		if (!uid)
			return no_memory(err);
		for (size_t k = 0; k < NX_ARRAY_LEN(ref_tags) && !rc; k++)
			rc = refs_of(nx_dataset_find(one, ref_tags[k]), uid, arena, &at, err);
	}
	ret->n_series = series ? series->n_items : 0;
	ret->refs = refs;
	ret->n_refs = n;
	return rc;
}

nx_rc nx_step_read(const struct nx_dataset *ds, struct nx_arena *arena, struct nx_step *ret,
	struct nx_err *err)
{
	struct nx_step_fault fault;
	struct check c = {arena, &fault, err};
	struct nx_step step = {.state = NX_STEP_IN_PROGRESS};
	nx_rc rc = state_get(&c, ds, &step.state);

	if (!rc)
		rc = studies_read(ds, arena, &step, err);
	if (!rc)
		rc = refs_read(ds, arena, &step, err);
	if (!rc)
		*ret = step;
	return rc;
}
