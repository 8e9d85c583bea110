/*
 * detail.h - what a ledger entry says beside who and when, as it is written.
 *
 * Layer:   2 (ledger).
 * Threads: one at a time.
 * PHI:     may hold identifiers; its memory is wiped, and the ledger seals it.
 */
#ifndef NX_LEDGER_DETAIL_H
#define NX_LEDGER_DETAIL_H

#include "base/buf.h"
#include "base/json.h"
#include "ledger/ledger.h"

/* In the caller's storage; its members are written with `json`. */
struct nx_detail {
	struct nx_json json;
	struct nx_buf buf;
};

/* An object is open. */
void nx_detail_begin(struct nx_detail *detail);
/* Its last member is the address `peer` (NULL or "": none); draft->detail is then of this memory.
 * NX_E_LIMIT past 16 KiB, NX_E_NOMEM. */
NX_NODISCARD nx_rc nx_detail_end(struct nx_detail *detail, const char *peer,
	struct nx_entry_draft *draft, struct nx_err *err);
void nx_detail_done(struct nx_detail *detail);
NX_DEFINE_AUTO_DONE(nx_detail);

#endif
