#include "nx_test.h"
#include "nx_torture.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "dicom/step.h"

enum {
	ELEMS = 32,
	ARENA = 4 * 1024 * 1024
};

#define SCHEDULED NX_TAG(0x0040, 0x0270)
#define PERFORMED NX_TAG(0x0040, 0x0340)
#define STATUS    NX_TAG(0x0040, 0x0252)
#define NAME      NX_TAG(0x0010, 0x0010)

struct made {
	struct nx_elem elems[ELEMS];
	struct nx_dataset ds;
};

/* In its place; what is there already gets the value. */
static struct nx_elem *put(struct made *m, nx_tag tag, const char *vr, const char *value)
{
	size_t at = 0;

	while (at < m->ds.n && m->elems[at].tag < tag)
		at++;
	if (at == m->ds.n || m->elems[at].tag != tag) {
		memmove(&m->elems[at + 1], &m->elems[at], (m->ds.n - at) * sizeof(m->elems[0]));
		m->ds.n++;
	}
	m->elems[at] = (struct nx_elem){
		.tag = tag, .vr = NX_VR(vr[0], vr[1]), .value = nx_slice_str(value)};
	m->ds.elems = m->elems;
	return &m->elems[at];
}

static void put_items(struct made *m, nx_tag tag, struct nx_dataset **items, size_t n)
{
	struct nx_elem *elem = put(m, tag, "SQ", "");

	elem->items = items;
	elem->n_items = n;
}

static void cut(struct made *m, nx_tag tag)
{
	for (size_t i = 0; i < m->ds.n; i++) {
		if (m->elems[i].tag != tag)
			continue;
		m->ds.n--;
		memmove(&m->elems[i], &m->elems[i + 1], (m->ds.n - i) * sizeof(m->elems[0]));
		return;
	}
}

struct fixture {
	struct nx_arena *arena;
	struct nx_step_fault fault;
	struct nx_err err;
	struct made begun, scheduled, ends, series, image, other;
	struct nx_dataset *scheduled_items[1], *series_items[1], *image_items[2], *other_items[1];
};

static void begun_make(struct fixture *fx)
{
	static const struct {
		nx_tag tag;
		const char *vr, *value;
	} values[] = {
		{NX_TAG(0x0008, 0x0005), "CS", "ISO_IR 100"},
		{NX_TAG(0x0008, 0x0060), "CS", "CT"},
		{NX_TAG(0x0008, 0x1032), "SQ", ""},
		{NX_TAG(0x0008, 0x1120), "SQ", ""},
		{NAME, "PN", "M\xdcLLER^A"},
		{NX_TAG(0x0010, 0x0020), "LO", "1"},
		{NX_TAG(0x0010, 0x0030), "DA", ""},
		{NX_TAG(0x0010, 0x0040), "CS", ""},
		{NX_TAG(0x0020, 0x0010), "SH", ""},
		{NX_TAG(0x0040, 0x0241), "AE", "CT01"},
		{NX_TAG(0x0040, 0x0242), "SH", ""},
		{NX_TAG(0x0040, 0x0243), "SH", ""},
		{NX_TAG(0x0040, 0x0244), "DA", "20260105"},
		{NX_TAG(0x0040, 0x0245), "TM", "0800"},
		{NX_TAG(0x0040, 0x0250), "DA", ""},
		{NX_TAG(0x0040, 0x0251), "TM", ""},
		{STATUS, "CS", "IN PROGRESS"},
		{NX_TAG(0x0040, 0x0253), "SH", "P1"},
		{NX_TAG(0x0040, 0x0254), "LO", ""},
		{NX_TAG(0x0040, 0x0255), "LO", ""},
		{NX_TAG(0x0040, 0x0260), "SQ", ""},
		{PERFORMED, "SQ", ""},
	};

	for (size_t i = 0; i < NX_ARRAY_LEN(values); i++)
		(void)put(&fx->begun, values[i].tag, values[i].vr, values[i].value);
	fx->begun.ds.charset = nx_slice_str("ISO_IR 100");
	(void)put(&fx->scheduled, NX_TAG(0x0020, 0x000d), "UI", "1.2.3");
	fx->scheduled_items[0] = &fx->scheduled.ds;
	put_items(&fx->begun, SCHEDULED, fx->scheduled_items, 1);
}

static void reference(struct made *m, const char *uid)
{
	(void)put(m, NX_TAG(0x0008, 0x1150), "UI", "1.2.840.10008.5.1.4.1.1.2");
	(void)put(m, NX_TAG(0x0008, 0x1155), "UI", uid);
}

static void ends_make(struct fixture *fx)
{
	(void)put(&fx->ends, NX_TAG(0x0040, 0x0250), "DA", "20260105");
	(void)put(&fx->ends, NX_TAG(0x0040, 0x0251), "TM", "0815");
	(void)put(&fx->ends, STATUS, "CS", "COMPLETED ");
	reference(&fx->image, "1.2.9.1");
	reference(&fx->other, "1.2.9.2");
	fx->image_items[0] = &fx->image.ds;
	fx->image_items[1] = &fx->image.ds;
	fx->other_items[0] = &fx->other.ds;
	put_items(&fx->series, NX_TAG(0x0008, 0x1140), fx->image_items, 2);
	(void)put(&fx->series, NX_TAG(0x0018, 0x1030), "LO", "PROTOCOL");
	(void)put(&fx->series, NX_TAG(0x0020, 0x000e), "UI", "1.2.4");
	put_items(&fx->series, NX_TAG(0x0040, 0x0220), fx->other_items, 1);
	fx->series_items[0] = &fx->series.ds;
	put_items(&fx->ends, PERFORMED, fx->series_items, 1);
}

static int setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	fx->arena = nx_arena_new(ARENA, NX_ARENA_WIPE);
	assert_non_null(fx->arena);
	begun_make(fx);
	ends_make(fx);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;

	nx_arena_free(fx->arena);
	free(fx);
	return 0;
}

static struct nx_dataset *created(struct fixture *fx)
{
	struct nx_dataset *ds = NULL;

	assert_ok(nx_step_create(&fx->begun.ds, fx->arena, &ds, &fx->fault, &fx->err), &fx->err);
	return ds;
}

static void create_fails(struct fixture *fx, enum nx_step_why why, nx_tag tag)
{
	struct nx_dataset *ds = NULL;

	assert_rc(nx_step_create(&fx->begun.ds, fx->arena, &ds, &fx->fault, &fx->err), NX_E_INVAL);
	assert_null(ds);
	assert_int_equal(fx->fault.why, why);
	assert_int_equal(fx->fault.tag, tag);
}

static void set_fails(
	struct fixture *fx, const struct nx_dataset *there, enum nx_step_why why, nx_tag tag)
{
	struct nx_dataset *ds = NULL;

	assert_rc(
		nx_step_set(there, &fx->ends.ds, fx->arena, &ds, &fx->fault, &fx->err), NX_E_INVAL);
	assert_null(ds);
	assert_int_equal(fx->fault.why, why);
	assert_int_equal(fx->fault.tag, tag);
}

static void test_every_attribute_that_must_be_there_is_asked_for(void **state)
{
	struct fixture *fx = *state;

	for (size_t i = 1; i < fx->begun.ds.n; i++) { /* all but the character set */
		const struct made whole = fx->begun;
		const nx_tag tag = whole.elems[i].tag;

		cut(&fx->begun, tag);
		create_fails(fx, NX_STEP_MISSING, tag);
		fx->begun = whole;
		fx->begun.ds.elems = fx->begun.elems;
	}
	(void)created(fx);
}

static void test_values_that_cannot_be_are_refused(void **state)
{
	struct fixture *fx = *state;

	(void)put(&fx->begun, STATUS, "CS", "COMPLETED");
	create_fails(fx, NX_STEP_INVALID, STATUS);
	(void)put(&fx->begun, STATUS, "CS", "");
	create_fails(fx, NX_STEP_NO_VALUE, STATUS);
	(void)put(&fx->begun, STATUS, "CS", "IN PROGRESS");
	(void)put(&fx->scheduled, NX_TAG(0x0020, 0x000d), "UI", "1.2.x");
	create_fails(fx, NX_STEP_INVALID, NX_TAG(0x0020, 0x000d));
	(void)put(&fx->scheduled, NX_TAG(0x0020, 0x000d), "UI", "1.2.3");
	put_items(&fx->begun, SCHEDULED, fx->scheduled_items, 0);
	create_fails(fx, NX_STEP_NO_VALUE, SCHEDULED);
	put_items(&fx->begun, SCHEDULED, fx->scheduled_items, 1);
	put_items(&fx->begun, PERFORMED, fx->series_items, 1);
	cut(&fx->image, NX_TAG(0x0008, 0x1155));
	create_fails(fx, NX_STEP_MISSING, NX_TAG(0x0008, 0x1155));
}

static void test_text_is_kept_in_utf8(void **state)
{
	struct fixture *fx = *state;
	struct nx_dataset *ds = created(fx);

	assert_string_equal(nx_dataset_text(ds, NAME, fx->arena), "M\xc3\x9cLLER^A");
	assert_string_equal(
		nx_dataset_text(ds, NX_TAG_SPECIFIC_CHARACTER_SET, fx->arena), "ISO_IR 192");
}

static void test_a_step_that_has_ended_stays_as_it_is(void **state)
{
	static const char *const states[] = {"COMPLETED", "DISCONTINUED"};
	struct fixture *fx = *state;
	const struct nx_dataset *there = created(fx);

	for (size_t i = 0; i < NX_ARRAY_LEN(states); i++) {
		struct nx_dataset *ds = NULL;

		(void)put(&fx->ends, STATUS, "CS", states[i]);
		assert_ok(nx_step_set(there, &fx->ends.ds, fx->arena, &ds, &fx->fault, &fx->err),
			&fx->err);
		set_fails(fx, ds, NX_STEP_FINAL, 0);
	}
}

static void test_an_end_needs_what_it_ended_with(void **state)
{
	struct fixture *fx = *state;
	const struct nx_dataset *there = created(fx);
	struct nx_dataset *ds = NULL;

	cut(&fx->ends, NX_TAG(0x0040, 0x0251));
	set_fails(fx, there, NX_STEP_NO_VALUE, NX_TAG(0x0040, 0x0251));
	(void)put(&fx->ends, NX_TAG(0x0040, 0x0251), "TM", "0815");
	put_items(&fx->ends, PERFORMED, fx->series_items, 0);
	set_fails(fx, there, NX_STEP_NO_VALUE, PERFORMED);
	(void)put(&fx->ends, STATUS, "CS", "ENDED");
	set_fails(fx, there, NX_STEP_INVALID, STATUS);
	(void)put(&fx->ends, STATUS, "CS", "DISCONTINUED");
	assert_ok(nx_step_set(there, &fx->ends.ds, fx->arena, &ds, &fx->fault, &fx->err), &fx->err);
}

static void test_what_the_creation_said_can_be_said_again_and_not_changed(void **state)
{
	struct fixture *fx = *state;
	const struct nx_dataset *there = created(fx);
	struct nx_dataset *ds = NULL;

	(void)put(&fx->ends, NX_TAG_SPECIFIC_CHARACTER_SET, "CS", "ISO_IR 192");
	fx->ends.ds.charset = nx_slice_str("ISO_IR 192");
	(void)put(&fx->ends, NAME, "PN", "M\xc3\x9cLLER^A ");
	put_items(&fx->ends, SCHEDULED, fx->scheduled_items, 1);
	assert_ok(nx_step_set(there, &fx->ends.ds, fx->arena, &ds, &fx->fault, &fx->err), &fx->err);
	(void)put(&fx->ends, NAME, "PN", "MEYER^A");
	set_fails(fx, there, NX_STEP_NOT_ALLOWED, NAME);
	cut(&fx->ends, NAME);
	(void)put(&fx->ends, NX_TAG(0x0038, 0x0010), "LO", "A7"); /* Admission ID, of type 3 */
	set_fails(fx, there, NX_STEP_NOT_ALLOWED, NX_TAG(0x0038, 0x0010));
}

static void test_a_step_says_which_instances_it_made(void **state)
{
	struct fixture *fx = *state;
	struct nx_dataset *ds = NULL;
	struct nx_step step;

	assert_ok(nx_step_set(created(fx), &fx->ends.ds, fx->arena, &ds, &fx->fault, &fx->err),
		&fx->err);
	assert_ok(nx_step_read(ds, fx->arena, &step, &fx->err), &fx->err);
	assert_int_equal(step.state, NX_STEP_COMPLETED);
	assert_int_equal(step.n_studies, 1);
	assert_string_equal(step.studies[0], "1.2.3");
	assert_int_equal(step.n_series, 1);
	assert_int_equal(step.n_refs, 3);
	assert_string_equal(step.refs[0].sop_instance, "1.2.9.1");
	assert_string_equal(step.refs[2].sop_instance, "1.2.9.2");
	assert_string_equal(step.refs[2].series, "1.2.4");
}

static nx_rc whole_life(void *payload)
{
	struct fixture *fx = payload;
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA, NX_ARENA_WIPE);
	struct nx_dataset *ds, *changed;
	struct nx_step step;
	nx_rc rc = arena ? NX_OK : NX_E_NOMEM;

	if (!rc)
		rc = nx_step_create(&fx->begun.ds, arena, &ds, &fx->fault, &fx->err);
	if (!rc)
		rc = nx_step_set(ds, &fx->ends.ds, arena, &changed, &fx->fault, &fx->err);
	return rc ? rc : nx_step_read(changed, arena, &step, &fx->err);
}

static void test_no_allocation_that_fails_is_missed(void **state)
{
	nx_torture(whole_life, *state);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_every_attribute_that_must_be_there_is_asked_for),
		T(test_values_that_cannot_be_are_refused),
		T(test_text_is_kept_in_utf8),
		T(test_a_step_that_has_ended_stays_as_it_is),
		T(test_an_end_needs_what_it_ended_with),
		T(test_what_the_creation_said_can_be_said_again_and_not_changed),
		T(test_a_step_says_which_instances_it_made),
		T(test_no_allocation_that_fails_is_missed),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
