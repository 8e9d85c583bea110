/* Entries that parse must format back to themselves; bundles and checkpoints must not crash. */
#include "fuzz.h"

#include "ledger/ledger_priv.h"

static void entry_check(uint64_t index, struct nx_slice bytes)
{
	NX_AUTO_DONE(nx_buf) back;
	struct nx_entry entry;

	nx_buf_init(&back, ENTRY_AAD_MAX, 0);
	if (nx_entry_parse(index, bytes, &entry, NULL))
		return;
	nx_entry_format_head(&entry, entry.body.n, &back);
	FUZZ_CHECK(!back.failed && back.len + entry.body.n == bytes.n);
	FUZZ_CHECK(memcmp(back.data, bytes.p, back.len) == 0);
	for (unsigned i = 0; i < NX_LEDGER_CHAINS && entry.chains[i].kind; i++)
		FUZZ_CHECK(entry.chains[i].count == 1 || entry.chains[i].prev < index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nx_slice bundle = nx_slice(data, size), bytes;
	struct nx_checkpoint checkpoint;
	uint8_t pub[NX_ED25519_PUBLIC_LEN] = {0};
	uint64_t index = 1;

	entry_check(1000, bundle);
	while (nx_bundle_next(&bundle, &bytes))
		entry_check(index++, bytes);
	FUZZ_CHECK(nx_note_parse(nx_slice(data, size), "o", pub, &checkpoint, NULL) != NX_OK);
	return 0;
}
