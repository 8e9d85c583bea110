#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "report/report_priv.h"

struct facts {
	struct nx_cat_counts counts;
	struct nx_ingest_stats ingest;
	struct nx_archive_stats archive;
	struct nx_keys_status keys;
	uint64_t free_bytes;
	uint64_t ledger;
	uint64_t rss;
};

/* PS: field 2 of statm is the resident set, in pages. */
static uint64_t resident_bytes(void)
{
	NX_AUTO_FD fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char text[128];
	const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *second;

	if (n < 0)
		return 0;
	text[n] = '\0';
	second = strchr(text, ' ');
	return second ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static nx_rc facts_take(struct nx_report *r, struct facts *f, struct nx_err *err)
{
	nx_rc rc;

	*f = (struct facts){0};
	nx_archive_barrier(r->archive);
	rc = nx_cat_counts(nx_archive_cat(r->archive), &f->counts, err);
	if (!rc)
		rc = nx_pool_free_bytes(nx_archive_pool(r->archive), &f->free_bytes, err);
	nx_ingest_stats(r->ingest, &f->ingest);
	nx_archive_stats(r->archive, &f->archive);
	nx_keys_status(nx_archive_keys(r->archive), &f->keys);
	f->ledger = nx_ledger_size(nx_archive_ledger(r->archive));
	f->rss = resident_bytes();
	return rc;
}

static void holdings_json(const struct facts *f, struct nx_json *json)
{
	nx_json_key(json, "holds");
	nx_json_object_begin(json);
	nx_json_kv_uint(json, "subjects", f->counts.subjects);
	nx_json_kv_uint(json, "studies", f->counts.studies);
	nx_json_kv_uint(json, "series", f->counts.series);
	nx_json_kv_uint(json, "items", f->counts.items);
	nx_json_kv_uint(json, "bytes", f->counts.bytes);
	nx_json_kv_uint(json, "quarantined", f->counts.quarantined);
	nx_json_kv_uint(json, "quarantined_bytes", f->counts.quarantined_bytes);
	nx_json_kv_uint(json, "ledger_entries", f->ledger);
	nx_json_kv_uint(json, "erased_subjects", f->keys.n_erased);
	nx_json_object_end(json);
}

static void ingest_json(const struct facts *f, struct nx_json *json)
{
	nx_json_key(json, "ingest");
	nx_json_object_begin(json);
	nx_json_kv_uint(json, "stored", f->ingest.stored);
	nx_json_kv_uint(json, "duplicates", f->ingest.duplicates);
	nx_json_kv_uint(json, "versions", f->ingest.versions);
	nx_json_kv_uint(json, "quarantined", f->ingest.quarantined);
	nx_json_kv_uint(json, "refused", f->ingest.refused);
	nx_json_kv_uint(json, "bytes", f->ingest.bytes);
	nx_json_object_end(json);
	nx_json_key(json, "commits");
	nx_json_object_begin(json);
	nx_json_kv_uint(json, "groups", f->archive.groups);
	nx_json_kv_uint(json, "changes", f->archive.changes);
	nx_json_kv_uint(json, "bytes_written", f->archive.bytes_written);
	nx_json_kv_uint(json, "waiting", f->archive.queue);
	nx_json_kv_int(json, "last_group_us", f->archive.last_group_us);
	nx_json_object_end(json);
}

nx_rc nx_report_status(struct nx_report *report, const struct nx_principal *who, struct nx_buf *out,
	struct nx_err *err)
{
	struct facts f;
	struct nx_json json;
	char started[NX_TIME_TEXT];
	const char *unready = nx_report_unready(report);
	nx_rc rc = report_guard(report, who, NX_PERM_MONITOR, "status", err);

	if (!rc)
		rc = facts_take(report, &f, err);
	if (rc)
		return rc;
	nx_time_format(report->started_us, started);
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "site", report->site);
	nx_json_kv_str(&json, "environment", report->environment);
	nx_json_kv_str(&json, "version", NX_VERSION);
	nx_json_kv_str(&json, "started", started);
	nx_json_kv_bool(&json, "ready", !unready);
	if (unready)
		nx_json_kv_str(&json, "unready", unready);
	holdings_json(&f, &json);
	ingest_json(&f, &json);
	nx_json_key(&json, "resources");
	nx_json_object_begin(&json);
	nx_json_kv_uint(&json, "pool_free_bytes", f.free_bytes);
	nx_json_kv_uint(&json, "resident_bytes", f.rss);
	nx_json_object_end(&json);
	nx_json_object_end(&json);
	return nx_buf_check(out, err);
}

const char *nx_report_unready(struct nx_report *report)
{
	struct nx_keys_status keys;
	uint64_t left = 0;
	struct nx_err err;

	if (nx_pool_free_bytes(nx_archive_pool(report->archive), &left, &err))
		return "the pool cannot be looked at";
	/* Room for one more pack group at least: with less, every store would fail. */
	if (left <= NX_LIMIT_GROUP_RECORD)
		return "the pool has no room";
	nx_keys_status(nx_archive_keys(report->archive), &keys);
	return keys.closed ? "a key place failed: start the site again" : NULL;
}

/* ---- metrics ---- */

void nx_metric(struct nx_buf *out, const char *name, const char *type, const char *help,
	const char *labels, bool first, uint64_t value)
{
	if (first)
		nx_buf_printf(out, "# HELP %s %s.\n# TYPE %s %s\n", name, help, name, type);
	nx_buf_printf(out, "%s%s %llu\n", name, labels, (unsigned long long)value);
}

/* To add a metric of the site, add a row. */
struct metric {
	const char *name;
	const char *type;
	const char *help;
	size_t at; /* uint64_t in struct facts */
};

static const struct metric metrics[] = {
	{"narthex_subjects", "gauge", "Subjects known", offsetof(struct facts, counts.subjects)},
	{"narthex_studies", "gauge", "Studies held", offsetof(struct facts, counts.studies)},
	{"narthex_series", "gauge", "Series held", offsetof(struct facts, counts.series)},
	{"narthex_items", "gauge", "Instances and objects held",
		offsetof(struct facts, counts.items)},
	{"narthex_held_bytes", "gauge", "Bytes held, as received",
		offsetof(struct facts, counts.bytes)},
	{"narthex_quarantine_items", "gauge", "Items in quarantine",
		offsetof(struct facts, counts.quarantined)},
	{"narthex_quarantine_bytes", "gauge", "Bytes in quarantine, as received",
		offsetof(struct facts, counts.quarantined_bytes)},
	{"narthex_ingest_stored_total", "counter", "Items stored",
		offsetof(struct facts, ingest.stored)},
	{"narthex_ingest_duplicates_total", "counter", "Items that were there already",
		offsetof(struct facts, ingest.duplicates)},
	{"narthex_ingest_versions_total", "counter", "Items stored as a new version",
		offsetof(struct facts, ingest.versions)},
	{"narthex_ingest_quarantined_total", "counter", "Items put into quarantine",
		offsetof(struct facts, ingest.quarantined)},
	{"narthex_ingest_refused_total", "counter", "Items refused",
		offsetof(struct facts, ingest.refused)},
	{"narthex_ingest_bytes_total", "counter", "Bytes taken in",
		offsetof(struct facts, ingest.bytes)},
	{"narthex_commit_groups_total", "counter", "Commit groups made durable",
		offsetof(struct facts, archive.groups)},
	{"narthex_commit_changes_total", "counter", "Changes in commit groups",
		offsetof(struct facts, archive.changes)},
	{"narthex_commit_bytes_total", "counter", "Bytes written to packs",
		offsetof(struct facts, archive.bytes_written)},
	{"narthex_commit_queue", "gauge", "Changes that wait for the committer",
		offsetof(struct facts, archive.queue)},
	{"narthex_ledger_entries", "counter", "Entries of the ledger",
		offsetof(struct facts, ledger)},
	{"narthex_keys_subjects", "gauge", "Subject keys", offsetof(struct facts, keys.n_subjects)},
	{"narthex_keys_erased_total", "counter",
		"Subjects erased and items of quarantine discarded",
		offsetof(struct facts, keys.n_erased)},
	{"narthex_pool_free_bytes", "gauge", "Room for new packs",
		offsetof(struct facts, free_bytes)},
	{"process_resident_memory_bytes", "gauge", "Resident memory of the process",
		offsetof(struct facts, rss)},
};

nx_rc nx_report_metrics(struct nx_report *report, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err)
{
	struct facts f;
	uint64_t value;
	nx_rc rc = report_guard(report, who, NX_PERM_MONITOR, "metrics", err);

	if (!rc)
		rc = facts_take(report, &f, err);
	if (rc)
		return rc;
	nx_metric(out, "narthex_build_info", "gauge", "What was built",
		"{version=\"" NX_VERSION "\"}", true, 1);
	for (size_t i = 0; i < NX_ARRAY_LEN(metrics); i++) {
		memcpy(&value, (const char *)&f + metrics[i].at, sizeof(value));
		nx_metric(out, metrics[i].name, metrics[i].type, metrics[i].help, "", true, value);
	}
	nx_metric(out, "narthex_commit_last_group_microseconds", "gauge",
		"Duration of the last commit group", "", true, (uint64_t)f.archive.last_group_us);
	nx_metric(out, "process_start_time_seconds", "gauge", "Start of the process", "", true,
		(uint64_t)(report->started_us / 1000000));
	return nx_buf_check(out, err);
}
