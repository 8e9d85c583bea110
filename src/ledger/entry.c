#include "ledger/ledger_priv.h"

#include "base/rd.h"

/*
 * An entry, little endian:
 *
 *  0  u8   version, 1
 *  1  u8   outcome
 *  2  u16  action
 *  4  i64  time, microseconds since 1970
 * 12  u8   number of chains, 0..3
 * 13  chains, 33 bytes each, kinds ascending: u8 kind, 16 tag, u64 count, u64 previous index
 *  .  u16  body length
 *  .  body: sealed; associated data = all bytes before it, and the entry's index as u64
 */

static const struct {
	unsigned number;
	const char *wire;
} actions[] = {
#define NX_ACTION(code, number, wire, event, text) {number, wire},
#include "ledger/actions.def"
#undef NX_ACTION
};

const char *nx_action_wire(unsigned action)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(actions); i++)
		if (actions[i].number == action)
			return actions[i].wire;
	return NULL;
}

unsigned nx_action_parse(const char *wire)
{
	for (size_t i = 0; wire && i < NX_ARRAY_LEN(actions); i++)
		if (strcmp(actions[i].wire, wire) == 0)
			return actions[i].number;
	return 0;
}

void nx_entry_format_head(const struct nx_entry *entry, size_t body_len, struct nx_buf *out)
{
	uint8_t n = 0;

	while (n < NX_LEDGER_CHAINS && entry->chains[n].kind)
		n++;
	nx_buf_put_u8(out, ENTRY_VERSION);
	nx_buf_put_u8(out, (uint8_t)entry->outcome);
	nx_buf_put_u16le(out, (uint16_t)entry->action);
	nx_buf_put_u64le(out, (uint64_t)entry->time_us);
	nx_buf_put_u8(out, n);
	for (uint8_t i = 0; i < n; i++) {
		nx_buf_put_u8(out, entry->chains[i].kind);
		nx_buf_put(out, entry->chains[i].tag, NX_TAG_LEN);
		nx_buf_put_u64le(out, entry->chains[i].count);
		nx_buf_put_u64le(out, entry->chains[i].prev);
	}
	nx_buf_put_u16le(out, (uint16_t)body_len);
}

static bool outcome_known(uint8_t v)
{
	return v == NX_OUTCOME_OK || v == NX_OUTCOME_MINOR || v == NX_OUTCOME_SERIOUS ||
		v == NX_OUTCOME_MAJOR;
}

static nx_rc chain_parse(struct nx_rd *rd, struct nx_entry *entry, unsigned i, struct nx_err *err)
{
	uint8_t kind_before = i ? entry->chains[i - 1].kind : 0;
	unsigned long long index = entry->index;

	if (!nx_rd_u8(rd, &entry->chains[i].kind) ||
		!nx_rd_copy(rd, entry->chains[i].tag, NX_TAG_LEN) ||
		!nx_rd_u64le(rd, &entry->chains[i].count) ||
		!nx_rd_u64le(rd, &entry->chains[i].prev))
		return nx_err_set(err, NX_E_CORRUPT, "entry %llu ends in chain %u", index, i);
	if (entry->chains[i].kind <= kind_before || entry->chains[i].kind > NX_CHAIN_PRINCIPAL)
		return nx_err_set(err, NX_E_CORRUPT, "entry %llu: chain %u has kind %u", index, i,
			entry->chains[i].kind);
	if (entry->chains[i].count == 0 ||
		(entry->chains[i].count == 1) != (entry->chains[i].prev == UINT64_MAX) ||
		(entry->chains[i].count > 1 && entry->chains[i].prev >= entry->index))
		return nx_err_set(err, NX_E_CORRUPT,
			"entry %llu: chain %u: count %llu, previous %llu", index, i,
			(unsigned long long)entry->chains[i].count,
			(unsigned long long)entry->chains[i].prev);
	return NX_OK;
}

nx_rc nx_entry_parse(
	uint64_t index, struct nx_slice bytes, struct nx_entry *ret, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(bytes);
	struct nx_entry entry = {.index = index};
	uint8_t version, outcome, n_chains;
	uint16_t action, body_len;
	uint64_t time_us;

	if (!nx_rd_u8(&rd, &version) || !nx_rd_u8(&rd, &outcome) || !nx_rd_u16le(&rd, &action) ||
		!nx_rd_u64le(&rd, &time_us) || !nx_rd_u8(&rd, &n_chains))
		return nx_err_set(err, NX_E_CORRUPT, "entry %llu has %zu bytes",
			(unsigned long long)index, bytes.n);
	if (version != ENTRY_VERSION || !outcome_known(outcome) || n_chains > NX_LEDGER_CHAINS)
		return nx_err_set(err, NX_E_CORRUPT,
			"entry %llu: version %u, outcome %u, %u chains", (unsigned long long)index,
			version, outcome, n_chains);
	entry.action = action;
	entry.outcome = outcome;
	entry.time_us = (int64_t)time_us;
	for (unsigned i = 0; i < n_chains; i++) {
		nx_rc rc = chain_parse(&rd, &entry, i, err);

		if (rc)
			return rc;
	}
	if (!nx_rd_u16le(&rd, &body_len) || body_len != rd.n || body_len < NX_SEAL_OVERHEAD)
		return nx_err_set(err, NX_E_CORRUPT, "entry %llu: body of %zu bytes",
			(unsigned long long)index, rd.n);
	entry.body = nx_slice(rd.p, rd.n);
	*ret = entry;
	return NX_OK;
}
