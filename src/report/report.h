/*
 * report.h - what a site says of itself: status, metrics, and its ledger to those who audit it.
 *
 * Layer:   3 (report).  Uses archive, catalog, keys, ledger, access, ingest.
 * Threads: a struct nx_report is shared.
 * PHI:     ledger bodies may hold identifiers; status and metrics hold counts only.
 *
 * Reading the ledger is in the ledger; reading counts is not, a refusal of either is.
 */
#ifndef NX_REPORT_REPORT_H
#define NX_REPORT_REPORT_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"

struct nx_archive;
struct nx_buf;
struct nx_ingest;
struct nx_principal;
struct nx_report;

struct nx_report *nx_report_new(struct nx_archive *archive, struct nx_ingest *ingest,
	const char *site, const char *environment); /* all borrowed; NULL without memory */
struct nx_report *nx_report_free(struct nx_report *report);
NX_DEFINE_AUTO(nx_report);

/* One JSON object; needs NX_PERM_MONITOR. */
NX_NODISCARD nx_rc nx_report_status(struct nx_report *report, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err);
/* Prometheus text format 0.0.4; needs NX_PERM_MONITOR. */
NX_NODISCARD nx_rc nx_report_metrics(struct nx_report *report, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err);
/* Why it cannot take or give data now; NULL: it can.  For /readyz. */
const char *nx_report_unready(struct nx_report *report);

/* One metric with its HELP and TYPE lines ("counter", "gauge"); `labels` is "" or
 * "{listener=\"data\"}", and with `first` false only the sample is written. */
void nx_metric(struct nx_buf *out, const char *name, const char *type, const char *help,
	const char *labels, bool first, uint64_t value);

/* ---- the ledger; all need NX_PERM_AUDIT ---- */

/* The newest signed checkpoint and the verifier key: {"checkpoint","verifier_key","size"}. */
NX_NODISCARD nx_rc nx_report_checkpoint(struct nx_report *report, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err);

struct nx_ledger_filter {
	int64_t from_us;
	int64_t to_us;         /* 0: no end */
	const char *action;    /* wire name; NULL: any */
	const char *principal; /* at most one of these three: walks its chain */
	const char *study;     /* Study Instance UID */
	uint64_t subject;      /* 0: any */
	uint64_t after;        /* index; entries past it (UINT64_MAX: from the start) */
	unsigned limit;        /* 0: 1000, which is the most */
	bool newest;           /* first; not together with `after` */
};
/* {"entries":[{"index","time","action","outcome","body"}],"more"}: oldest first; newest first when
 * that is asked for or a chain is walked. */
NX_NODISCARD nx_rc nx_report_entries(struct nx_report *report, const struct nx_principal *who,
	const struct nx_ledger_filter *filter, struct nx_buf *out, struct nx_err *err);
/* {"entries":n}; NX_E_CORRUPT names the first entry that is wrong. */
NX_NODISCARD nx_rc nx_report_verify(struct nx_report *report, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err);
/* The accounting of one principal, study or subject, with all proofs. */
NX_NODISCARD nx_rc nx_report_prove(struct nx_report *report, const struct nx_principal *who,
	const struct nx_ledger_filter *filter, struct nx_buf *out, struct nx_err *err);
/* The whole log into the new folder `dir` of the server's machine. */
NX_NODISCARD nx_rc nx_report_export(struct nx_report *report, const struct nx_principal *who,
	const char *dir, struct nx_err *err);

#endif
