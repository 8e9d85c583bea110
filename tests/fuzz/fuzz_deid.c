/* Any data set through the profile: what is written parses again, and holds nothing that must go.
 */
#include "fuzz.h"

#include <string.h>

#include "base/buf.h"
#include "catalog/catalog.h"
#include "deid/deid_priv.h"

static void dataset_check(const struct nx_dataset *ds)
{
	for (size_t i = 0; i < ds->n; i++) {
		const struct nx_elem *e = &ds->elems[i];

		FUZZ_CHECK(!(e->tag >> 16 & 1));
		FUZZ_CHECK(e->tag != NX_TAG_OTHER_PATIENT_NAMES && e->tag >> 16 != 0x0032);
		for (size_t j = 0; j < e->n_items; j++)
			dataset_check(e->items[j]);
	}
}

static void names_check(
	const struct deid_subject *s, const struct nx_dataset *ds, struct nx_arena *arena)
{
	const struct nx_elem *id = nx_dataset_find(ds, NX_TAG_PATIENT_ID);
	const struct nx_elem *birth = nx_dataset_find(ds, NX_TAG_PATIENT_BIRTH_DATE);
	const char *text = nx_dataset_text(ds, NX_TAG_PATIENT_ID, arena);

	FUZZ_CHECK(!id || !text || strcmp(text, s->pseudonym) == 0);
	FUZZ_CHECK(!birth || !birth->value.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct nx_collection to = {.name = "curated", .project = "test"};
	NX_AUTO(nx_arena) *arena = nx_arena_new(64u << 20, NX_ARENA_WIPE);
	NX_AUTO_DONE(deid_subject) s;
	NX_AUTO_DONE(nx_buf) out;
	struct nx_key vault = {{1}};
	struct nx_dataset *ds, *again;

	nx_buf_init(&out, 64u << 20, NX_BUF_WIPE);
	deid_subject_init(&s, &vault, &to, 7);
	if (!arena || nx_dataset_parse(nx_slice(data, size), NULL, UINT32_MAX, arena, &ds, NULL))
		return 0;
	if (deid_apply(&s, ds, arena, NULL) || nx_dataset_write(ds, NULL, &out, NULL, NULL, NULL))
		return 0;
	if (!nx_dataset_find(ds, NX_TAG_TRANSFER_SYNTAX_UID))
		return 0; /* bare: a reader has to guess */
	if (nx_dataset_parse(nx_buf_slice(&out), NULL, UINT32_MAX, arena, &again, NULL))
		return 0;
	dataset_check(again);
	names_check(&s, again, arena);
	return 0;
}
