#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "ledger/detail.h"
#include "pixelbox/pixelbox.h"
#include "retrieve/instances_priv.h"

enum {
	SCOPE_MAX = 2048
};

static nx_rc entry_write(struct nx_retrieve *r, const struct nx_principal *who,
	const struct access_note *n, enum nx_outcome outcome, struct nx_err *err)
{
	NX_AUTO_DONE(nx_detail) detail;
	struct nx_entry_draft draft = {
		.action = n->action,
		.outcome = outcome,
		.principal = who->name,
		.subject = n->subject,
		.study = n->study,
	};
	nx_rc rc;

	nx_detail_begin(&detail);
	if (n->collection)
		nx_json_kv_str(&detail.json, "collection", n->collection);
	if (n->what)
		nx_json_kv_str(&detail.json, "what", n->what);
	if (n->to)
		nx_json_kv_str(&detail.json, "to", n->to);
	rc = nx_detail_end(&detail, who->peer, &draft, err);
	return rc ? rc : nx_archive_record(r->archive, &draft, err);
}

nx_rc guard(struct nx_retrieve *r, const struct nx_principal *who, enum nx_perm perm,
	const char *collection, struct nx_collection *ret, struct nx_arena *arena,
	struct nx_err *err)
{
	const struct access_note n = {.action = NX_ACTION_ACCESS_DENY, .collection = collection};
	nx_rc rc = nx_access_check(who, perm, collection, err);
	struct nx_err why;

	if (rc) {
		if (entry_write(r, who, &n, NX_OUTCOME_MINOR, &why))
			nx_log_err(NX_LOG_ERROR, "retrieve", "ledger.record", &why);
		return rc;
	}
	return nx_cat_collection(nx_archive_cat(r->archive), collection, arena, ret, err);
}

/* Was this scope opened by this session within the last minute? */
static bool opened_recently(struct nx_retrieve *r, struct nx_slice scope, int64_t now)
{
	const int64_t *when;
	bool recent;

	(void)pthread_mutex_lock(&r->lock);
	when = nx_map_get(r->opened, scope);
	recent = when && now - *when < OPENING_US;
	(void)pthread_mutex_unlock(&r->lock);
	return recent;
}

static void value_free(struct nx_slice key, void *value, void *payload)
{
	(void)key;
	(void)payload;
	free(value);
}

/* Forgetting one only costs an entry more. */
static void opened_remember(struct nx_retrieve *r, struct nx_slice scope, int64_t now)
{
	int64_t *when = malloc(sizeof(*when));
	void *old = NULL;

	if (!when)
		return;
	*when = now;
	(void)pthread_mutex_lock(&r->lock);
	if (nx_map_len(r->opened) >= OPENED_MAX) {
		struct nx_map *fresh = nx_map_new();

		if (fresh) {
			nx_map_each(r->opened, value_free, NULL);
			nx_map_free(r->opened);
			r->opened = fresh;
		}
	}
	if (nx_map_put(r->opened, scope, when, &old))
		when = old;
	(void)pthread_mutex_unlock(&r->lock);
	free(when);
}

/* A study and an object may have the same name, and either may be another subject's by now. */
static void scope_make(
	const struct nx_principal *who, const struct access_note *n, struct nx_buf *out)
{
	const char *name = n->study ? n->study : n->what;

	nx_buf_printf(out, "%s|%s|%u|%016" PRIx64 "|%s|%s|%s|%s", who->session, who->name,
		n->action, n->subject, n->collection ? n->collection : "", n->to ? n->to : "",
		n->study ? "study" : "object", name ? name : "");
}

nx_rc note(struct nx_retrieve *r, const struct nx_principal *who, const struct access_note *n,
	bool shared, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) scope;
	int64_t now = nx_mono_us();
	nx_rc rc;

	nx_buf_init(&scope, SCOPE_MAX, NX_BUF_WIPE);
	scope_make(who, n, &scope);
	if (shared && !scope.failed && opened_recently(r, nx_buf_slice(&scope), now))
		return NX_OK;
	rc = entry_write(r, who, n, NX_OUTCOME_OK, err);
	if (!rc && shared && !scope.failed)
		opened_remember(r, nx_buf_slice(&scope), now);
	return rc;
}

struct nx_retrieve *nx_retrieve_new(struct nx_archive *archive)
{
	const struct nx_pixelbox_opts opts = {0};
	const long processors = sysconf(_SC_NPROCESSORS_ONLN);
	struct nx_retrieve *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->archive = archive;
	r->opened = nx_map_new();
	r->worklist_offered = 1u << NX_WORKLIST_SCHEDULED | 1u << NX_WORKLIST_STARTED |
		1u << NX_WORKLIST_DISCONTINUED;
	r->records = series_records_new();
	r->rendering_max = processors > 0 ? (unsigned)processors : 1;
	(void)pthread_mutex_init(&r->lock, NULL);
	(void)pthread_mutex_init(&r->commit_lock, NULL);
	(void)pthread_cond_init(&r->rendered, NULL);
	if (!r->opened || !r->records || nx_pixelbox_new(&opts, &r->box, NULL))
		return nx_retrieve_free(r);
	return r;
}

struct nx_retrieve *nx_retrieve_free(struct nx_retrieve *retrieve)
{
	if (!retrieve)
		return NULL;
	series_records_free(retrieve->records);
	nx_pixelbox_free(retrieve->box);
	if (retrieve->opened)
		nx_map_each(retrieve->opened, value_free, NULL);
	nx_map_free(retrieve->opened);
	(void)pthread_cond_destroy(&retrieve->rendered);
	(void)pthread_mutex_destroy(&retrieve->lock);
	(void)pthread_mutex_destroy(&retrieve->commit_lock);
	free(retrieve);
	return NULL;
}

struct nx_pixelbox *nx_retrieve_workers(const struct nx_retrieve *retrieve)
{
	return retrieve->box;
}

void nx_retrieve_stats(struct nx_retrieve *retrieve, struct nx_retrieve_stats *ret)
{
	struct nx_pixelbox_counts counts;

	series_record_stats(retrieve, ret);
	nx_pixelbox_count(retrieve->box, &counts);
	ret->frames = counts.frames;
	ret->workers_started = counts.started;
	ret->workers_died = counts.died;
	ret->workers_killed = counts.killed;
}
