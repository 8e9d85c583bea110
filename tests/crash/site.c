#include "site.h"

#include <assert.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "crypto/crypto.h"
#include "cut.h"
#include "store/pool_drv.h"

/* ---- small things ---- */

bool site_wrong(struct site *s, const char *fmt, ...)
{
	va_list ap;

	if (s->why[0])
		return false;
	va_start(ap, fmt);
	(void)vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	return false;
}

static uint64_t dice(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static void fill(uint8_t *p, size_t n, uint64_t seed)
{
	uint64_t x = seed * 2654435761u + 88172645463325252ull;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)x;
	}
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* ---- open and close ---- */

bool site_open(struct site *s, bool rebuild)
{
	struct nx_cat_opts cat = {.path = s->cat_path, .key = &s->cat_key, .vfs = cut_vfs()};
	struct nx_archive_opts opts = {
		.ledger_dir = s->ledger_dir, .origin = "example.org/crash", .rebuild = rebuild};
	struct nx_err err;

	if (nx_keys_open(&s->key_opts, &s->keys, &err))
		return site_wrong(s, "keys do not open: %s", nx_err_text(&err));
	if (!s->pool && nx_pool_open(s->pool_uri, &s->pool, &err))
		return site_wrong(s, "pool does not open: %s", nx_err_text(&err));
	if (nx_cat_open(&cat, &s->cat, &err))
		return site_wrong(s, "catalog does not open: %s", nx_err_text(&err));
	opts.pool = s->pool;
	opts.keys = s->keys;
	opts.cat = s->cat;
	if (nx_archive_open(&opts, &s->archive, &err))
		return site_wrong(s, "archive does not open: %s", nx_err_text(&err));
	s->fresh = true;
	return true;
}

void site_close(struct site *s)
{
	s->archive = nx_archive_free(s->archive);
	s->cat = nx_cat_free(s->cat);
	s->keys = nx_keys_free(s->keys);
}

static bool collection_make(struct site *s, struct nx_collection *c, const char *name,
	const char *domain, const char *detail)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	NX_AUTO(nx_arena) *arena = nx_arena_new(1u << 20, 0);
	struct nx_entry_draft draft = {.action = NX_ACTION_COLLECTION_CREATE,
		.principal = "crash",
		.detail = nx_slice_str(detail)};
	struct nx_err err;
	struct nx_op op;
	uint32_t id;

	if (nx_keys_domain(s->keys, domain, true, &id, &err))
		return false;
	*c = (struct nx_collection){
		.id = (int64_t)nx_archive_next_id(s->archive, NX_T_COLLECTION),
		.name = name,
		.project = "crash",
		.zone = NX_ZONE_LANDING,
		.domain_name = domain,
		.domain = id,
		.tags = "{}",
		.on_conflict = "version",
		.created_us = 1,
	};
	return !nx_op_put_collection(c, arena, &op) && !nx_change_op(change, &op, &err) &&
		!nx_change_entry(change, &draft, NULL, &err) &&
		!nx_archive_commit(s->archive, change, &err);
}

struct site *site_new(const char *pool, uint64_t seed)
{
	static const char *const names[SITE_COLLECTIONS] = {"one", "two", "three"};
	static const char *const domains[SITE_COLLECTIONS] = {"crash/1", "crash/2", "crash/3"};
	struct site *s = calloc(1, sizeof(*s));
	struct nx_err err;

	assert(s);
	s->writers = calloc(SITE_THREADS, sizeof(*s->writers));
	assert(s->writers && !nx_crypto_init(&err));
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/nx-crash-XXXXXX");
	if (!mkdtemp(s->dir))
		abort();
	for (int i = 0; i < 2; i++) {
		(void)snprintf(s->keys_dir[i], sizeof(s->keys_dir[i]), "%s/keys%d", s->dir, i);
		s->places[i] = s->keys_dir[i];
	}
	(void)snprintf(s->cat_path, sizeof(s->cat_path), "%s/catalog.db", s->dir);
	(void)snprintf(s->ledger_dir, sizeof(s->ledger_dir), "%s/ledger", s->dir);
	if (strcmp(pool, "fault:dir:") == 0)
		(void)snprintf(s->pool_uri, sizeof(s->pool_uri), "%s%s/pool", pool, s->dir);
	else
		(void)snprintf(s->pool_uri, sizeof(s->pool_uri), "%s", pool);
	s->key_opts = (struct nx_keys_opts){.driver = "file",
		.places = s->places,
		.n_places = 2,
		.passphrase = nx_slice_str("correct horse"),
		.argon2_kib = 8};
	memset(s->cat_key.b, 7, sizeof(s->cat_key.b));
	for (unsigned i = 0; i < SITE_THREADS; i++) {
		s->writers[i].site = s;
		s->writers[i].id = i;
		s->writers[i].rng = seed * 1000 + i;
	}
	if (nx_keys_create(&s->key_opts, &err) || !site_open(s, false))
		abort();
	for (unsigned i = 0; i < SITE_COLLECTIONS; i++)
		if (!collection_make(s, &s->collections[i], names[i], domains[i], "{}"))
			abort();
	return s;
}

struct site *site_free(struct site *s)
{
	site_close(s);
	nx_pool_free(s->pool);
	(void)pthread_mutex_destroy(&s->lock);
	(void)nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(s->writers);
	free(s);
	return NULL;
}

/* ---- load ---- */

struct drafted {
	struct nx_entry_draft draft;
	char detail[64];
	unsigned number;
};

static struct drafted draft_make(struct writer *w, unsigned action)
{
	struct drafted d = {.number = w->n_ops++};

	assert(w->n_ops < SITE_OPS);
	w->ops[d.number] = OP_SENT;
	(void)snprintf(d.detail, sizeof(d.detail), "{\"op\":\"%u-%u\"}", w->id, d.number);
	d.draft.action = action;
	d.draft.principal = "crash";
	return d;
}

static nx_rc blob_make(struct site *s, const struct nx_collection *c, uint8_t *p, size_t n,
	bool known, struct nx_blob **ret)
{
	NX_AUTO(nx_blob_writer) *writer = NULL;
	struct nx_err err;
	nx_rc rc = nx_blob_writer_new(s->archive, (uint32_t)c->domain, known ? n : UINT64_MAX,
		NX_BLOB_COMPRESS, &writer, &err);

	for (size_t at = 0; at < n && !rc;) {
		size_t take = n - at > 300000 ? 300000 : n - at;

		rc = nx_blob_writer_put(writer, p + at, take, &err);
		at += take;
	}
	return rc ? rc : nx_blob_writer_finish(writer, ret, &err);
}

static struct content content_make(struct writer *w)
{
	struct content c = {.seed = dice(&w->rng) >> 8 | 1};
	uint64_t kind = dice(&w->rng) % 100;

	c.header = (uint32_t)(1 + dice(&w->rng) % (kind < 90 ? 3000 : 65536));
	if (kind % 10 < 2)
		c.bulk = (uint32_t)(1 + dice(&w->rng) % 400000);
	if (kind == 50)
		c.bulk = (uint32_t)(1500000 + dice(&w->rng) % 2000000); /* several extents */
	return c;
}

struct put_parts {
	struct nx_blob *blobs[2];
	struct nx_recipe_part parts[2];
	size_t n;
};

static nx_rc parts_make(struct writer *w, const struct nx_collection *c, const struct content *what,
	struct put_parts *ret)
{
	size_t sizes[2] = {what->header, what->bulk};
	nx_rc rc = NX_OK;

	*ret = (struct put_parts){.n = what->bulk ? 2 : 1};
	for (size_t i = 0; i < ret->n && !rc; i++) {
		uint8_t *p = malloc(sizes[i]);

		assert(p);
		fill(p, sizes[i], what->seed + i);
		rc = blob_make(w->site, c, p, sizes[i], dice(&w->rng) % 2, &ret->blobs[i]);
		free(p);
		ret->parts[i] = (struct nx_recipe_part){
			.kind = NX_PART_BLOB, .blob = (uint32_t)i, .len = sizes[i]};
	}
	for (size_t i = 0; i < ret->n && rc; i++)
		ret->blobs[i] = nx_blob_free(ret->blobs[i]);
	return rc;
}

static nx_rc put_run(struct writer *w, struct name *name, unsigned number,
	const struct content *what, struct nx_put *put)
{
	const struct nx_collection *c = &w->site->collections[name->collection];
	struct nx_entry_draft *draft;
	struct nx_change *change;
	struct put_parts parts;
	struct drafted d;
	struct nx_err err;
	char study[32], series[32], sop[32], patient[16];
	struct nx_study st = {.uid = study, .patient_id = patient, .patient_name = "TEST^NAME"};
	struct nx_series se = {.uid = series, .modality = name->patient % 2 ? "CT" : "MR"};
	struct nx_item item = {.name = sop, .type = "1.2.840.10008.5.1.4.1.1.2"};
	nx_rc rc;

	(void)snprintf(patient, sizeof(patient), "P%u", name->patient);
	(void)snprintf(study, sizeof(study), "1.3.%u", name->patient);
	(void)snprintf(series, sizeof(series), "1.3.%u.%u", name->patient, number % 3);
	(void)snprintf(sop, sizeof(sop), "%s.%u.%u", name->object ? "obj" : "1.2", w->id, number);
	item.size = (int64_t)what->header + what->bulk;
	rc = parts_make(w, c, what, &parts);
	if (rc)
		return rc;
	*put = (struct nx_put){.collection = c,
		.study = name->object ? NULL : &st,
		.series = name->object ? NULL : &se,
		.item = &item,
		.blobs = parts.blobs,
		.n_blobs = parts.n,
		.parts = parts.parts,
		.n_parts = parts.n};
	d = draft_make(w, name->object ? NX_ACTION_OBJECT_PUT : NX_ACTION_INSTANCE_STORE);
	draft = &d.draft;
	draft->detail = nx_slice_str(d.detail);
	draft->study = name->object ? NULL : study;
	change = nx_change_new();
	assert(change);
	rc = nx_change_put(change, put, &err);
	assert(!rc);
	rc = nx_change_entry(change, draft, put, &err);
	assert(!rc);
	rc = nx_archive_commit(w->site->archive, change, &err);
	nx_change_free(change);
	put->item = NULL;
	if (!rc) {
		w->ops[d.number] = OP_ACKED;
		w->acked++;
	}
	return rc;
}

static void do_put(struct writer *w, bool again)
{
	unsigned number = again && w->n_names ? (unsigned)(dice(&w->rng) % w->n_names) : w->n_names;
	struct name *name = &w->names[number];
	struct content what = content_make(w);
	struct nx_put put;

	if (number == SITE_NAMES || name->maybe.seed || name->maybe_deleted)
		return; /* a name whose state is not known is left alone until the next check */
	if (number == w->n_names) {
		w->n_names++;
		name->collection = (uint8_t)(dice(&w->rng) % SITE_COLLECTIONS);
		name->object = dice(&w->rng) % 4 == 0;
		name->patient = (uint8_t)(dice(&w->rng) % SITE_PATIENTS);
	} else if (name->sure.seed && dice(&w->rng) % 2) {
		what = name->sure; /* a duplicate */
	}
	name->maybe = what;
	if (put_run(w, name, number, &what, &put))
		return;
	name->maybe.seed = 0;
	name->sure = what;
	name->item = put.ret_item;
	name->subject = put.ret_subject;
}

static void do_delete(struct writer *w)
{
	struct name *name;
	struct drafted d;
	struct nx_change *change;
	struct nx_err err;
	struct nx_val vals[3];
	struct nx_op op = {.verb = NX_OP_SET, .table = NX_T_ITEM, .n = 3, .vals = vals};
	nx_rc rc;

	if (!w->n_names)
		return;
	name = &w->names[dice(&w->rng) % w->n_names];
	if (!name->object || !name->sure.seed || name->maybe.seed || name->maybe_deleted)
		return;
	vals[0] = nx_val_int(name->item);
	vals[1] = nx_val_int(NX_C_ITEM_STATE);
	vals[2] = nx_val_int(NX_ITEM_DELETED);
	d = draft_make(w, NX_ACTION_OBJECT_DELETE);
	d.draft.detail = nx_slice_str(d.detail);
	change = nx_change_new();
	assert(change);
	rc = nx_change_op(change, &op, &err);
	assert(!rc);
	rc = nx_change_entry(change, &d.draft, NULL, &err);
	assert(!rc);
	name->maybe_deleted = true;
	rc = nx_archive_commit(w->site->archive, change, &err);
	nx_change_free(change);
	if (rc)
		return;
	w->ops[d.number] = OP_ACKED;
	name->maybe_deleted = false;
	name->sure.seed = 0;
}

static void do_record(struct writer *w)
{
	struct drafted d = draft_make(w, NX_ACTION_READ);
	struct nx_err err;

	d.draft.detail = nx_slice_str(d.detail);
	if (!nx_archive_record(w->site->archive, &d.draft, &err))
		w->ops[d.number] = OP_ACKED;
}

static void do_aside(struct writer *w)
{
	struct nx_archive *a = w->site->archive;
	const struct nx_collection *c = &w->site->collections[dice(&w->rng) % SITE_COLLECTIONS];
	struct aside *kept = &w->asides[w->n_asides];
	char detail[48], patient[16];
	struct nx_study st = {.patient_id = patient};
	struct nx_item item = {.name = detail};
	struct nx_aside aside = {.number = (int64_t)nx_archive_next_id(a, NX_T_QUARANTINE),
		.source = "crash",
		.reason = 1,
		.max_items = UINT32_MAX,
		.max_bytes = UINT64_MAX};
	struct put_parts parts;
	struct nx_put put = {.collection = c, .study = &st, .item = &item, .aside = &aside};
	struct nx_change *change;
	struct drafted d;
	struct nx_err err;
	nx_rc rc;

	if (w->n_asides == SITE_ASIDES)
		return;
	*kept = (struct aside){.what = content_make(w)};
	(void)snprintf(detail, sizeof(detail), "{\"aside\":\"%u-%u\"}", w->id, w->n_asides++);
	(void)snprintf(patient, sizeof(patient), "P%u", (unsigned)(dice(&w->rng) % SITE_PATIENTS));
	aside.detail = nx_slice_str(detail);
	item.size = (int64_t)kept->what.header + kept->what.bulk;
	if (parts_make(w, c, &kept->what, &parts))
		return;
	put.blobs = parts.blobs;
	put.n_blobs = parts.n;
	put.parts = parts.parts;
	put.n_parts = parts.n;
	d = draft_make(w, NX_ACTION_QUARANTINE);
	d.draft.detail = nx_slice_str(d.detail);
	change = nx_change_new();
	assert(change);
	rc = nx_change_put(change, &put, &err);
	assert(!rc);
	rc = nx_change_entry(change, &d.draft, &put, &err);
	assert(!rc);
	rc = nx_archive_commit(a, change, &err);
	nx_change_free(change);
	if (rc)
		return;
	w->ops[d.number] = OP_ACKED;
	kept->sure = true;
	kept->patient = put.ret_subject;
}

static void do_erase(struct writer *w)
{
	struct site *s = w->site;
	struct name *name;
	struct drafted d;
	struct nx_err err;
	uint64_t items;
	unsigned at;

	if (!w->n_names)
		return;
	name = &w->names[dice(&w->rng) % w->n_names];
	if (name->object || !name->sure.seed || s->n_erased == 4096)
		return;
	(void)pthread_mutex_lock(&s->lock);
	at = s->n_erased++;
	s->erased[at] = (struct erased){.subject = name->subject};
	(void)pthread_mutex_unlock(&s->lock);
	d = draft_make(w, NX_ACTION_ERASE);
	d.draft.detail = nx_slice_str(d.detail);
	d.draft.subject = name->subject;
	if (nx_archive_erase(s->archive, name->subject, &d.draft, &items, &err))
		return;
	w->ops[d.number] = OP_ACKED;
	(void)pthread_mutex_lock(&s->lock);
	s->erased[at].sure = true;
	(void)pthread_mutex_unlock(&s->lock);
}

static void do_domain(struct writer *w)
{
	struct site *s = w->site;
	struct nx_collection c;
	struct drafted d;
	char name[32];

	if (s->n_domains_begun > s->n_domains)
		return; /* whether the last one is there is for the check to find out */
	d = draft_make(w, NX_ACTION_COLLECTION_CREATE);
	s->n_domains_begun = s->n_domains + 1;
	(void)snprintf(name, sizeof(name), "extra/%u", s->n_domains);
	if (!collection_make(s, &c, name, name, d.detail))
		return;
	w->ops[d.number] = OP_ACKED;
	s->n_domains++;
}

struct load {
	struct writer *w;
	unsigned ops;
};

static void *writer_main(void *payload)
{
	struct load *load = payload;
	struct writer *w = load->w;

	for (unsigned i = 0; i < load->ops && !cut_dead(); i++) {
		uint64_t roll = dice(&w->rng) % 100;

		if (roll < 65)
			do_put(w, false);
		else if (roll < 80)
			do_put(w, true);
		else if (roll < 88)
			do_delete(w);
		else if (roll < 94)
			do_record(w);
		else if (roll < 97)
			do_aside(w);
		else if (w->id == 0 && roll < 99)
			do_erase(w);
		else if (w->id == 1)
			do_domain(w);
	}
	return NULL;
}

void site_load(struct site *s, unsigned ops_per_thread)
{
	struct load loads[SITE_THREADS];

	s->fresh = false;
	for (unsigned i = 0; i < SITE_THREADS; i++) {
		loads[i] = (struct load){&s->writers[i], ops_per_thread};
		if (pthread_create(&s->writers[i].thread, NULL, writer_main, &loads[i]) != 0)
			abort();
	}
	for (unsigned i = 0; i < SITE_THREADS; i++)
		(void)pthread_join(s->writers[i].thread, NULL);
}

/* ---- check ---- */

struct check {
	struct site *s;
	struct nx_arena *arena;
	uint64_t items;
	int64_t last;
	struct { /* live instances per series id, small numbers */
		int64_t series;
		int64_t n;
	} live[4096];
	size_t n_live;
	bool good;
};

static const char other_bytes[] = "other bytes";

static bool same_bytes(
	struct site *s, const struct nx_item *item, const struct content *c, struct nx_err *ret_err)
{
	size_t n = (size_t)c->header + c->bulk;
	uint8_t *want = malloc(n), *got = malloc(n + 1);
	NX_AUTO(nx_reader) *reader = NULL;
	size_t at = 0, part = 1;
	bool same = false;

	assert(want && got);
	(void)nx_err_set(ret_err, NX_E_CORRUPT, "%s", other_bytes);
	fill(want, c->header, c->seed);
	fill(want + c->header, c->bulk, c->seed + 1);
	if ((uint64_t)item->size == n &&
		!nx_archive_open_item(s->archive, item, &reader, ret_err)) {
		nx_rc rc = NX_OK;

		while (part && !rc) {
			rc = nx_reader_read(reader, at, got + at, n + 1 - at, &part, ret_err);
			at += rc ? 0 : part;
		}
		same = !rc && at == n && memcmp(want, got, n) == 0;
	}
	free(want);
	free(got);
	return same;
}

static bool erased_maybe(struct site *s, uint64_t subject, bool *ret_sure)
{
	bool found = false;

	*ret_sure = false;
	for (unsigned i = 0; i < s->n_erased; i++) {
		if (s->erased[i].subject != subject)
			continue;
		found = true;
		*ret_sure = *ret_sure || s->erased[i].sure;
	}
	return found;
}

static void live_count(struct check *c, int64_t series)
{
	size_t i = 0;

	while (i < c->n_live && c->live[i].series != series)
		i++;
	assert(i < 4096);
	if (i == c->n_live)
		c->live[c->n_live++].series = series;
	c->live[i].n++;
}

static void item_live(struct check *c, const struct nx_item *item)
{
	struct site *s = c->s;
	struct nx_err why = {.rc = NX_OK};
	unsigned writer, number;
	struct name *name;
	bool object, sure;

	object = strncmp(item->name, "obj.", 4) == 0;
	if (sscanf(item->name + 4, "%u.%u", &writer, &number) != 2 || writer >= SITE_THREADS ||
		number >= s->writers[writer].n_names) {
		site_wrong(s, "item %lld was never sent", (long long)item->id);
		return;
	}
	name = &s->writers[writer].names[number];
	if (object != name->object) {
		site_wrong(s, "item %lld is of another kind", (long long)item->id);
		return;
	}
	if ((s->fresh && nx_keys_erased(s->keys, (uint64_t)item->subject)) ||
		(erased_maybe(s, (uint64_t)item->subject, &sure) && sure)) {
		site_wrong(s, "item %lld of an erased subject is there", (long long)item->id);
		return;
	}
	if (!object)
		live_count(c, item->series);
	if (name->seen)
		site_wrong(s, "item %lld is live twice", (long long)item->id);
	name->seen = true;
	if (!s->fresh && nx_keys_erased(s->keys, (uint64_t)item->subject))
		return; /* an erasure was cut short: the next start takes the rows */
	if (name->maybe.seed && same_bytes(s, item, &name->maybe, &why)) {
		name->sure = name->maybe;
	} else if (!name->sure.seed || !same_bytes(s, item, &name->sure, &why)) {
		site_wrong(s,
			"item %lld (%s%s%s) holds neither what was acknowledged nor what was "
			"sent: %s",
			(long long)item->id, item->name, name->sure.seed ? ", acknowledged" : "",
			name->maybe.seed ? ", sent" : "", nx_err_text(&why));
		return;
	}
	name->maybe.seed = 0;
	name->item = item->id;
	name->subject = (uint64_t)item->subject;
	name->maybe_deleted = false;
}

static nx_rc item_check(void *payload, const void *row, struct nx_err *err)
{
	struct check *c = payload;
	const struct nx_item *item = row;

	(void)err;
	c->items++;
	c->last = item->id;
	if (item->state == NX_ITEM_LIVE)
		item_live(c, item);
	return NX_OK;
}

static bool items_check(struct check *c)
{
	struct site *s = c->s;
	struct nx_err err;
	uint64_t before;

	for (unsigned w = 0; w < SITE_THREADS; w++)
		for (unsigned i = 0; i < s->writers[w].n_names; i++)
			s->writers[w].names[i].seen = false;
	do {
		before = c->items;
		if (nx_cat_items_all(s->cat, c->last, 256, item_check, c, &err))
			return site_wrong(s, "items cannot be listed: %s", nx_err_text(&err));
	} while (c->items - before == 256);
	for (unsigned w = 0; w < SITE_THREADS; w++) {
		for (unsigned i = 0; i < s->writers[w].n_names; i++) {
			struct name *name = &s->writers[w].names[i];
			bool sure;

			if (!name->seen && name->sure.seed && !name->maybe_deleted &&
				!(!name->object && erased_maybe(s, name->subject, &sure)))
				return site_wrong(s, "acknowledged item %u.%u is lost", w, i);
			if (!name->seen) {
				name->sure.seed = 0;
				name->maybe.seed = 0;
				name->maybe_deleted = false;
			}
		}
	}
	return !s->why[0];
}

/* A row of quarantine: what was sent, whole, and of nobody who is erased. */
static nx_rc aside_check(void *payload, const void *row, struct nx_err *err)
{
	struct check *c = payload;
	struct site *s = c->s;
	const struct nx_quarantine_row *r = row;
	NX_AUTO(nx_arena) *arena = nx_arena_new(1u << 20, 0);
	struct nx_slice detail;
	struct nx_item item;
	struct nx_err why = {.rc = NX_OK};
	unsigned writer, number;
	struct aside *kept;

	if (nx_keys_erased(s->keys, (uint64_t)r->patient)) {
		if (s->fresh)
			site_wrong(s, "quarantine %lld of an erased subject is there",
				(long long)r->id);
		return NX_OK; /* an erasure was cut short: the next start takes the rows */
	}
	if (nx_cat_item_by_id(s->cat, r->item, arena, &item, err) ||
		nx_archive_aside_detail(s->archive, r, &item, arena, &detail, err))
		return err->rc;
	if (sscanf((const char *)detail.p, "{\"aside\":\"%u-%u", &writer, &number) != 2 ||
		writer >= SITE_THREADS || number >= s->writers[writer].n_asides) {
		site_wrong(s, "quarantine %lld was never sent", (long long)r->id);
		return NX_OK;
	}
	kept = &s->writers[writer].asides[number];
	if (kept->seen || !same_bytes(s, &item, &kept->what, &why))
		site_wrong(s, "quarantine %lld: %s", (long long)r->id,
			kept->seen ? "twice" : nx_err_text(&why));
	kept->seen = true;
	kept->sure = true; /* it is there now, and has to stay */
	kept->patient = (uint64_t)r->patient;
	return NX_OK;
}

static bool asides_check(struct check *c)
{
	struct site *s = c->s;
	struct nx_err err = {.rc = NX_OK};

	for (unsigned w = 0; w < SITE_THREADS; w++)
		for (unsigned i = 0; i < s->writers[w].n_asides; i++)
			s->writers[w].asides[i].seen = false;
	if (nx_cat_quarantine(
		    s->cat, &(struct nx_quarantine_of){.limit = INT32_MAX}, aside_check, c, &err))
		return site_wrong(s, "quarantine: %s", nx_err_text(&err));
	for (unsigned w = 0; w < SITE_THREADS; w++)
		for (unsigned i = 0; i < s->writers[w].n_asides; i++) {
			struct aside *kept = &s->writers[w].asides[i];
			bool sure;

			if (kept->sure && !kept->seen && !erased_maybe(s, kept->patient, &sure))
				return site_wrong(s, "acknowledged quarantine %u-%u is lost", w, i);
			kept->sure = kept->seen;
		}
	return !s->why[0];
}

struct tally {
	struct check *c;
	int64_t n_series;
	int64_t n;
};

static nx_rc series_check(void *payload, const void *row, struct nx_err *err)
{
	struct tally *t = payload;
	const struct nx_series *series = row;
	int64_t n = 0;

	(void)err;
	for (size_t i = 0; i < t->c->n_live; i++)
		if (t->c->live[i].series == series->id) {
			n = t->c->live[i].n;
			t->c->live[i].n = 0; /* every live instance has its series */
		}
	if (n != series->n_instances)
		site_wrong(t->c->s, "series %lld counts %lld instances, there are %lld",
			(long long)series->id, (long long)series->n_instances, (long long)n);
	t->n_series++;
	t->n += n;
	return NX_OK;
}

static bool counters_check(struct check *c)
{
	struct site *s = c->s;
	struct nx_op *rows;
	struct nx_err err;
	size_t n;

	if (nx_cat_rows(
		    s->cat, &(struct nx_rows_of){.table = NX_T_STUDY}, c->arena, &rows, &n, &err))
		return site_wrong(s, "studies cannot be listed: %s", nx_err_text(&err));
	for (size_t i = 0; i < n; i++) {
		struct nx_study study;
		struct tally t = {.c = c};

		if (nx_op_row(&rows[i], c->arena, &study, &err) ||
			nx_cat_series_of(s->cat, study.id, series_check, &t, &err))
			return site_wrong(s, "study: %s", nx_err_text(&err));
		if (t.n_series != study.n_series || t.n != study.n_instances)
			return site_wrong(s,
				"study %lld counts %lld series and %lld instances, there are %lld "
				"and %lld",
				(long long)study.id, (long long)study.n_series,
				(long long)study.n_instances, (long long)t.n_series,
				(long long)t.n);
	}
	for (size_t i = 0; i < c->n_live; i++)
		if (c->live[i].n)
			return site_wrong(s, "series %lld of live items is not in any study",
				(long long)c->live[i].series);
	return !s->why[0];
}

static nx_rc entry_check(void *payload, const struct nx_entry *entry, struct nx_err *err)
{
	struct check *c = payload;
	struct site *s = c->s;
	NX_AUTO(nx_arena) *arena = nx_arena_new(1u << 20, 0);
	struct nx_slice body;
	const char *at;
	unsigned writer, number;
	nx_rc rc = nx_ledger_body(nx_archive_ledger(s->archive), entry, arena, &body, err);
	char text[1024];

	if (rc)
		return rc;
	(void)snprintf(text, sizeof(text), "%.*s", (int)body.n, (const char *)body.p);
	at = strstr(text, "\"op\":\"");
	if (!at || sscanf(at + 6, "%u-%u", &writer, &number) != 2)
		return NX_OK;
	if (writer >= SITE_THREADS || number >= s->writers[writer].n_ops)
		return nx_err_set(err, NX_E_CORRUPT, "entry of a change that was never sent");
	s->writers[writer].ops[number] |= 0x80;
	return NX_OK;
}

static bool ledger_check(struct check *c)
{
	struct site *s = c->s;
	struct nx_ledger *ledger = nx_archive_ledger(s->archive);
	struct nx_err err;
	uint64_t entries;

	if (nx_ledger_flush(ledger, &err) || nx_ledger_verify(ledger, &entries, &err) ||
		nx_ledger_range(ledger, 0, entries, entry_check, c, &err))
		return site_wrong(s, "ledger: %s", nx_err_text(&err));
	for (unsigned w = 0; w < SITE_THREADS; w++) {
		for (unsigned i = 0; i < s->writers[w].n_ops; i++) {
			uint8_t op = s->writers[w].ops[i];

			if (op == OP_ACKED)
				return site_wrong(s, "change %u-%u has no ledger entry", w, i);
			s->writers[w].ops[i] = op & 0x80 ? OP_ACKED : OP_NONE;
		}
	}
	return true;
}

static void scrub_bad(void *payload, int64_t item, const struct nx_err *why)
{
	site_wrong(payload, "scrub: item %lld: %s", (long long)item, nx_err_text(why));
}

static bool domains_check(struct check *c)
{
	struct site *s = c->s;

	for (unsigned i = 0; i < s->n_domains_begun; i++) {
		struct nx_collection row;
		struct nx_err err;
		uint32_t id = 0;
		char name[32];
		bool there;

		(void)snprintf(name, sizeof(name), "extra/%u", i);
		there = !nx_cat_collection(s->cat, name, c->arena, &row, &err);
		if (i < s->n_domains && !there)
			return site_wrong(s, "collection %s is lost", name);
		if (there && (nx_keys_domain(s->keys, name, false, &id, &err) || id != row.domain))
			return site_wrong(s, "domain %s is lost", name);
		if (there && i == s->n_domains)
			s->n_domains++;
	}
	s->n_domains_begun = s->n_domains;
	return true;
}

bool site_check(struct site *s)
{
	struct check *c = calloc(1, sizeof(*c));
	struct nx_scrub_result result;
	struct nx_err err;
	bool good;

	assert(c);
	c->s = s;
	c->arena = nx_arena_new(64u << 20, 0);
	assert(c->arena);
	nx_archive_barrier(s->archive);
	good = items_check(c) && asides_check(c) && counters_check(c) && domains_check(c) &&
		ledger_check(c);
	if (good && nx_archive_scrub(s->archive, scrub_bad, s, NULL, &result, &err))
		good = site_wrong(s, "scrub: %s", nx_err_text(&err));
	if (good && result.bad)
		good = false;
	if (good && result.erased && s->fresh)
		good = site_wrong(s, "%llu rows of erased subjects are left",
			(unsigned long long)result.erased);
	nx_arena_free(c->arena);
	free(c);
	return good;
}

/* ---- after damage ---- */

struct reading {
	struct site *s;
	struct site_read *ret;
	int64_t last;
	uint64_t items;
};

static nx_rc item_read(void *payload, const void *row, struct nx_err *err)
{
	struct reading *r = payload;
	const struct nx_item *item = row;
	unsigned writer, number;
	struct nx_err why;
	struct name *name;

	(void)err;
	r->last = item->id;
	r->items++;
	if (item->state != NX_ITEM_LIVE)
		return NX_OK;
	if (sscanf(item->name + 4, "%u.%u", &writer, &number) != 2 || writer >= SITE_THREADS ||
		number >= r->s->writers[writer].n_names) {
		site_wrong(r->s, "item %lld was never sent", (long long)item->id);
		return NX_OK;
	}
	name = &r->s->writers[writer].names[number];
	name->seen = true;
	if (same_bytes(r->s, item, &name->sure, &why))
		r->ret->good++;
	else if (why.rc == NX_E_VERSION || /* a bit of a header: of a format of the future */
		(why.rc == NX_E_CORRUPT && strcmp(nx_err_text(&why), other_bytes) != 0))
		r->ret->corrupt++;
	else
		site_wrong(r->s, "item %s: %s", item->name, nx_err_text(&why));
	return NX_OK;
}

bool site_read_all(struct site *s, struct site_read *ret)
{
	struct reading r = {.s = s, .ret = ret};
	struct nx_err err;
	uint64_t before;

	*ret = (struct site_read){.good = 0};
	for (unsigned w = 0; w < SITE_THREADS; w++)
		for (unsigned i = 0; i < s->writers[w].n_names; i++)
			s->writers[w].names[i].seen = false;
	do {
		before = r.items;
		if (nx_cat_items_all(s->cat, r.last, 256, item_read, &r, &err))
			return site_wrong(s, "items cannot be listed: %s", nx_err_text(&err));
	} while (r.items - before == 256);
	for (unsigned w = 0; w < SITE_THREADS; w++)
		for (unsigned i = 0; i < s->writers[w].n_names; i++)
			ret->missing +=
				s->writers[w].names[i].sure.seed && !s->writers[w].names[i].seen;
	return !s->why[0];
}
