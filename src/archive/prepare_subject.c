/* Whose a put is: the subject is found or made, with its key. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "archive/prepare_priv.h"
#include "base/enc.h"
#include "base/map.h"

struct nx_slice lookup_key(struct nx_buf *buf, int64_t number, const char *a, const char *b)
{
	nx_buf_clear(buf);
	nx_buf_put_u64le(buf, (uint64_t)number);
	nx_buf_put_str(buf, or_empty(a));
	nx_buf_put_u8(buf, 0);
	nx_buf_put_str(buf, or_empty(b));
	return nx_buf_slice(buf);
}

nx_rc lookup_add(
	struct group *g, struct nx_map *map, struct nx_slice key, void *value, struct nx_err *err)
{
	nx_rc rc = undo_added(g, map, key, err);

	if (!rc && !nx_map_put(map, key, value, NULL))
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for the look-up cache");
	return rc;
}

static nx_rc subject_key_make(struct nx_archive *a, struct target *t, struct nx_err *err)
{
	nx_rc rc = nx_keys_subject(a->keys, t->domain, t->subject, &t->key, err);

	if (rc == NX_E_NOENT)
		rc = nx_keys_subject_new(a->keys, t->domain, t->subject, &t->key, err);
	return rc;
}

uint64_t subject_id_new(void)
{
	uint64_t id;

	do {
		nx_random(&id, sizeof(id));
		id >>= 1; /* fits a signed column */
	} while (id == 0);
	return id;
}

enum {
	MARK_BITS = 20,
	MARK_MAX = (1 << MARK_BITS) - 1
};

/* Letters and digits only count: spaces, delimiters at the end, case and accents do not. */
static int64_t mark_of(const char *text)
{
	size_t n = strlen(or_empty(text));

	while (n && (text[n - 1] == ' ' || text[n - 1] == '^'))
		n--;
	return n ? nx_crc32c(0, text, n) % MARK_MAX + 1 : 0;
}

int64_t marks_of(const struct nx_study *study)
{
	return mark_of(study->name_key) | mark_of(study->birth_date) << MARK_BITS |
		mark_of(study->sex) << 2 * MARK_BITS;
}

static int64_t mark_at(int64_t marks, unsigned i)
{
	return marks >> i * MARK_BITS & MARK_MAX;
}

void nx_archive_marks_differ(int64_t known, int64_t mark, bool ret[3])
{
	for (unsigned i = 0; i < 3; i++)
		ret[i] = mark_at(known, i) && mark_at(mark, i) &&
			mark_at(known, i) != mark_at(mark, i);
}

bool marks_differ(int64_t a, int64_t b)
{
	bool differ[3];

	nx_archive_marks_differ(a, b, differ);
	return differ[0] || differ[1] || differ[2];
}

/* `a` with what only `b` knows. */
static int64_t marks_join(int64_t a, int64_t b)
{
	for (unsigned i = 0; i < 3; i++)
		if (!mark_at(a, i))
			a |= b & (int64_t)MARK_MAX << i * MARK_BITS;
	return a;
}

nx_rc marks_set(struct group *g, const struct target *t, const char *issuer, const char *pid,
	int64_t marks, struct nx_err *err)
{
	struct nx_val vals[] = {nx_val_int(t->domain), nx_val_text(issuer), nx_val_text(pid),
		nx_val_int(NX_C_SUBJECT_MARKS), nx_val_int(marks)};

	return group_op(g,
		&(struct nx_op){.verb = NX_OP_SET,
			.table = NX_T_SUBJECT,
			.n = NX_ARRAY_LEN(vals),
			.domain = t->domain,
			.subject = t->subject,
			.vals = vals},
		err);
}

/* What is learnt of a patient of whom less was known. */
static nx_rc marks_learn(
	struct group *g, struct target *t, const char *issuer, const char *pid, struct nx_err *err)
{
	const int64_t marks =
		t->put->study ? marks_join(t->who->marks, marks_of(t->put->study)) : t->who->marks;
	nx_rc rc;

	if (marks == t->who->marks)
		return NX_OK;
	rc = undo_changed(g, t->who, sizeof(*t->who), err);
	if (rc)
		return rc;
	t->who->marks = marks;
	return marks_set(g, t, issuer, pid, marks, err);
}

static nx_rc subject_row(struct group *g, const struct target *t, const char *issuer,
	const char *pid, struct nx_err *err)
{
	const struct nx_subject_row row = {
		.domain = t->domain,
		.issuer = issuer,
		.patient_id = pid,
		.subject = (int64_t)t->subject,
		.created_us = g->now_us,
	};
	struct nx_op op;
	nx_rc rc = nx_op_put_subject(&row, g->arena, &op);

	if (rc)
		return nx_err_set(err, rc, "no memory for a subject row");
	op.domain = t->domain;
	op.subject = t->subject;
	return group_op(g, &op, err);
}

/* t->subject, t->who. */
static nx_rc subject_load(struct nx_archive *a, struct group *g, struct target *t,
	struct nx_slice key, const char *issuer, const char *pid, struct nx_err *err)
{
	struct cached_subject *c = calloc(1, sizeof(*c));
	struct nx_subject_row row = {.marks = 0};
	nx_rc rc;

	if (!c)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the look-up cache");
	rc = nx_cat_subject(a->cat, t->domain, issuer, pid, g->arena, &row, err);
	t->subject = rc ? subject_id_new() : (uint64_t)row.subject;
	if (rc == NX_E_NOENT)
		rc = subject_row(g, t, issuer, pid, err);
	*c = (struct cached_subject){.subject = t->subject, .marks = row.marks};
	if (!rc)
		rc = subject_key_make(a, t, err);
	if (!rc)
		rc = lookup_add(g, a->cache.subjects, key, c, err);
	if (rc)
		free(c);
	else
		t->who = c;
	return rc;
}

static const char *study_uid(const struct nx_put *put)
{
	assert(put->step || put->study); /* the patient of an object has an id */
	return or_empty(put->step ? put->step->studies[0] : put->study->uid);
}

nx_rc subject_find(struct nx_archive *a, struct group *g, struct target *t, const char *issuer,
	const char *pid, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	char blank[NX_LIMIT_UID + 16];
	struct nx_slice key;
	nx_rc rc;

	nx_buf_init(&buf, KEY_MAX, NX_BUF_WIPE);
	if (!pid || !pid[0]) {
		(void)snprintf(blank, sizeof(blank), "\x01study:%s", study_uid(t->put));
		pid = blank;
	}
	key = lookup_key(&buf, t->domain, issuer, pid);
	rc = nx_buf_check(&buf, err);
	if (rc)
		return rc;
	t->who = nx_map_get(a->cache.subjects, key);
	if (t->who) {
		t->subject = t->who->subject;
		rc = subject_key_make(a, t, err);
	} else {
		rc = subject_load(a, g, t, key, issuer, pid, err);
	}
	return rc ? rc : marks_learn(g, t, issuer, pid, err);
}

/* No put moves an object that is there to another subject, nor from none to one: who read it under
 * the old one would be in no accounting of the new one. */
static nx_rc owner_keep(
	struct nx_archive *a, struct target *t, const struct nx_item *there, struct nx_err *err)
{
	const struct nx_put *put = t->put;
	uint64_t named = (uint64_t)there->subject;
	nx_rc rc = NX_OK;

	if (put->patient_id)
		rc = nx_cat_subject_find(
			a->cat, t->domain, or_empty(put->issuer), put->patient_id, &named, err);
	if (rc == NX_E_NOENT || (!rc && named != (uint64_t)there->subject))
		return nx_err_set(err, NX_E_CONFLICT,
			"the object belongs to another subject or to none; delete it first");
	t->subject = (uint64_t)there->subject;
	return rc ? rc : subject_key_make(a, t, err);
}

static nx_rc object_subject(
	struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err)
{
	const struct nx_put *put = t->put;
	struct nx_item there;
	nx_rc rc =
		nx_cat_object(a->cat, put->collection->id, put->item->name, g->arena, &there, err);

	if (!rc)
		return owner_keep(a, t, &there, err);
	if (rc != NX_E_NOENT)
		return rc;
	if (put->patient_id || put->step)
		return subject_find(a, g, t, or_empty(put->issuer), put->patient_id, err);
	return subject_key_make(a, t, err);
}

nx_rc subject_resolve(struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err)
{
	const struct nx_put *put = t->put;

	t->subject = put->subject;
	if (put->subject)
		return subject_key_make(a, t, err);
	if (!put->study)
		return object_subject(a, g, t, err);
	return subject_find(a, g, t, or_empty(put->study->issuer), put->study->patient_id, err);
}
