/*
 * Deleting instances: what is selected is hidden, nothing is lost.  The entries name who did it,
 * and are in the same group.
 */
#include "base/json.h"
#include "ledger/detail.h"
#include "retrieve/instances_priv.h"

static nx_rc entry_add(struct nx_change *change, const struct nx_principal *who,
	const struct nx_selection *sel, uint64_t subject, size_t n, struct nx_err *err)
{
	struct nx_entry_draft draft = {.action = NX_ACTION_ITEM_DELETE,
		.principal = who->name,
		.subject = subject,
		.study = sel->study};
	NX_AUTO_DONE(nx_detail) detail;
	nx_rc rc;

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "collection", sel->collection);
	if (sel->instance || sel->series)
		nx_json_kv_str(&detail.json, "what", sel->instance ? sel->instance : sel->series);
	nx_json_kv_int(&detail.json, "instances", (int64_t)n);
	rc = nx_detail_end(&detail, who->peer, &draft, err);
	return rc ? rc : nx_change_entry(change, &draft, NULL, err);
}

/* One for every subject whose instances are among them. */
static nx_rc entries_add(struct nx_change *change, const struct nx_principal *who,
	const struct nx_selection *sel, const struct nx_instances *x, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < x->n && !rc; i++) {
		int64_t subject = x->items[i].subject;
		bool told = false;
		size_t n = 0;

		for (size_t k = 0; k < x->n && !told; k++) {
			told = k < i && x->items[k].subject == subject;
			n += x->items[k].subject == subject;
		}
		if (!told)
			rc = entry_add(change, who, sel, (uint64_t)subject, n, err);
	}
	return rc;
}

nx_rc nx_retrieve_delete(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection *sel, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	NX_AUTO(nx_instances) *x = NULL;
	nx_rc rc;

	if (!change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	rc = instances_select(retrieve, who, NX_PERM_DELETE, sel, &x, err);
	for (size_t i = 0; !rc && i < x->n; i++)
		rc = nx_change_remove(change, &x->items[i], err);
	if (!rc)
		rc = entries_add(change, who, sel, x, err);
	return rc ? rc : nx_archive_commit(retrieve->archive, change, err);
}
