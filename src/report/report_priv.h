/*
 * report_priv.h - what the files of this module share.
 *
 * Layer:   3 (report), private.
 * Threads: see report.h.
 * PHI:     none.
 */
#ifndef NX_REPORT_REPORT_PRIV_H
#define NX_REPORT_REPORT_PRIV_H

#include "access/access.h"
#include "archive/archive.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "catalog/catalog.h"
#include "ingest/ingest.h"
#include "keys/keys.h"
#include "ledger/ledger.h"
#include "report/report.h"
#include "store/pool.h"

struct nx_report {
	struct nx_archive *archive;
	struct nx_ingest *ingest;
	const char *site;
	const char *environment;
	int64_t started_us;
};

/* NX_E_DENIED, recorded. */
NX_NODISCARD nx_rc report_guard(struct nx_report *r, const struct nx_principal *who,
	enum nx_perm perm, const char *what, struct nx_err *err);
NX_NODISCARD nx_rc report_record(struct nx_report *r, const struct nx_principal *who,
	unsigned action, enum nx_outcome outcome, const char *what, struct nx_err *err);

#endif
