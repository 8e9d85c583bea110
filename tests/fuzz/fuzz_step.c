/*
 * A performed procedure step is made, changed, written and read again.  The input is two data sets
 * in implicit VR little endian, behind the length of the first (u16, little endian).
 */
#include "fuzz.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "dicom/step.h"

enum {
	ARENA_MAX = 64 * 1024 * 1024
};

static nx_rc parse(
	struct nx_slice bytes, const char *ts, struct nx_arena *arena, struct nx_dataset **ret)
{
	return nx_dataset_parse(bytes, ts, NX_LIMIT_PERFORMED_STEP + 1, arena, ret, NULL);
}

/* What was accepted can be stored, and says the same when it is read. */
static struct nx_dataset *kept(
	const struct nx_dataset *ds, struct nx_arena *arena, enum nx_step_state *ret_state)
{
	struct nx_dataset *again = NULL;
	struct nx_step before, after;
	struct nx_buf out;

	nx_buf_init(&out, NX_LIMIT_PERFORMED_STEP, 0);
	if (nx_dataset_write(ds, nx_ts_find(NX_UID_EXPLICIT_VR_LITTLE_ENDIAN), &out, NULL, NULL,
		    NULL) == NX_OK &&
		nx_step_read(ds, arena, &before, NULL) == NX_OK) {
		FUZZ_CHECK(parse(nx_buf_slice(&out), NX_UID_EXPLICIT_VR_LITTLE_ENDIAN, arena,
				   &again) == NX_OK);
		FUZZ_CHECK(nx_step_read(again, arena, &after, NULL) == NX_OK);
		FUZZ_CHECK(before.state == after.state && before.n_refs == after.n_refs &&
			before.n_studies == after.n_studies && before.n_studies > 0);
		*ret_state = after.state;
	}
	nx_buf_done(&out);
	return again;
}

static void life(struct nx_slice first, struct nx_slice second, struct nx_arena *arena)
{
	enum nx_step_state state = NX_STEP_IN_PROGRESS;
	struct nx_dataset *begun, *given, *ds;
	struct nx_step_fault fault;
	nx_rc rc;

	if (parse(first, NX_UID_IMPLICIT_VR_LITTLE_ENDIAN, arena, &given))
		return;
	rc = nx_step_create(given, arena, &ds, &fault, NULL);
	FUZZ_CHECK((rc == NX_E_INVAL) == (fault.why != 0));
	begun = rc ? NULL : kept(ds, arena, &state);
	FUZZ_CHECK(state == NX_STEP_IN_PROGRESS);
	if (!begun || parse(second, NX_UID_IMPLICIT_VR_LITTLE_ENDIAN, arena, &given))
		return;
	rc = nx_step_set(begun, given, arena, &ds, &fault, NULL);
	FUZZ_CHECK((rc == NX_E_INVAL) == (fault.why != 0));
	begun = rc ? NULL : kept(ds, arena, &state);
	if (!begun || state == NX_STEP_IN_PROGRESS)
		return;
	FUZZ_CHECK(nx_step_set(begun, given, arena, &ds, &fault, NULL) == NX_E_INVAL);
	FUZZ_CHECK(fault.why == NX_STEP_FINAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nx_arena *arena = nx_arena_new(ARENA_MAX, 0);
	size_t n;

	if (arena && size >= 2) {
		n = (size_t)data[0] | (size_t)data[1] << 8;
		n = n < size - 2 ? n : size - 2;
		life(nx_slice(data + 2, n), nx_slice(data + 2 + n, size - 2 - n), arena);
	}
	nx_arena_free(arena);
	return 0;
}
