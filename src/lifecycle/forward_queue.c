/* The queue of forwarding, for administrators: look, try again, forget, put in by hand. */
#include <string.h>

#include "lifecycle/forward_priv.h"

enum {
	LIST_MAX = 1000,
	ORDER_MAX = 1000 /* instances of one change */
};

static const char *const kinds[] = {
	[NX_DELIVERY_STORE] = "store",
	[NX_DELIVERY_COMMIT] = "commit",
	[NX_DELIVERY_REPORT] = "report",
};
static const char *const states[] = {
	[NX_DELIVERY_WAITING] = "waiting",
	[NX_DELIVERY_ASKED] = "asked",
	[NX_DELIVERY_DEAD] = "dead",
};

static const char *word(const char *const *words, size_t n, int64_t i)
{
	return i >= 0 && (uint64_t)i < n ? words[i] : NULL;
}

static int64_t state_parse(const char *text)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(states); i++)
		if (states[i] && strcmp(states[i], text) == 0)
			return (int64_t)i;
	return -1;
}

/* ---- looking ---- */

struct listing {
	struct nx_cat *cat;
	struct nx_json json;
	unsigned n;
	int64_t last;
};

/* The item may be gone, and with it what it was. */
static void uids_json(struct listing *l, int64_t id)
{
	NX_AUTO(nx_arena) *arena = admin_arena(NULL);
	struct nx_delivery d = {0};

	if (arena && id)
		(void)!forward_names(l->cat, id, arena, &d);
	nx_json_kv_str(&l->json, "study", d.study);
	nx_json_kv_str(&l->json, "instance", d.sop_instance);
}

static nx_rc delivery_json(void *payload, const void *row, struct nx_err *err)
{
	struct listing *l = payload;
	const struct nx_delivery_row *d = row;
	struct nx_json *json = &l->json;

	(void)err;
	nx_json_object_begin(json);
	nx_json_kv_int(json, "number", d->id);
	nx_json_kv_str(json, "kind", word(kinds, NX_ARRAY_LEN(kinds), d->kind));
	nx_json_kv_str(json, "state", word(states, NX_ARRAY_LEN(states), d->state));
	nx_json_kv_str(json, "destination", d->destination);
	nx_json_kv_int(json, "tries", d->tries);
	admin_json_time(json, "due", d->state == NX_DELIVERY_DEAD ? 0 : d->due_us);
	nx_json_kv_int(json, "status", d->status);
	nx_json_kv_str(json, "error", d->code ? nx_rc_wire((nx_rc)d->code) : NULL);
	nx_json_kv_str(json, "for", d->principal);
	uids_json(l, d->item);
	admin_json_time(json, "created", d->created_us);
	nx_json_object_end(json);
	l->n++;
	l->last = d->id;
	return NX_OK;
}

static nx_rc queue_guard(
	struct nx_forward *f, const struct nx_principal *who, const char *what, struct nx_err *err)
{
	const struct note note = {.action = NX_ACTION_QUERY, .what = what};
	nx_rc rc = admin_guard(f->opts.admin, who, NX_PERM_ADMIN, what, err);

	return rc ? rc : admin_record(f->opts.admin, who, &note, err);
}

nx_rc nx_forward_queue(struct nx_forward *forward, const struct nx_principal *who,
	const struct nx_forward_find *find, struct nx_buf *out, struct nx_err *err)
{
	struct listing l = {.cat = nx_archive_cat(forward->opts.archive)};
	int64_t state = find->state ? state_parse(find->state) : 0;
	unsigned limit = find->limit && find->limit < LIST_MAX ? find->limit : LIST_MAX;
	nx_rc rc;

	if (state < 0)
		return nx_err_set(err, NX_E_INVAL, "no such state");
	rc = queue_guard(forward, who, "forward.queue", err);
	if (rc)
		return rc;
	nx_archive_barrier(forward->opts.archive);
	nx_json_init(&l.json, out);
	nx_json_object_begin(&l.json);
	nx_json_key(&l.json, "deliveries");
	nx_json_array_begin(&l.json);
	rc = nx_cat_deliveries(l.cat,
		&(struct nx_deliveries_of){.after_id = find->after,
			.state = state,
			.destination = find->destination,
			.limit = limit},
		delivery_json, &l, err);
	if (rc)
		return rc;
	nx_json_array_end(&l.json);
	nx_json_key(&l.json, "next");
	if (l.n == limit)
		nx_json_int(&l.json, l.last);
	else
		nx_json_null(&l.json);
	nx_json_object_end(&l.json);
	return nx_buf_check(out, err);
}

/* ---- trying again, forgetting ---- */

struct picking {
	struct nx_forward *f;
	struct nx_change *change;
	nx_rc (*each)(struct nx_change *change, struct nx_delivery_row *row, struct nx_err *err);
	int64_t only; /* this number; 0: any */
	int64_t last;
	uint64_t n;
	bool found_no_more;
};

static nx_rc picked(void *payload, const void *row, struct nx_err *err)
{
	struct picking *p = payload;
	struct nx_delivery_row d = *(const struct nx_delivery_row *)row;

	p->last = d.id;
	if (p->only && d.id != p->only)
		return NX_OK;
	p->n++;
	return forward_knows(p->f, d.destination)
		? p->each(p->change, &d, err)
		: nx_err_set(err, NX_E_NOMEM, "no memory for a destination");
}

static nx_rc drop_each(struct nx_change *change, struct nx_delivery_row *row, struct nx_err *err)
{
	return forward_row_drop(change, row, err);
}

/* A thousand rows at most: a change is one piece. */
static nx_rc some_change(struct picking *p, const struct nx_forward_pick *pick,
	const struct nx_principal *who, const char *what, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	uint64_t before = p->n;
	char number[24];
	struct note note = {.action = NX_ACTION_CONFIG_CHANGE,
		.what = what,
		.keys = {"deliveries", "destination"},
		.values = {number, pick->destination}};
	nx_rc rc;

	if (!change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	p->change = change;
	nx_archive_barrier(p->f->opts.archive);
	rc = nx_cat_deliveries(nx_archive_cat(p->f->opts.archive),
		&(struct nx_deliveries_of){.after_id = p->last,
			.state = pick->number ? 0 : NX_DELIVERY_DEAD,
			.destination = pick->destination,
			.limit = pick->number ? 1 : LIST_MAX},
		picked, p, err);
	p->found_no_more = p->n - before < LIST_MAX;
	if (rc || p->n == before)
		return rc;
	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)(p->n - before));
	rc = admin_change_note(who, &note, change, err);
	return rc ? rc : nx_archive_commit(p->f->opts.archive, change, err);
}

static nx_rc pick_run(struct nx_forward *f, const struct nx_principal *who,
	const struct nx_forward_pick *pick, const char *what,
	nx_rc (*each)(struct nx_change *change, struct nx_delivery_row *row, struct nx_err *err),
	uint64_t *ret_n, struct nx_err *err)
{
	struct picking p = {.f = f,
		.each = each,
		.only = pick->number,
		.last = pick->number ? pick->number - 1 : 0};
	nx_rc rc = admin_guard(f->opts.admin, who, NX_PERM_ADMIN, what, err);

	while (!rc && !p.found_no_more)
		rc = some_change(&p, pick, who, what, err);
	if (!rc && pick->number && !p.n)
		rc = nx_err_set(err, NX_E_NOENT, "no such delivery");
	if (rc)
		return rc;
	forward_look(f);
	*ret_n = p.n;
	return NX_OK;
}

nx_rc nx_forward_retry(struct nx_forward *forward, const struct nx_principal *who,
	const struct nx_forward_pick *pick, uint64_t *ret_n, struct nx_err *err)
{
	return pick_run(forward, who, pick, "forward.retry", forward_row_retry, ret_n, err);
}

nx_rc nx_forward_drop(struct nx_forward *forward, const struct nx_principal *who,
	const struct nx_forward_pick *pick, uint64_t *ret_n, struct nx_err *err)
{
	return pick_run(forward, who, pick, "forward.drop", drop_each, ret_n, err);
}

/* ---- by hand ---- */

struct ordering {
	struct nx_forward *f;
	const struct nx_principal *who;
	const struct nx_forward_order *order;
	struct nx_study study;
	struct nx_arena *arena;
	struct nx_change *change;
	uint64_t n;        /* all */
	uint64_t n_change; /* of the change at hand */
};

/* What was queued since the last one. */
static nx_rc order_commit(struct ordering *o, struct nx_err *err)
{
	char number[24];
	const struct note note = {.action = NX_ACTION_CONFIG_CHANGE,
		.what = "forward.send",
		.keys = {"deliveries", "destination", "study"},
		.values = {number, o->order->destination, o->order->study}};
	nx_rc rc;

	if (!o->n_change)
		return NX_OK;
	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)o->n_change);
	rc = admin_change_note(o->who, &note, o->change, err);
	if (!rc)
		rc = nx_archive_commit(o->f->opts.archive, o->change, err);
	o->change = nx_change_free(o->change);
	o->n_change = 0;
	return rc;
}

static nx_rc item_order(void *payload, const void *row, struct nx_err *err)
{
	struct ordering *o = payload;
	const struct nx_item *item = row;
	struct nx_delivery_row d;
	struct nx_op op;
	nx_rc rc;

	if (!o->change)
		o->change = nx_change_new();
	if (!o->change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	forward_row_init(o->f, &d, o->order->destination);
	d.principal = o->who->name;
	d.collection = item->collection;
	d.subject = item->subject;
	d.item = item->id;
	d.commitment = o->order->commitment;
	nx_arena_reset(o->arena);
	if (nx_op_put_delivery(&d, o->arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a delivery");
	rc = nx_change_op(o->change, &op, err);
	o->n++;
	return !rc && ++o->n_change == ORDER_MAX ? order_commit(o, err) : rc;
}

static nx_rc series_order(void *payload, const void *row, struct nx_err *err)
{
	struct ordering *o = payload;
	const struct nx_series *series = row;

	return nx_cat_items_of(nx_archive_cat(o->f->opts.archive), series->id, item_order, o, err);
}

static nx_rc order_find(struct ordering *o, struct nx_err *err)
{
	struct nx_cat *cat = nx_archive_cat(o->f->opts.archive);
	struct nx_destination_row destination;
	struct nx_collection collection;
	nx_rc rc = nx_cat_destination(cat, o->order->destination, o->arena, &destination, err);

	if (!rc)
		rc = nx_cat_collection(cat, o->order->collection, o->arena, &collection, err);
	nx_archive_barrier(o->f->opts.archive);
	if (!rc)
		rc = nx_cat_study(cat, collection.id, o->order->study, o->arena, &o->study, err);
	return rc;
}

static nx_rc order_run(struct ordering *o, struct nx_err *err)
{
	nx_rc rc = order_find(o, err);

	if (rc)
		return rc;
	if (!forward_knows(o->f, o->order->destination))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a destination");
	rc = nx_cat_series_of(
		nx_archive_cat(o->f->opts.archive), o->study.id, series_order, o, err);
	if (!rc)
		rc = order_commit(o, err);
	o->change = nx_change_free(o->change);
	forward_look(o->f);
	if (!rc && !o->n)
		rc = nx_err_set(err, NX_E_NOENT, "no such instances");
	return rc;
}

nx_rc nx_forward_send(struct nx_forward *forward, const struct nx_principal *who,
	const struct nx_forward_order *order, uint64_t *ret_n, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	struct ordering o = {.f = forward, .who = who, .order = order, .arena = arena};
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	rc = admin_guard(forward->opts.admin, who, NX_PERM_ADMIN, "forward.send", err);
	if (!rc)
		rc = order_run(&o, err);
	if (!rc)
		*ret_n = o.n;
	return rc;
}
