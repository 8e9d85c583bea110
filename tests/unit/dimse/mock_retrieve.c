#include "mock_retrieve.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/dicom.h"

struct nx_retrieve {
	struct mock_retrieve mock;
};

struct nx_retrieve *mock_retrieve(struct mock_retrieve *mock)
{
	return (struct nx_retrieve *)mock;
}

/* Patient's name and id at every level, UIDs at their own and below. */
bool nx_retrieve_find_knows(unsigned level, uint32_t tag)
{
	static const uint32_t uids[] = {0x00100020, 0x0020000d, 0x0020000e, 0x00080018};

	for (unsigned i = 0; i <= level && i < NX_ARRAY_LEN(uids); i++)
		if (uids[i] == tag)
			return true;
	return tag == 0x00100010;
}

bool nx_retrieve_find_gives(unsigned level, uint32_t tag)
{
	return nx_retrieve_find_knows(level, tag);
}

/* Of series and below. */
bool nx_retrieve_find_looks(unsigned level, uint32_t tag)
{
	return level >= 2 && tag == 0x00400275;
}

static void keys_remember(struct mock_retrieve *m, const struct nx_find_key *keys, size_t n)
{
	m->n_keys = n;
	for (size_t i = 0; i < n; i++) {
		m->key_tags[i] = keys[i].tag;
		if (i < NX_ARRAY_LEN(m->key_values))
			(void)snprintf(
				m->key_values[i], sizeof(m->key_values[i]), "%s", keys[i].value);
	}
}

static void remember(
	struct mock_retrieve *m, const struct nx_find *find, const struct nx_find_form *form)
{
	m->finds++;
	m->level = find->level;
	m->fuzzy = find->fuzzy;
	m->datetime = find->datetime;
	keys_remember(m, find->keys, find->n_keys);
	m->n_sequences = find->sequences->n;
	m->n_wants = form->n_wants;
	(void)snprintf(m->charset, sizeof(m->charset), "%s", form->charset);
	(void)snprintf(m->retrieve_ae, sizeof(m->retrieve_ae), "%s", form->retrieve_ae);
}

nx_rc nx_retrieve_find_dicom(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_find *find, const struct nx_find_form *form, bool *ret_more,
	struct nx_err *err)
{
	static const uint8_t identifier[65536] = {0x08, 0, 0x52, 0, 0, 0, 0, 0};
	struct mock_retrieve *m = &retrieve->mock;
	nx_rc rc = NX_OK;

	(void)who;
	remember(m, find, form);
	for (unsigned i = 0; i < m->matches && !rc; i++)
		rc = form->fn(
			form->payload, nx_slice(identifier, m->match_len ? m->match_len : 8), err);
	if (!rc && m->fail_find)
		rc = nx_err_set(err, m->fail_find, "find fails");
	*ret_more = m->more;
	return rc;
}

/* ---- selections ---- */

struct nx_instances {
	struct mock_retrieve *mock;
	size_t at;
	size_t left;
	char uid[64];
};

nx_rc nx_retrieve_open_keys(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection_keys *sel, struct nx_instances **ret, struct nx_err *err)
{
	struct mock_retrieve *m = &retrieve->mock;
	struct nx_instances *x;

	(void)who;
	m->level = sel->level;
	keys_remember(m, sel->keys, sel->n_keys);
	(void)snprintf(m->to, sizeof(m->to), "%s", sel->to ? sel->to : "");
	if (m->fail_find)
		return nx_err_set(err, m->fail_find, "selection fails");
	x = calloc(1, sizeof(*x));
	assert(x);
	x->mock = m;
	m->live++;
	*ret = x;
	return NX_OK;
}

struct nx_instances *nx_instances_free(struct nx_instances *instances)
{
	if (instances)
		instances->mock->live--;
	free(instances);
	return NULL;
}

size_t nx_instances_n(const struct nx_instances *instances)
{
	return instances->mock->instances;
}

void nx_instances_info(const struct nx_instances *instances, size_t i, struct nx_instance_info *ret)
{
	const struct mock_retrieve *m = instances->mock;
	static char uid[64];

	(void)snprintf(uid, sizeof(uid), "1.2.3.%zu", i + 1);
	*ret = (struct nx_instance_info){
		.study = "1.2",
		.series = "1.2.3",
		.sop_class = m->class_uid ? m->class_uid : "1.2.840.10008.5.1.4.1.1.2",
		.sop_instance = uid,
		.ts_uid = m->ts_uid ? m->ts_uid : "1.2.840.10008.1.2.1",
	};
}

nx_rc nx_instances_at(struct nx_instances *instances, size_t i, const struct nx_item **ret_item,
	struct nx_err *err)
{
	const struct mock_retrieve *m = instances->mock;

	if (i + 1 == m->fail_at && !m->fail_late)
		return nx_err_set(err, NX_E_CORRUPT, "instance fails");
	instances->at = i;
	*ret_item = NULL;
	return NX_OK;
}

nx_rc nx_instances_dataset(
	struct nx_instances *instances, const char *ts_uid, uint64_t *ret_len, struct nx_err *err)
{
	const struct mock_retrieve *m = instances->mock;

	(void)ts_uid, (void)err;
	instances->left = m->instance_len ? m->instance_len : 100;
	*ret_len = instances->left;
	return NX_OK;
}

nx_rc nx_instances_dataset_read(
	struct nx_instances *instances, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	const struct mock_retrieve *m = instances->mock;

	if (instances->at + 1 == m->fail_at && m->fail_late &&
		instances->left <= m->instance_len / 2)
		return nx_err_set(err, NX_E_CORRUPT, "instance fails");
	*ret_n = n < instances->left ? n : instances->left;
	memset(p, 0x5a, *ret_n);
	instances->left -= *ret_n;
	return NX_OK;
}

bool nx_instances_convertible(const char *from_ts_uid, const char *to_ts_uid)
{
	return strncmp(from_ts_uid, "1.2.840.10008.1.2.4.", 20) != 0 &&
		strncmp(to_ts_uid, "1.2.840.10008.1.2.4.", 20) != 0;
}

/* What ends in 404 is not held. */
nx_rc nx_retrieve_held(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, struct nx_held *refs, size_t n, struct nx_err *err)
{
	struct mock_retrieve *m = &retrieve->mock;

	(void)who, (void)collection;
	if (m->fail_find)
		return nx_err_set(err, m->fail_find, "commitment fails");
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(refs[i].sop_instance);

		refs[i].reason =
			len > 3 && strcmp(refs[i].sop_instance + len - 3, "404") == 0 ? 0x0112 : 0;
	}
	return NX_OK;
}

/* One item, of a patient; as many as there are matches. */
nx_rc nx_retrieve_worklist_find(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_worklist_find *find, struct nx_err *err)
{
	struct nx_elem patient = {
		.tag = NX_TAG_PATIENT_ID, .vr = NX_VR('L', 'O'), .value = nx_slice_str("P1")};
	const struct nx_dataset item = {.elems = &patient, .n = 1};
	struct mock_retrieve *m = &retrieve->mock;
	nx_rc rc = NX_OK;

	(void)who;
	m->finds++;
	for (unsigned i = 0; i < m->matches && !rc; i++) {
		rc = find->go_on(find->payload, err);
		if (!rc)
			rc = find->fn(find->payload, &item, err);
	}
	return !rc && m->fail_find ? nx_err_set(err, m->fail_find, "worklist fails") : rc;
}
