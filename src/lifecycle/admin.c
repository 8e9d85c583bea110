#include "lifecycle/admin.h"

#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "lifecycle/admin_priv.h"

enum {
	DETAIL_MAX = 8192,
	LIST_MAX = 10000,
	ARENA_MAX = 16 * 1024 * 1024
};

struct nx_admin *nx_admin_new(
	struct nx_archive *archive, const char *environment, const char *on_conflict)
{
	struct nx_admin *admin = calloc(1, sizeof(*admin));

	if (!admin)
		return NULL;
	admin->archive = archive;
	admin->environment = environment;
	admin->on_conflict = on_conflict;
	(void)pthread_mutex_init(&admin->lock, NULL);
	return admin;
}

struct nx_admin *nx_admin_free(struct nx_admin *admin)
{
	if (!admin)
		return NULL;
	(void)pthread_mutex_destroy(&admin->lock);
	free(admin);
	return NULL;
}

struct nx_arena *admin_arena(struct nx_err *err)
{
	struct nx_arena *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);

	if (!arena)
		(void)nx_err_set(err, NX_E_NOMEM, "no memory for administration");
	return arena;
}

void admin_json_time(struct nx_json *json, const char *key, int64_t us)
{
	char text[NX_TIME_TEXT];

	if (us)
		nx_time_format(us, text);
	nx_json_kv_str(json, key, us ? text : NULL);
}

nx_rc admin_name_check(const char *what, const char *name, bool upper, struct nx_err *err)
{
	size_t n = strlen(name);

	if (n == 0 || n > NX_LIMIT_NAME)
		return nx_err_set(err, NX_E_INVAL, "%s of %zu characters; 1 to %u are allowed",
			what, n, NX_LIMIT_NAME);
	for (size_t i = 0; i < n; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			    (upper && c >= 'A' && c <= 'Z') || c == '_' || c == '-' ||
			    (c == '.' && i > 0)))
			return nx_err_set(
				err, NX_E_INVAL, "%s: character %zu is not allowed", what, i + 1);
	}
	return NX_OK;
}

/* ---- entries ---- */

static void note_draft(const struct nx_principal *who, const struct note *note,
	struct nx_buf *detail, struct nx_entry_draft *ret)
{
	struct nx_json json;

	nx_json_init(&json, detail);
	nx_json_object_begin(&json);
	if (note->what)
		nx_json_kv_str(&json, "what", note->what);
	for (size_t i = 0; i < NX_ARRAY_LEN(note->keys) && note->keys[i]; i++)
		nx_json_kv_str(&json, note->keys[i], note->values[i]);
	if (who->peer[0])
		nx_json_kv_str(&json, "peer", who->peer);
	nx_json_object_end(&json);
	*ret = (struct nx_entry_draft){
		.action = note->action,
		.outcome = note->outcome,
		.principal = who->name,
		.detail = nx_buf_slice(detail),
	};
}

nx_rc admin_record(struct nx_admin *admin, const struct nx_principal *who, const struct note *note,
	struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) detail;
	struct nx_entry_draft draft;
	nx_rc rc;

	nx_buf_init(&detail, DETAIL_MAX, 0);
	note_draft(who, note, &detail, &draft);
	rc = nx_buf_check(&detail, err);
	return rc ? rc : nx_archive_record(admin->archive, &draft, err);
}

nx_rc admin_guard(struct nx_admin *admin, const struct nx_principal *who, enum nx_perm perm,
	const char *what, struct nx_err *err)
{
	const struct note note = {
		.action = NX_ACTION_ACCESS_DENY, .outcome = NX_OUTCOME_MINOR, .what = what};
	nx_rc rc = nx_access_check(who, perm, NULL, err);
	struct nx_err why;

	if (rc && admin_record(admin, who, &note, &why))
		nx_log_err(NX_LOG_ERROR, "lifecycle", "ledger.record", &why);
	return rc;
}

nx_rc admin_change_note(const struct nx_principal *who, const struct note *note,
	struct nx_change *change, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) detail;
	struct nx_entry_draft draft;
	nx_rc rc;

	nx_buf_init(&detail, DETAIL_MAX, 0);
	note_draft(who, note, &detail, &draft);
	rc = nx_buf_check(&detail, err);
	return rc ? rc : nx_change_entry(change, &draft, NULL, err);
}

nx_rc admin_change(struct nx_admin *admin, const struct nx_principal *who, const struct nx_op *op,
	const struct note *note, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	nx_rc rc;

	if (!change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	rc = nx_change_op(change, op, err);
	if (!rc)
		rc = admin_change_note(who, note, change, err);
	if (!rc)
		rc = nx_archive_commit(admin->archive, change, err);
	/* What was answered is seen by the next call, look-ups without a barrier included. */
	if (!rc)
		nx_archive_barrier(admin->archive);
	return rc;
}

/* ---- lists ---- */

void admin_json_text(struct nx_json *json, const char *key, const struct nx_val *v)
{
	nx_json_key(json, key);
	nx_json_str_n(json, (const char *)v->s.p, v->s.n);
}

nx_rc admin_list(struct nx_admin *admin, const struct nx_principal *who,
	const struct admin_listing *listing, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	struct nx_op *rows = NULL;
	struct nx_json json;
	size_t n = 0;
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	rc = admin_guard(admin, who, NX_PERM_ADMIN, listing->what, err);
	if (rc)
		return rc;
	nx_archive_barrier(admin->archive);
	rc = nx_cat_rows(nx_archive_cat(admin->archive),
		&(struct nx_rows_of){.table = listing->table, .limit = LIST_MAX}, arena, &rows, &n,
		err);
	if (rc)
		return rc;
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_key(&json, listing->name);
	nx_json_array_begin(&json);
	for (size_t i = 0; i < n; i++) {
		nx_json_object_begin(&json);
		listing->row(&json, rows[i].vals);
		nx_json_object_end(&json);
	}
	nx_json_array_end(&json);
	nx_json_object_end(&json);
	return nx_buf_check(out, err);
}

/* ---- the site ---- */

nx_rc nx_admin_site_create(struct nx_admin *admin, const struct nx_principal *who, const char *name,
	struct nx_err *err)
{
	const struct note note = {.action = NX_ACTION_SITE_CREATE,
		.keys = {"site", "environment"},
		.values = {name, admin->environment}};

	return admin_record(admin, who, &note, err);
}

nx_rc nx_admin_site_run(struct nx_admin *admin, bool start, struct nx_err *err)
{
	static const struct nx_principal system = {.kind = NX_PRINCIPAL_SYSTEM};
	const struct note note = {.action = start ? NX_ACTION_SITE_START : NX_ACTION_SITE_STOP};

	return admin_record(admin, &system, &note, err);
}
